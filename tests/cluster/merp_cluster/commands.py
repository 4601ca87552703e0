"""Running other programs: output into a log or a string, failure as a ClusterError that names the log."""

import os
import shlex
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from merp_cluster.errors import ClusterError

POLL_SECONDS = 0.1


def output(argv: Sequence[str], *, stdin: str | None = None) -> str:
    """Standard output of a short command. ClusterError with its standard error if it fails or does not exist."""
    try:
        done = subprocess.run(argv, input=stdin, capture_output=True, text=True, check=False)
    except FileNotFoundError as missing:
        raise ClusterError(f"{argv[0]} is not installed or not on PATH") from missing
    if done.returncode != 0:
        raise ClusterError(f"`{shlex.join(argv)}` ended with {done.returncode}: {done.stderr.strip()[-2000:]}")
    return done.stdout


def succeeds(argv: Sequence[str]) -> bool:
    """Whether a short command ends with 0; what it prints is dropped."""
    return subprocess.run(argv, capture_output=True, check=False).returncode == 0


def logged(
    argv: Sequence[str],
    log: Path,
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    stdin: str | None = None,
) -> None:
    """Runs a long command with all its output in `log` (emptied first). ClusterError that names the log if it fails."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w") as out:
        print(f"$ {shlex.join(argv)}", file=out, flush=True)
        try:
            done = subprocess.run(
                argv,
                cwd=cwd,
                env={**os.environ, **(env or {})},
                input=stdin,
                stdout=out,
                stderr=subprocess.STDOUT,
                text=True,
                check=False,
            )
        except FileNotFoundError as missing:
            raise ClusterError(f"{argv[0]} is not installed or not on PATH") from missing
    if done.returncode != 0:
        raise ClusterError(f"`{shlex.join(argv[:3])} …` ended with {done.returncode}", log)


def holds_within(condition: Callable[[], bool], seconds: float) -> bool:
    """Asks `condition` until it holds (True) or `seconds` have passed (False)."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_SECONDS)
    return True


def wait_until(condition: Callable[[], bool], seconds: float, *, failed: Callable[[], ClusterError]) -> None:
    """Waits until `condition` holds; raises what `failed` makes once `seconds` have passed."""
    if not holds_within(condition, seconds):
        raise failed()
