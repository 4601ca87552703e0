"""One run: read the task, check, call, report. Every way out ends in an exit code and a termination message."""

from __future__ import annotations

import inspect
import os
import sys
import time
import traceback
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Callable

from merp_runner import report
from merp_runner.context import Context, context_of, due_time_of
from merp_runner.discovery import discover
from merp_runner.errors import Refused, TaskDefinitionError, TaskFailed
from merp_runner.jsonsafe import clean_text, json_safe
from merp_runner.logs import Log, Progress
from merp_runner.masking import Masking
from merp_runner.parameters import bind, signature_of
from merp_runner.request import Request
from merp_runner.stop import Stop, Stopped
from merp_runner.tasks import REGISTRY, Task
from merp_runner.times import format_moment

RETURNED = 0
RAISED = 1
REFUSED = 2
INTERRUPTED = 130
STOPPED = 143


@dataclass(frozen=True)
class Outcome:
    """How a run ended: its exit code, and what the task returned or the failure."""

    code: int
    result: Any = None
    failure: report.Failure | None = None


class Run:
    """One run in this process."""

    def __init__(self, stop: Stop, masking: Masking, log: Log) -> None:
        self._stop = stop
        self._masking = masking
        self._log = log
        self._progress = Progress(log)
        self._started = datetime.now(timezone.utc)
        self._clock = time.monotonic()
        # Read before the task can change them.
        self._environment = dict(os.environ)
        self._func = ""

    def run(self, read: Callable[[], Request]) -> int:
        """Call the task that `read` gives, report, and return the exit code. Raises nothing that a task can cause."""
        try:
            try:
                outcome = Outcome(RETURNED, result=self._call(read))
            except Stopped:
                raise
            except BaseException as error:  # noqa: BLE001 - whatever a task raises is how its run ended
                outcome = self._failed(error)
            self._stop.disarm()
        except Stopped as stopped:
            # Also one that arrived while an error was being looked at.
            outcome = self._failed(stopped)
        if self._stop.requested:
            outcome = self._stopped(outcome)
        self._report(outcome)
        return outcome.code

    def _call(self, read: Callable[[], Request]) -> Any:
        request = read()
        self._func = request.func
        environment = self._environment
        due_time, source = due_time_of(
            request.due_time,
            environment.get("MERP_RUN_NAME", ""),
            environment.get("MERP_SCHEDULED_JOB", ""),
            environment.get("MERP_POD_CREATED", ""),
            self._started,
        )
        context = context_of(due_time, request.time_zone, environment, self._progress)
        os.environ.update(context.variables())
        discover(REGISTRY, environment, self._log.warn)
        self._log.capture_logging(environment.get("LOG_LEVEL", ""))
        task = REGISTRY.resolve(request.func)
        args, kwargs = bind(signature_of(task.function), request.args, request.kwargs, context)
        self._log.line("INFO", "task started", func=task.name, due_time_from=source, **_facts(context))
        return call(task, args, kwargs, self._stop)

    def _failed(self, error: BaseException) -> Outcome:
        if isinstance(error, SystemExit) and error.code in (None, 0):
            # What every program means by it; a stop is told apart by its flag, not by this.
            return Outcome(RETURNED)
        code = _exit_code(error)
        name = type(error).__qualname__
        if type(error).__module__ not in ("builtins", "merp_runner.stop", "merp_runner.errors"):
            name = f"{type(error).__module__}.{name}"
        # A refusal is about what was asked for, a TaskFailed says all itself: where it was raised tells nothing more.
        frames = "" if isinstance(error, (Refused, TaskFailed)) else _frames(error)
        return Outcome(code, failure=report.Failure(self._clean(name), self._clean(_text(error)), self._clean(frames)))

    def _stopped(self, outcome: Outcome) -> Outcome:
        """Whatever the task made of it: it did not run to its end undisturbed, so it is no success."""
        seconds = time.monotonic() - self._clock
        message = f"stopped by SIGTERM after {seconds:.1f} s"
        failure = outcome.failure
        if failure is None:
            message += "; the task then returned, which does not count"
            return Outcome(STOPPED, failure=report.Failure("Stopped", message))
        if failure.type not in ("Stopped", "asyncio.exceptions.CancelledError"):
            message += f"; the task then raised {failure.type}: {failure.message}"
        return Outcome(STOPPED, failure=report.Failure("Stopped", message, failure.traceback))

    def _report(self, outcome: Outcome) -> None:
        """Tell the log the whole and the termination message what fits. The outcome stands, whatever happens here."""
        self._progress.finish()
        seconds = round(time.monotonic() - self._clock, 3)
        result = self._masking.value(json_safe(outcome.result))
        failure = outcome.failure
        func = self._clean(self._func)
        if failure is None:
            self._log.line("INFO", "task returned", func=func, seconds=seconds, exit_code=outcome.code, result=result)
        else:
            error = {"type": failure.type, "message": failure.message, "traceback": failure.traceback}
            self._log.line("ERROR", "task failed", func=func, seconds=seconds, exit_code=outcome.code, error=error)
        try:
            limit = report.limit_of(self._environment)
        except ValueError as error:
            self._log.line("WARNING", f"{error}; {report.DEFAULT_LIMIT} is used")
            limit = report.DEFAULT_LIMIT
        try:
            report.write(report.message(func, result, failure, limit), self._environment)
        except OSError as error:
            self._log.line("WARNING", f"the termination message could not be written, the log has the result: {error}")

    def _clean(self, text: str) -> str:
        return self._masking.text(clean_text(text))


