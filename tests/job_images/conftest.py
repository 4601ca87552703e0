import logging
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

_HERE = Path(__file__).parent
# The pods' helper beside this file, and the tests' own tasks, which no distribution of the environment brings.
sys.path[:0] = [str(_HERE), str(_HERE / "tasks")]

import merp_test_tasks  # noqa: E402, F401 - registers its tasks once, before any test looks at the registry
from runner_pod import Pod  # noqa: E402

import merp_tasks  # noqa: E402, F401 - the same
from merp_runner.__main__ import main  # noqa: E402
from merp_runner.tasks import REGISTRY  # noqa: E402


@pytest.fixture
def pod(tmp_path: Path) -> Pod:
    return Pod(tmp_path)


@pytest.fixture
def call_main(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., int]]:
    """The runner's main() in this process, in a pod's environment; whatever it changes is put back."""
    pod = Pod(tmp_path)
    for name in ("MERP_DUE_TIME", "MERP_BUSINESS_DATE", "MERP_RUN_NAME", "MERP_IDEMPOTENCY_KEY"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    for name, value in pod.variables().items():
        if name.startswith("MERP_"):
            monkeypatch.setenv(name, value)
    for name in ("tasks", "conflicts", "broken"):
        monkeypatch.setattr(REGISTRY, name, dict(getattr(REGISTRY, name)))
    monkeypatch.setattr(signal, "signal", signal.signal)
    handler = signal.getsignal(signal.SIGTERM)
    root = logging.getLogger()
    level, handlers = root.level, root.handlers[:]

    def call(*argv: str, **environment: str) -> int:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        return main(list(argv))

    yield call
    signal.signal(signal.SIGTERM, handler)
    root.setLevel(level)
    root.handlers[:] = handlers
    assert os.environ["MERP_TASK_DIR"] == str(tmp_path)
