"""What happens to jobs and runs, as short messages in the order in which it was told of, for a while.

A place in it is two versions: up to where the watch of jobs and that of JobRuns has been told on. All gateways have the
same places, so that a client goes on with another one where it was cut off.
"""

import asyncio
import json
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

from merp_api.schemas import JobView
from merp_api.translate import Json
from merp_api.views import asked_execution, listed_runs, run_state
from merp_crds.names import execution_id

# Minutes of a busy cluster; a message has some hundred bytes.
KEPT: Final = 5000
# Versions of jobs, and of JobRuns.
Place = tuple[int, int]


class Source(Enum):
    """The watch that a message comes from, by its part of a place."""

    JOBS = 0
    RUNS = 1


@dataclass(frozen=True, slots=True)
class Message:
    """One change. `place` is None where more of the same object follow: only behind the last of them one may go on.

    A message without a source is for everybody: there are changes that nobody was told of, so that all is to be read
    anew.
    """

    event: str
    data: str
    place: Place | None
    source: Source | None = None
    namespace: str = ""
    version: int = 0


class Feed:
    """The last messages, and everybody who waits for the next one."""

    def __init__(self, view: Callable[[Json], JobView], versions: Callable[[], Place], kept: int = KEPT) -> None:
        """`view` shows a job, `versions` says up to where the watches have told."""
        self._view = view
        self._versions = versions
        self._kept = kept
        self._messages: deque[Message] = deque()
        # The number of the first message that is kept; they are counted from 0.
        self._first = 0
        # Of each source, up to where messages are not kept any more.
        self._forgotten = [0, 0]
        self._news = asyncio.Event()

    @property
    def place(self) -> Place:
        """Where whoever has read everything is."""
        return self._versions()

    @property
    def end(self) -> int:
        """The number of the message that comes next."""
        return self._first + len(self._messages)

    def job_changed(self, before: Json | None, after: Json | None) -> None:
        """What the watch of ScheduledJobs tells."""
        item = after if after is not None else before
        assert item is not None
        found = [("execution", entry) for entry in _executions(before, after)]
        change = self._job_change(before, after)
        if change is not None:
            found.append(("job", change))
        self._add(Source.JOBS, item, found)

    def run_changed(self, before: Json | None, after: Json | None) -> None:
        """What the watch of JobRuns tells: executions that may not be known by another name yet."""
        item = after if after is not None else before
        assert item is not None
        change = _request(before, after)
        self._add(Source.RUNS, item, [] if change is None else [("execution", change)])

    def interrupted(self) -> None:
        """A list took the place of a watch: what is kept is not all that happened."""
        self._first = self.end
        self._messages.clear()
        self._forgotten = list(self._versions())
        self._append(Message("reset", "{}", self._versions()))

    def since(self, place: Place) -> tuple[int, bool]:
        """The number of the first message behind a place, and whether all of them are still kept.

        Messages that were before it may be among them: `is_behind` tells.
        """
        if any(known < forgotten for known, forgotten in zip(place, self._forgotten, strict=True)):
            return self.end, False
        return self._first, True

    def read(self, number: int) -> Iterator[Message] | None:
        """The messages from a number on; None where these are not kept any more."""
        if number < self._first:
            return None
        return iter([self._messages[index] for index in range(number - self._first, len(self._messages))])

    async def wait(self, number: int, seconds: float) -> None:
        """Until there is a message of that number, or so long."""
        if number >= self.end:
            try:
                async with asyncio.timeout(seconds):
                    await self._news.wait()
            except TimeoutError:
                # There is none; the caller has something else to do.
                return

    def wake(self) -> None:
        """Let everybody who waits look around."""
        self._news.set()
        self._news = asyncio.Event()

    def _add(self, source: Source, item: Json, found: list[tuple[str, dict[str, Any]]]) -> None:
        metadata = item["metadata"]
        version = int(metadata["resourceVersion"])
        for number, (event, change) in enumerate(found, start=1):
            data = {"kind": event, "namespace": metadata["namespace"]} | change | {"resource_version": str(version)}
            place = self._versions() if number == len(found) else None
            text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
            self._append(Message(event, text, place, source, metadata["namespace"], version))

    def _append(self, message: Message) -> None:
        self._messages.append(message)
        while len(self._messages) > self._kept:
            gone = self._messages.popleft()
            self._first += 1
            if gone.source is not None:
                self._forgotten[gone.source.value] = max(self._forgotten[gone.source.value], gone.version)
        self.wake()

    def _job_change(self, before: Json | None, after: Json | None) -> dict[str, Any] | None:
        item = after if after is not None else before
        assert item is not None
        change = {"id": item["metadata"]["name"], "type": _type(before, after), "changed": list[str]()}
        if before is not None and after is not None:
            old, new = self._view(before), self._view(after)
            change["changed"] = [name for name in JobView.model_fields if getattr(old, name) != getattr(new, name)]
            if not change["changed"]:
                return None
        return change


def is_behind(message: Message, place: Place) -> bool:
    """Whether a message tells what whoever was at that place does not know.

    That all is to be read anew is for those who listened then: whoever comes later to a place that is kept has done so.
    """
    return message.source is not None and message.version > place[message.source.value]


def parse_place(text: str) -> Place | None:
    """A place as it is written in an event's id, None for anything else."""
    jobs, _, runs = text.partition("-")
    words = (jobs, runs)
    if not all(word.isascii() and word.isdigit() and len(word) <= _DIGITS for word in words):
        return None
    return int(jobs), int(runs)


# etcd counts with 64 bits.
_DIGITS: Final = 19


def written_place(place: Place) -> str:
    """A place as an event's id."""
    return f"{place[0]}-{place[1]}"


def _type(before: object, after: object) -> str:
    if before is None:
        return "created"
    return "deleted" if after is None else "updated"


def _executions(before: Json | None, after: Json | None) -> Iterator[dict[str, Any]]:
    """What became of the runs that a job's status lists. One that is listed no more is no news."""
    if after is None:
        return
    uid, old = after["metadata"]["uid"], {} if before is None else listed_runs(before)
    for run, status in listed_runs(after).items():
        if old.get(run) != status:
            yield {
                "id": execution_id(uid, run),
                "job_id": after["metadata"]["name"],
                "type": "updated" if run in old else "created",
                "changed": ["status"],
                "status": status,
            }


def _request(before: Json | None, after: Json | None) -> dict[str, Any] | None:
    """What became of the execution that a JobRun asks for. That the request goes is no news: its execution stays."""
    wanted = None if after is None else asked_execution(after)
    if after is None or wanted is None:
        return None
    status, old = run_state(after), None if before is None else run_state(before)
    if status == old:
        return None
    return {
        "id": wanted,
        "job_id": after["spec"]["scheduledJob"],
        "type": _type(before, after),
        "changed": ["status"],
        "status": status,
    }
