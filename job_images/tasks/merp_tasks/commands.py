"""Commands: a program of the image, called directly and never through a shell. Off unless they are allowed."""

import contextlib
import logging
import os
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping
from typing import IO, Annotated, Any, Final

from merp_runner import Context, ParameterError, TaskFailed, task

VARIABLE: Final = "MERP_COMMANDS"
_LOG: Final = logging.getLogger("merp_tasks.command")
# Bytes. What a record can show; the log has the whole.
_TAIL: Final = 2048
_MAX_LINE: Final = 65_536
# Seconds between SIGTERM and SIGKILL: less than the 30 that a pod has by default, of which the runner needs some.
_GRACE: Final = 20.0
# Seconds for output that is still under way when the program has ended, or held open by a child that it left.
_DRAIN: Final = 2.0
# Exit code 2 would be taken for wrong parameters of the task.
_TAKEN: Final = 2


@task(
    title={"en": "Run a command", "zh": "运行命令"},
    description={"zh": "运行 MERP_COMMANDS 允许的某个程序，不经过 shell。"},
)
def run_command(
    context: Context,
    command: Annotated[list[str], "The program's absolute path, then its arguments, each as it is"],
    *,
    environment: Annotated[Mapping[str, str] | None, "Variables beside those of the container"] = None,
    timeout_seconds: Annotated[float, "0: no limit but the run's own"] = 0,
) -> dict[str, Any]:
    """Run one of the programs that MERP_COMMANDS allows, without a shell.

    Its output goes to the log line by line, with secrets masked. An exit code other than 0 fails the run with it.
    """
    _check(command, os.environ.get(VARIABLE, ""), dict(environment or {}), timeout_seconds)
    began = time.monotonic()
    tail: deque[bytes] = deque()
    try:
        with _running(command, dict(os.environ) | dict(environment or {}), tail) as process:
            code = process.wait(timeout_seconds or None)
    except subprocess.TimeoutExpired as error:
        raise TaskFailed(
            f"{command[0]} did not end within {timeout_seconds:g} s and was stopped\n{_text(tail)}"
        ) from error
    if code != 0:
        ended = f"exit code {code}" if code > 0 else f"signal {signal.Signals(-code).name}"
        raise TaskFailed(f"{command[0]} ended with {ended}\n{_text(tail)}", 1 if code == _TAKEN or code < 0 else code)
    context.progress(1, 1, "ended")
    return {"exit_code": 0, "seconds": round(time.monotonic() - began, 3), "output": _text(tail)}


def _check(command: list[str], allowed: str, environment: dict[str, str], timeout_seconds: float) -> None:
    names = [name.strip() for name in allowed.split(",") if name.strip()]
    if not names:
        raise ParameterError(
            f"command: run_command is off: the variable {VARIABLE} of the job's template names the programs that may "
            "run, by absolute path, separated by commas"
        )
    problems = []
    if not command or command[0] not in names:
        problems.append(f"command[0]: {(command or [''])[0]!r} is not allowed: {VARIABLE} has {', '.join(names)}")
    problems += [f"command[{index}]: has a NUL" for index, part in enumerate(command) if "\0" in part]
    problems += [
        f"environment: {name[:50]!r} is no variable's name, or its value has a NUL"
        for name, value in environment.items()
        if not name or "=" in name or "\0" in name + value
    ]
    problems += [f"{VARIABLE}: {name!r} is no absolute path" for name in names if not name.startswith("/")]
    if timeout_seconds < 0:
        problems.append(f"timeout_seconds: {timeout_seconds:g} is below 0")
    if problems:
        raise ParameterError(*problems)


@contextlib.contextmanager
def _running(
    command: list[str], environment: dict[str, str], tail: "deque[bytes]"
) -> Iterator["subprocess.Popen[bytes]"]:
    """The started program. However the block is left, at its end neither the program nor a child of it runs any more.

    Left by an exception, a stop or a time limit, they get SIGTERM first.
    """
    process = _start(command, environment)
    assert process.stdout is not None
    reader = threading.Thread(target=_read, args=(process.stdout, tail), daemon=True)
    try:
        reader.start()
        yield process
        reader.join(_DRAIN)
    except BaseException:
        _signal(process, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_GRACE)
        raise
    finally:
        _signal(process, signal.SIGKILL)
        process.wait()
        # Its end comes when nobody holds the pipe any more; only who left the session may hold it for longer.
        reader.join(_DRAIN)


def _start(command: list[str], environment: dict[str, str]) -> "subprocess.Popen[bytes]":
    try:
        # A session of its own: a signal reaches whatever the program itself starts.
        return subprocess.Popen(  # noqa: S603 - the program is one of an allow-list, and no shell reads the arguments
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        raise TaskFailed(f"{command[0]} could not be started: {error}") from error


def _read(stream: IO[bytes], tail: "deque[bytes]") -> None:
    size = 0
    with stream:
        while line := stream.readline(_MAX_LINE):
            _LOG.info("%s", line.decode("utf-8", "backslashreplace").rstrip("\r\n"))
            tail.append(line)
            size += len(line)
            while size - len(tail[0]) > _TAIL:
                size -= len(tail.popleft())


def _text(tail: "deque[bytes]") -> str:
    return b"".join(tail)[-_TAIL:].decode("utf-8", "replace")


def _signal(process: "subprocess.Popen[bytes]", number: int) -> None:
    with contextlib.suppress(ProcessLookupError):  # all of them have ended
        os.killpg(process.pid, number)
