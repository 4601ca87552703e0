"""The log of an execution: of its pod as long as there is one, else the end that the records keep."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Final

from merp_api import problems
from merp_api.cluster import Cluster
from merp_api.executions import Executions
from merp_api.identity import Caller
from merp_api.problems import Problem
from merp_api.records import Records
from merp_api.schemas import ExecutionView
from merp_api.translate import Json
from merp_kube.client import ApiError
from merp_records import queries
from merp_records.queries import Execution

# The name of the container that the operator gives a run.
_CONTAINER: Final = "task"
# Seconds. A refusal comes at once; of a pod that writes nothing no answer at all begins, for as long as it does not.
_REFUSAL_SECONDS: Final = 2.0


def _nothing() -> None:
    """What is kept holds nothing that must be let go."""


@dataclass(frozen=True, slots=True)
class Log:
    """The text in pieces, and where it comes from: `pod` or `records`. Its end must be awaited or closed.

    `close` lets go of a text that nobody has begun to read.
    """

    source: str
    text: AsyncIterator[bytes]
    close: Callable[[], Any] = _nothing


def newest_started(pods: list[Json]) -> str | None:
    """The name of the newest pod whose container has begun, so that there is a log. Pure."""
    begun = [pod for pod in pods if _has_begun(pod)]
    newest = max(begun, key=lambda pod: (pod["metadata"]["creationTimestamp"], pod["metadata"]["name"]), default=None)
    return None if newest is None else str(newest["metadata"]["name"])


def kept_text(execution: Execution) -> str | None:
    """What the records keep of a log: the end of each failed attempt, else that of the run. None for nothing. Pure."""
    attempts: list[dict[str, Any]] = execution.attempt_details or []
    tails = [(entry.get("pod"), entry["logTail"]) for entry in attempts if entry.get("logTail")]
    if tails:
        return "".join(f"--- {pod or 'unknown pod'}\n{tail.rstrip()}\n" for pod, tail in tails)
    return f"{execution.log_tail.rstrip()}\n" if execution.log_tail else None


class Logs:
    """Reads logs with the caller's own rights."""

    def __init__(
        self, cluster: Cluster, executions: Executions, records: Records, *, refusal_seconds: float = _REFUSAL_SECONDS
    ) -> None:
        """`refusal_seconds` is how long a pod's log is waited for before it is taken to say nothing yet."""
        self._cluster = cluster
        self._executions = executions
        self._records = records
        self._refusal_seconds = refusal_seconds

    async def read(
        self,
        caller: Caller,
        namespace: str | None,
        default_namespace: str,
        execution_id: str,
        lines: int | None,
        *,
        follow: bool,
    ) -> Log:
        """The log of an execution; of a pod the last `lines` (None: all), and with `follow` until the pod ends.

        Who may not read pods gets what the records keep. Raises Problem 404 where there is neither.
        """
        view = (await self._executions.find(caller, namespace, default_namespace, execution_id)).view
        pod = await self._pod(caller, view)
        if pod is not None:
            text = self._cluster.log(caller.token, view.namespace, pod, _CONTAINER, lines, follow=follow)
            log = await self._started(text)
            if log is not None:
                return log
        kept = await self._records.read(
            lambda connection: queries.execution(connection, execution_id, namespaces=[view.namespace])
        )
        text_kept = None if kept is None else kept_text(kept)
        if text_kept is None:
            raise Problem(problems.NOT_FOUND, f"there is no log of {view.run_name}: {_why(view)}")
        return Log("records", _once(text_kept))

    async def _started(self, text: AsyncGenerator[bytes]) -> Log | None:
        """The log of a pod; None where the caller may not read it, which is an answer of its own.

        One that says nothing yet has begun: its reader is told so, and is seen to go away.
        """
        first = asyncio.create_task(_first(text))
        try:
            async with asyncio.timeout(self._refusal_seconds):
                await asyncio.shield(first)
        except TimeoutError:
            pass
        except asyncio.CancelledError:
            first.cancel()
            raise
        except ApiError as error:
            # 404: the pod went in between.
            if error.status not in (403, 404):
                raise
            return None
        return Log("pod", _whole(first, text), first.cancel)

    async def _pod(self, caller: Caller, view: ExecutionView) -> str | None:
        try:
            return newest_started(await self._cluster.pods(caller.token, view.namespace, view.run_name, view.job_uid))
        except ApiError as error:
            if error.status != 403:
                raise
            return None


async def _first(text: AsyncGenerator[bytes]) -> bytes | None:
    return await anext(text, None)


async def _whole(first: asyncio.Task[bytes | None], rest: AsyncGenerator[bytes]) -> AsyncIterator[bytes]:
    async with aclosing(rest):
        piece = await first
        if piece is not None:
            yield piece
        async for piece in rest:
            yield piece


async def _once(text: str) -> AsyncIterator[bytes]:
    yield text.encode()


def _has_begun(pod: Json) -> bool:
    statuses: list[Json] = (pod.get("status") or {}).get("containerStatuses") or []
    states = [entry.get("state") or {} for entry in statuses if entry.get("name") == _CONTAINER]
    return any("running" in state or "terminated" in state for state in states)


def _why(view: ExecutionView) -> str:
    if view.end_time is None:
        return "its pod has not begun, or you may not read pods"
    return "its pod is gone, and of attempts that did not fail none is kept"
