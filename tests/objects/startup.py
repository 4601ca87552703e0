"""What starting the runner costs, beside the bare interpreter, in processor time: a busy machine changes little of it."""

import resource
import subprocess
from collections.abc import Mapping, Sequence
from typing import Final

# The least of so many is what it costs; the others were disturbed.
ROUNDS: Final = 5


def seconds(command: Sequence[str], environment: Mapping[str, str]) -> float:
    """User and system time of one process and its children. Raises CalledProcessError."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, env=environment, cwd="/", check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def start_seconds(python: str, environment: Mapping[str, str]) -> tuple[float, float]:
    """Of `python -c pass`, and of the runner that calls the task in MERP_TASK_DIR; side by side."""
    bare, runner = [], []
    for _ in range(ROUNDS):
        bare.append(seconds([python, "-S", "-c", "pass"], environment))
        runner.append(seconds([python, "-S", "-m", "merp_runner"], environment))
    return min(bare), min(runner)
