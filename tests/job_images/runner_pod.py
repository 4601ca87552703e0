"""The runner as a pod starts it: a real process, its annotations as files, its termination message as a file."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any, Final

_ROOT: Final = Path(__file__).resolve().parents[2]
# Neither this machine's packages (-S) nor this process's variables: the runner has no dependencies.
_PYTHON: Final = getattr(sys, "_base_executable", sys.executable)
# Seconds; far more than any run here takes on a busy machine. A runner that hangs must not hang the tests.
TIMEOUT: Final = 120
# No run here needs so long to end once it is stopped.
_AGAIN_SECONDS: Final = 5.0


def read_until(process: "subprocess.Popen[str]", announced: str) -> str:
    """What it prints, up to the line that begins so; all of it where there is none."""
    assert process.stdout is not None
    read = ""
    # Ends by itself: the task prints the line, or the process ends and with it its output.
    for line in process.stdout:
        read += line
        if line.startswith(announced):
            break
    return read


@contextmanager
def stopping(process: "subprocess.Popen[str]") -> Iterator[None]:
    """Send SIGTERM; in the block the process comes to its end."""
    process.terminate()
    # Python notes a signal, and runs its handler between two instructions: one that comes just before a call that
    # blocks waits for its end, and another one ends that.
    again = threading.Timer(_AGAIN_SECONDS, process.terminate)
    again.start()
    try:
        yield
    finally:
        again.cancel()


@dataclass(frozen=True)
class Ended:
    """How the process ended."""

    code: int
    stdout: str
    stderr: str
    raw: bytes

    @property
    def message(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.raw.decode("utf-8"))
        return document

    @property
    def log(self) -> list[dict[str, Any]]:
        """The runner's own lines; what tasks print stands between them."""
        return [json.loads(line) for line in self.stdout.split("\n") if line.startswith("{")]


@dataclass
class Pod:
    """One pod; `folder` is a fresh directory, `modules` what MERP_TASK_MODULES says."""

    folder: Path
    environment: dict[str, str] = field(default_factory=dict)
    modules: str = "merp_test_tasks"

    def write(self, func: str, args: Any = (), kwargs: Mapping[str, Any] | None = None, **files: str) -> None:
        """The annotations as the downward API writes them; an absent annotation is an empty file."""
        task = json.dumps({"func": func, "args": list(args), "kwargs": kwargs or {}}, ensure_ascii=False)
        for name, text in ({"task": task, "due-time": "", "time-zone": ""} | files).items():
            (self.folder / name).write_text(text, encoding="utf-8")

    def variables(self) -> dict[str, str]:
        """The pod's environment, and nothing else."""
        message = self.folder / "termination-log"
        # The kubelet makes the file before the container starts.
        message.touch()
        return {
            "PATH": os.environ["PATH"],
            "PYTHONDONTWRITEBYTECODE": "1",
            # An image brings its zone database; this machine may have none.
            "PYTHONTZPATH": str(resources.files("tzdata") / "zoneinfo"),
            "PYTHONPATH": f"{_ROOT / 'job_images/python'}:{_ROOT / 'tests/job_images/tasks'}:{self.folder}",
            "MERP_TASK_DIR": str(self.folder),
            "MERP_TERMINATION_LOG": str(message),
            "MERP_TASK_MODULES": self.modules,
            "MERP_SCHEDULED_JOB": "nightly",
            "MERP_RUN_NAME": "nightly-r-0123456789",
            "MERP_NAMESPACE": "erp",
            "MERP_POD_NAME": "nightly-r-0123456789-abcde",
        } | self.environment

    def start(self) -> "subprocess.Popen[str]":
        # Standard error to a file: two pipes read one after the other can block each other.
        with (self.folder / "stderr").open("wb") as stderr:
            return subprocess.Popen(
                [_PYTHON, "-S", "-P", "-m", "merp_runner"],
                env=self.variables(),
                cwd="/",
                stdout=subprocess.PIPE,
                stderr=stderr,
                encoding="utf-8",
            )

    def ended(self, process: "subprocess.Popen[str]", already_read: str = "") -> Ended:
        """Read its output to the end, and wait for it."""
        assert process.stdout is not None
        killer = threading.Timer(TIMEOUT, process.kill)
        killer.start()
        with process:
            stdout = already_read + process.stdout.read()
        killer.cancel()
        stderr = (self.folder / "stderr").read_text(encoding="utf-8")
        return Ended(process.returncode, stdout, stderr, (self.folder / "termination-log").read_bytes())

    def run(self, func: str, args: Any = (), kwargs: Mapping[str, Any] | None = None, **files: str) -> Ended:
        """Write the annotations, start, wait."""
        self.write(func, args, kwargs, **files)
        return self.ended(self.start())

    def stop_at(self, announced: str, func: str, args: Any = (), kwargs: Mapping[str, Any] | None = None) -> Ended:
        """Run, and send SIGTERM as soon as the task has printed `announced`."""
        self.write(func, args, kwargs)
        process = self.start()
        read = read_until(process, announced)
        with stopping(process):
            return self.ended(process, read)
