"""Tasks of the tests' own image: what they do is known beforehand."""

from __future__ import annotations

import asyncio
import os
import select
import signal
import sys
import time
from datetime import date
from decimal import Decimal
from pathlib import Path  # also: a merely imported name must not become a task
from typing import Any, Optional

from merp_runner import Connection, Context, ParameterError, Stopped, TaskFailed, task


@task(title={"en": "Echo", "zh": "回显"})
def echo_args(*args: Any, **kwargs: Any) -> dict[str, Any]:
    """Return what was sent."""
    return {"args": list(args), "kwargs": kwargs}


@task
def sleep_for(seconds: float) -> dict[str, float]:
    """Sleep, announced on standard output, without progress."""
    print(f"sleeping for {seconds:g} s", flush=True)
    time.sleep(seconds)
    return {"slept": seconds}


@task
def work_until(path: str) -> str:
    """Work until there is such a file."""
    print(f"working until there is {path}", flush=True)
    while not Path(path).exists():
        time.sleep(0.1)
    return path


@task
async def sleep_async(seconds: float, cleanup: str = "") -> dict[str, float]:
    """The same in an event loop; leaves the file `cleanup` behind where it is cancelled."""
    try:
        print(f"sleeping for {seconds:g} s", flush=True)
        await asyncio.sleep(seconds)
    finally:
        if cleanup:
            Path(cleanup).write_text("cleaned up", encoding="utf-8")  # noqa: ASYNC240 - nothing else runs in this loop
    return {"slept": seconds}


@task
def sleep_stubbornly(seconds: float) -> str:
    """Swallow the stop and return as if nothing had happened."""
    try:
        print(f"sleeping for {seconds:g} s", flush=True)
        time.sleep(seconds)
    except Stopped:
        return "swallowed"
    return "slept"


@task
def handle_the_stop_itself(seconds: float, how: str) -> str:
    """Put its own handler in the place of the runner's, as frameworks do that stop gracefully, and end as if all were well.

    `how` is return or exit.
    """
    # A pipe, not an event: a handler that sets what its own thread is just about to wait for blocks itself for ever.
    told_here, tell = os.pipe()
    signal.signal(signal.SIGTERM, lambda number, frame: os.write(tell, b"x"))
    print(f"sleeping for {seconds:g} s", flush=True)
    told = bool(select.select([told_here], [], [], seconds)[0])
    if how == "exit":
        sys.exit(0)
    return f"handled: {told}"


@task
async def handle_the_stop_in_the_loop(seconds: float) -> str:
    """The same by the event loop's own means."""
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    print(f"sleeping for {seconds:g} s", flush=True)
    await asyncio.wait_for(stopped.wait(), seconds)
    return "handled"


@task
def clean_up_slowly(seconds: float, path: str, until: str = "") -> None:
    """Work until stopped, then need a while, and for as long as the file `until` is not there.

    A second SIGTERM must not break the clean-up.
    """
    try:
        # Announced inside: a signal at once must find the clean-up armed.
        print("working", flush=True)
        time.sleep(600)
    finally:
        print("cleaning up", flush=True)
        time.sleep(seconds)
        while until and not Path(until).exists():
            time.sleep(0.01)
        Path(path).write_text("cleaned up", encoding="utf-8")


@task
def clean_up_until(path: str) -> None:
    """Work until stopped, and then until there is such a file."""
    try:
        # Announced inside: a signal at once must find the clean-up armed.
        print("working", flush=True)
        time.sleep(3600)
    finally:
        print("cleaning up", flush=True)
        while not Path(path).exists():
            time.sleep(0.1)


@task
def fail_with(message: str, exit_code: Optional[int] = None) -> None:  # noqa: UP045 - read at run time, by 3.9 too
    """Raise RuntimeError(message), or end the process with an exit code after printing the message."""
    if exit_code is None:
        raise RuntimeError(message)
    print(message, flush=True)
    sys.exit(exit_code)


