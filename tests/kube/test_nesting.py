"""JSON as deep as the API server stores it, in a process of its own: the limit is the whole process's."""

import subprocess
import sys

import pytest

_SCRIPT = """
import copy, json, threading
from merp_kube import nesting

nesting.read_all_that_kubernetes_stores()


def read():
    for opening, closing in (("[", "]"), ('{"a":', "}")):
        deep = json.loads(opening * 9990 + "1" + closing * 9990)
        copied = copy.deepcopy(deep)
        assert json.dumps(copied, separators=(",", ":")) == opening * 9990 + "1" + closing * 9990
        text = opening * 23_000 + "1" + closing * 23_000
        try:
            assert json.loads(text) == json.loads(text)
            assert len(repr(json.loads(text))) > 46_000
        except RecursionError:
            pass  # later Pythons have a limit of their own, of ten thousand
        try:
            json.loads(opening * 200_000)
        except RecursionError:
            print("refused", flush=True)


thread = threading.Thread(target=read)
read()
thread.start()
thread.join()
"""


@pytest.mark.processes
def test_what_is_stored_is_read_and_what_is_deeper_is_an_error_and_no_crash() -> None:
    done = subprocess.run([sys.executable, "-c", _SCRIPT], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "refused\n" * 4, "")
