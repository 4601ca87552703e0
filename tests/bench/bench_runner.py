"""How much the runner adds to the start of Python, for each Python of this machine. Printed as difference and ratio."""

import os
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "objects"))

from pythons import interpreters
from startup import start_seconds

RUNNER = Path(__file__).parents[2] / "job_images/python"


def main() -> None:
    """One line a Python."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "tiny.py").write_text("from merp_runner import task\n@task\ndef tiny(): return 1\n")
        Path(folder, "task").write_text('{"func": "tiny"}')
        environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": f"{RUNNER}:{folder}",
            "PYTHONPYCACHEPREFIX": f"{folder}/cache",
            "MERP_TASK_DIR": folder,
            "MERP_TASK_MODULES": "tiny",
        }
        print("a task that does nothing: processor time beyond `python -c pass`, and times of it")
        for python in interpreters():
            bare, runner = start_seconds(python, environment)
            print(f"  {Path(python).name:<12} {(runner - bare) * 1000:4.0f} ms {runner / bare:6.1f}")


if __name__ == "__main__":
    main()