@task
def fail_first_attempt(directory: str = "/state", *, context: Context) -> dict[str, Any]:
    """Fail the first time this run calls it, return afterwards; attempts meet in `directory`, a volume they share."""
    mark = Path(directory) / context.run_name
    try:
        os.close(os.open(mark, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
    except FileExistsError:
        return {"attempt": 2, "idempotency_key": context.idempotency_key}
    raise RuntimeError("the first attempt fails on purpose")


@task
def fail_when_due(moments: list[int], *, context: Context) -> str:
    """Fail where the due time, in seconds since 1970, is one of `moments`."""
    if int(context.due_time.timestamp()) in moments:
        raise RuntimeError(f"the run of {context.due_time} fails on purpose")
    return context.due_time.isoformat()


@task
def big_result(size: int, text: str = "库存𠮷✅", as_text: bool = False) -> Any:
    """A dict whose JSON is at least `size` characters of `text`, or the bare text of `size` characters."""
    repeated = (text * (size // len(text) + 1))[:size]
    return repeated if as_text else {"text": repeated}


@task
def fail_big(size: int) -> None:
    """Raise with a text of `size` characters, with a NUL, a lone surrogate, Chinese and emoji in it."""
    raise ValueError("\0\ud800" + ("库存✅𠮷" * (size // 4 + 1))[: size - 2])


@task
def odd_result() -> dict[Any, Any]:
    """What JSON cannot hold."""
    return {
        "total": Decimal("12.30"),
        "day": date(2026, 12, 1),
        "ids": {3, 1},
        "rate": float("nan"),
        "raw": b"\xff",
        7: "k",
    }


@task
def context_of(*, context: Context) -> dict[str, Any]:
    """The run's context, and the same as environment variables."""
    names = ("MERP_DUE_TIME", "MERP_BUSINESS_DATE", "MERP_RUN_NAME", "MERP_IDEMPOTENCY_KEY")
    return {
        "due_time": context.due_time,
        "business_date": context.business_date,
        "time_zone": context.time_zone,
        "run_name": context.run_name,
        "job_name": context.job_name,
        "idempotency_key": context.idempotency_key,
        "attempt": context.attempt,
        "environment": {name: os.environ.get(name) for name in names},
    }


@task
def count_to(total: int, *, context: Context) -> int:
    """Tell of each step."""
    for done in range(1, total + 1):
        context.progress(done, total, "计数")
    return total


@task
def reveal(variable: str, how: str = "return") -> Any:
    """Show a variable's value by every way that the runner writes."""
    value = os.environ[variable]
    if how == "raise":
        raise RuntimeError(f"cannot log in with {value!r}")
    import logging

    logging.getLogger("reveal").warning("password %s", value)
    return {"value": value, value: [value]}


@task
def refuse(what: str) -> None:
    """Say that the parameters are wrong, as only the task can know."""
    raise ParameterError(f"what: there is no {what}")


@task
def fail_as_told(message: str, exit_code: int = 1) -> None:
    """Say what went wrong, and end with an exit code."""
    raise TaskFailed(message, exit_code)


@task
def reveal_connection(connection: Connection, how: str = "return") -> Any:
    """Show what a connection holds by every way that the runner writes."""
    if how == "raise":
        raise RuntimeError(f"cannot log in at {connection.url} with {connection.values}")
    import logging

    logging.getLogger("reveal").warning("%s %s", connection, connection.url)
    return {"values": dict(connection.values), "url": connection.url}


@task
def close_streams() -> str:
    """Leave a standard output behind that cannot be written."""
    os.close(1)
    return "done"


@task
def end_children() -> list[int]:
    """Fork a child, end it by SIGTERM as process pools do, and return how it ended."""
    ready, tell = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(tell, b"1")
        signal.pause()
        os._exit(0)
    # Python forgets a signal that reaches a child before it is set up.
    os.read(ready, 1)
    os.kill(child, signal.SIGTERM)
    _, status = os.waitpid(child, 0)
    return [os.WIFSIGNALED(status), os.WTERMSIG(status)]


@task
def forget_to_await() -> Any:
    """Return a coroutine whose body never runs."""
    return sleep_async(1)