def call(task: Task, args: tuple[Any, ...], kwargs: dict[str, Any], stop: Stop) -> Any:
    """What the task returns; an async one is awaited. Raises what it raises; TaskDefinitionError where nothing ran."""
    returned = _await(task, args, kwargs, stop) if task.is_async else task.function(*args, **kwargs)
    if inspect.isawaitable(returned) or inspect.isgenerator(returned) or inspect.isasyncgen(returned):
        if inspect.iscoroutine(returned):
            returned.close()  # else Python warns, long after the reason
        raise TaskDefinitionError(
            f"task {task.name} returned {type(returned).__name__}, whose body has not run: "
            "make the task `async def` and await it, or return a list"
        )
    return returned


def _await(task: Task, args: tuple[Any, ...], kwargs: dict[str, Any], stop: Stop) -> Any:
    import asyncio  # here: costs a plain task 40 ms for nothing

    async def cancellable() -> Any:
        loop = asyncio.get_running_loop()
        current = asyncio.current_task()
        assert current is not None
        stop.redirect(lambda: loop.call_soon_threadsafe(current.cancel))
        try:
            return await task.function(*args, **kwargs)
        finally:
            stop.redirect(None)

    return asyncio.run(cancellable())


def _exit_code(error: BaseException) -> int:
    if isinstance(error, Refused):
        return REFUSED
    if isinstance(error, TaskFailed):
        return error.exit_code
    if isinstance(error, Stopped):
        return STOPPED
    if isinstance(error, KeyboardInterrupt):
        return INTERRUPTED
    if isinstance(error, SystemExit) and isinstance(error.code, int) and 0 < error.code < 256:
        return error.code
    return RAISED


def _text(error: BaseException) -> str:
    try:
        return f"the task called sys.exit({error.code!r})" if isinstance(error, SystemExit) else str(error)
    except Exception as broken:  # noqa: BLE001 - an exception whose __str__ raises
        return f"<no text: {type(broken).__name__}>"


def _frames(error: BaseException) -> str:
    """The traceback from the task's own first frame on, without the last line, which repeats type and message."""
    try:
        whole = "".join(traceback.format_exception(type(error), error, _own_frames(error)))
        last = "".join(traceback.format_exception_only(type(error), error))
    except Exception as broken:  # noqa: BLE001 - a __str__ or a source loader of the task's
        return f"<no traceback: {type(broken).__name__}>"
    return whole[: -len(last)] if whole.endswith(last) else whole


def _own_frames(error: BaseException) -> Any:
    frames = error.__traceback__
    here = str(Path(__file__).parent)
    while frames is not None and frames.tb_next is not None and frames.tb_frame.f_code.co_filename.startswith(here):
        frames = frames.tb_next
    return frames


def _facts(context: Context) -> dict[str, Any]:
    return {
        "run_name": context.run_name,
        "job_name": context.job_name,
        "due_time": format_moment(context.due_time),
        "business_date": context.business_date,
        "time_zone": context.time_zone,
    }


def settle_streams() -> None:
    """Flush standard output and error, so that what cannot be written changes no exit code.

    The interpreter flushes at its end too and turns a failure there into exit code 120, over a run that succeeded.
    """
    for stream, descriptor in ((sys.stdout, 1), (sys.stderr, 2)):
        try:
            stream.flush()
        except (OSError, ValueError, AttributeError):  # broken pipe, full disk; closed; replaced by None
            sink = os.open(os.devnull, os.O_WRONLY)
            if sink != descriptor:  # a descriptor that is closed is the lowest free one, and so the one just opened
                os.dup2(sink, descriptor)
                os.close(sink)
