"""The ends of the logs of attempts that failed: read once, and kept until the records have them."""

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from merp_kube.client import ApiError, Unreachable
from merp_operator import attempt
from merp_operator.cluster import Cluster
from merp_operator.observe import Json, Run
from merp_operator.own import Key

# A traceback and what led to it. The kubelet counts lines first, then bytes from the front of these.
LINES: Final = 50
_BYTES: Final = 65_536
# What is kept of it, from its end: a hundred runs on a page are half a megabyte.
KEPT_CHARACTERS: Final = 4_096
# The kubelet of a busy node answers late; a log that is away for longer than this will not come back.
_TRIES: Final = 4
_FIRST_DELAY: Final = 0.5
# Logs are for later reading: they must not take the API server from those that start runs.
_WORKERS: Final = 2

_log = logging.getLogger(__name__)


class LogTails:
    """Tails by the pods' UIDs. `look(key)` asks for a look at a ScheduledJob: a tail of its runs is there."""

    def __init__(self, *, cluster: Cluster, look: Callable[[Key], None], enabled: bool = True) -> None:
        self._cluster = cluster
        self._look = look
        self._enabled = enabled
        self._queue: asyncio.Queue[tuple[Key, Json]] = asyncio.Queue()
        # None where there is none: not read yet, not to be had, or in the records already.
        self._tails: dict[str, str | None] = {}
        self._reading: set[str] = set()

    def want(self, key: Key, runs: Iterable[Run]) -> None:
        """Read what the attempts of these runs said that failed and were not read yet."""
        if not self._enabled:
            return
        for run in runs:
            for pod in run.pods:
                uid = pod["metadata"]["uid"]
                if uid not in self._tails and attempt.has_failed(pod):
                    self._tails[uid] = None
                    self._reading.add(uid)
                    self._queue.put_nowait((key, pod))

    def of(self, run: Run) -> Mapping[str, str]:
        """The tails of a run's attempts that the records do not have yet, by the names of the pods."""
        found = {pod["metadata"]["name"]: self._tails.get(pod["metadata"]["uid"]) for pod in run.pods}
        return {name: tail for name, tail in found.items() if tail is not None}

    def is_pending(self, run: Run) -> bool:
        """Whether there is something to read, or to record, of it: its Job must stay."""
        uids = [pod["metadata"]["uid"] for pod in run.pods]
        return any(uid in self._reading or self._tails.get(uid) is not None for uid in uids)

    def recorded(self, run: Run) -> None:
        """The records have what there is of a run."""
        for pod in run.pods:
            if self._tails.get(pod["metadata"]["uid"]) is not None:
                self._tails[pod["metadata"]["uid"]] = None

    def forget(self, pods: Iterable[Json]) -> None:
        """Pods that are gone with their Job."""
        for pod in pods:
            self._tails.pop(pod["metadata"]["uid"], None)

    async def run(self) -> None:
        """Read what is wanted, until cancelled."""
        async with asyncio.TaskGroup() as group:
            for _ in range(_WORKERS):
                group.create_task(self._work())

    async def _work(self) -> None:
        while True:
            key, pod = await self._queue.get()
            uid = pod["metadata"]["uid"]
            try:
                text = await self._read(pod)
            finally:
                self._reading.discard(uid)
            if text and uid in self._tails:
                self._tails[uid] = text[-KEPT_CHARACTERS:]
            self._look(key)

    async def _read(self, pod: Json) -> str | None:
        name = f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"
        delay = _FIRST_DELAY
        for left in reversed(range(_TRIES)):
            try:
                return await self._cluster.log_of(pod, attempt.TASK, lines=LINES, limit=_BYTES)
            except (ApiError, Unreachable) as error:
                if not left:
                    _log.warning("the log of %s cannot be read, so its record has none: %s", name, error)
                    return None
            await asyncio.sleep(delay)
            delay *= 2
        return None
