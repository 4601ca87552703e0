"""How much the runner adds to the start of Python: every run of every job pays for it."""

from pathlib import Path
from typing import Final

import pytest
from pythons import interpreters
from runner_pod import Pod
from startup import start_seconds

# Seconds of processor time beyond those of `python -c pass`.
LIMIT: Final = 0.1
# What costs tens of milliseconds and is needed by no plain run.
SLOW: Final = ("asyncio", "sqlalchemy", "urllib.request", "http.client", "ssl", "difflib", "unittest", "zoneinfo")


@pytest.mark.processes
@pytest.mark.parametrize("python", [pytest.param(path, id=Path(path).name) for path in interpreters()])
def test_start_takes_less_than_a_tenth_of_a_second_more(pod: Pod, python: str) -> None:
    (pod.folder / "tiny.py").write_text("from merp_runner import task\n@task\ndef tiny(): return 1\n")
    pod.modules = "tiny"
    # Compiled modules, as an image has them; the tests' pods write none.
    variables = pod.variables() | {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(pod.folder / "cache")}
    pod.write("tiny")
    bare, runner = start_seconds(python, variables)
    assert runner - bare < LIMIT


def test_no_module_that_is_slow_is_loaded(pod: Pod) -> None:
    (pod.folder / "loaded.py").write_text(
        "import sys\nfrom merp_runner import task\n@task\ndef loaded(): return sorted(sys.modules)\n"
    )
    pod.modules = "loaded"
    pod.environment["MERP_MESSAGE_LIMIT"] = "100000"
    modules = pod.run("loaded").message["result"]
    assert "merp_runner.run" in modules
    assert [name for name in SLOW if name in modules] == []


def test_the_predefined_tasks_load_nothing_that_is_slow(pod: Pod) -> None:
    import merp_tasks

    pod.modules = "merp_tasks,loaded"
    (pod.folder / "loaded.py").write_text(
        "import sys\nfrom merp_runner import task\n@task\ndef loaded(): return sorted(sys.modules)\n"
    )
    folder = Path(merp_tasks.__file__).parents[1]
    pod.environment |= {"MERP_MESSAGE_LIMIT": "100000", "PYTHONPATH": f"{pod.variables()['PYTHONPATH']}:{folder}"}
    modules = pod.run("loaded").message["result"]
    assert "merp_tasks.inventory" in modules
    assert [name for name in SLOW if name in modules] == []
