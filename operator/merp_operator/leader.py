"""Which of several operators works: the one that holds the Lease. The others stand by.

A candidate measures with its own clock how long the Lease has been unchanged, and never compares times that two
machines wrote. The holder counts from the moment it sent its last renewal, and gives up three seconds before anybody
else may take over. Whoever has lost the lease ends at once, without the ordinary end of a process: there, what is still
in hand would be written out by one who does not lead. The next leader finds all of it by looking at the cluster.
"""

import asyncio
import logging
import math
import os
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum, auto
from http import HTTPStatus
from typing import Any, Final, NoReturn

from kubernetes.aio.client import Configuration

from merp_crds import names
from merp_kube import paths
from merp_kube.client import MERGE_PATCH, ApiError, Client, Json, Unreachable
from merp_operator import metrics

# Seconds. Nobody takes over before a record was unchanged for LEASE, the holder gives up after RENEW_DEADLINE: what
# lies between is for requests on their way.
LEASE: Final = 9.0
RENEW_DEADLINE: Final = 6.0
RETRY: Final = 1.5
# A request that hangs must leave time for a second one.
_REQUEST: Final = RENEW_DEADLINE / 2
# 1 is a crash and 2 a wrong setting.
EXIT_CODE: Final = 3
_WRITE: Final = {"fieldManager": names.FIELD_MANAGER_OPERATOR}
# What a holder is answered if the Lease is not as it left it.
_CHANGED: Final = frozenset({HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT})

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Record:
    """What a Lease says: its holder (empty: nobody), for how many seconds, how often it changed hands, its version."""

    holder: str
    seconds: float
    transitions: int
    version: str


class Step(Enum):
    """What to do about the Lease."""

    WAIT = auto()
    CREATE = auto()
    TAKE = auto()
    RENEW = auto()
    LOST = auto()


def decide(record: Record | None, since: float, now: float, *, identity: str, renewed_at: float | None) -> Step:
    """What to do about the Lease as it was read; None: there is none.

    `since` is when this very version was first seen, `renewed_at` when the last renewal was sent, None for who does not
    lead. All are seconds of one clock of this machine.
    """
    mine = record is not None and record.holder == identity
    if renewed_at is not None:
        return Step.RENEW if mine and now < renewed_at + RENEW_DEADLINE else Step.LOST
    if record is None:
        return Step.CREATE
    # A write of ours may have arrived although its answer did not.
    if mine or not record.holder:
        return Step.TAKE
    return Step.TAKE if now >= since + _runs_for(record) else Step.WAIT


def _runs_for(record: Record) -> float:
    """Seconds after which an unchanged record counts for nothing: the longer of what its writer and we believe."""
    return max(LEASE, record.seconds)


def read(lease: Json) -> Record:
    """The record in a Lease."""
    spec = lease.get("spec") or {}
    return Record(
        holder=spec.get("holderIdentity") or "",
        seconds=float(spec.get("leaseDurationSeconds") or 0),
        transitions=int(spec.get("leaseTransitions") or 0),
        version=lease["metadata"]["resourceVersion"],
    )


def uptime() -> float:
    """Seconds of a clock that nobody sets and that, where the system has one, counts on while the machine sleeps."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


def new_identity(process: str) -> str:
    """A holder's name: a container that starts again in its pod is another holder."""
    return f"{process}_{uuid.uuid4().hex[:8]}"


def end_process(reason: str) -> NoReturn:
    """End at once, with nothing written out."""
    _log.critical("leadership is lost, and the process ends: %s", reason)
    os._exit(EXIT_CODE)


class Alone:
    """No election: the only process leads. For one operator outside a cluster."""

    def __init__(self) -> None:
        self.won = asyncio.Event()
        self.won.set()
        self.stands_by = False
        # There is nothing to try.
        self.tried_at = math.inf
        metrics.LEADER.set(1)

    def holds(self) -> bool:
        """Whether this process leads at this moment."""
        return True

    def hold_or_end(self) -> None:
        """Do nothing: there is nobody to lose the lead to."""

    async def run(self) -> None:
        """Wait until cancelled."""
        await asyncio.Event().wait()

    async def release(self) -> None:
        """Do nothing: nobody waits."""


class Elector:
    """One candidate for a Lease. `run` strives for it and then keeps it; `won` is set when this process leads.

    `client` is the elector's own, so that a renewal never waits for a connection, and is closed by `release`. `end`
    ends the process where leadership is lost.
    """

    def __init__(
        self,
        client: Client,
        *,
        namespace: str,
        name: str,
        identity: str,
        clock: Callable[[], float] = uptime,
        end: Callable[[str], NoReturn] = end_process,
    ) -> None:
        self.won = asyncio.Event()
        # Whether the Lease could be read once, so that this process could take over.
        self.stands_by = False
        # Monotonic time of the last step: what liveness asks a standby for.
        self.tried_at = time.monotonic()
        self._client = client
        self._namespace = namespace
        self._name = name
        self._identity = identity
        self._clock = clock
        self._end = end
        self._record: Record | None = None
        self._since = 0.0
        # Whether `_record` may differ from what the API server has.
        self._stale = True
        # When the newest renewal that took place was sent; None while this process does not lead.
        self._renewed_at: float | None = None
        self._failing = False
        metrics.LEADER.set(0)

    def holds(self) -> bool:
        """Whether this process leads at this moment. No other one does meanwhile, unless a hand changed the Lease."""
        return self._renewed_at is not None and self._clock() < self._renewed_at + RENEW_DEADLINE

    def hold_or_end(self) -> None:
        """End the process if it does not lead any more: it may have been stopped for longer than it could notice."""
        if not self.holds():
            self._end("a write was to follow, and the lease was not renewed in time")

    async def run(self) -> None:
        """Strive for the lease, then renew it, until cancelled. An unreachable server is waited for by a candidate."""
        while True:
            delay = await self.step()
            await asyncio.sleep(delay)

    async def step(self) -> float:
        """Try once to get or to keep the lease. Returns the seconds after which to try again."""
        self.tried_at = time.monotonic()
        leading, at_once = self._renewed_at is not None, False
        try:
            # A candidate looks each time; a holder knows what it wrote.
            if not leading or (self._stale and self.holds()):
                await self._look()
            await self._act()
            self._recovered()
        except (ApiError, Unreachable) as error:
            self._failed(error)
            at_once = leading and isinstance(error, ApiError) and error.status in _CHANGED
        return 0.0 if at_once else max(0.0, min(RETRY, self._remaining()))

    async def release(self) -> None:
        """Give the lease up, so that the next one starts at once; failing that, it starts when the lease runs out."""
        try:
            if self.holds() and self._stale:
                await self._look()
            if self.holds() and self._record is not None and self._record.holder == self._identity:
                await self._write({"holderIdentity": None})
                _log.info("the lease %s/%s is given up", self._namespace, self._name)
        except (ApiError, Unreachable) as error:
            _log.warning("the lease %s/%s could not be given up: %s", self._namespace, self._name, error)
        finally:
            self._renewed_at = None
            metrics.LEADER.set(0)
            await self._client.close()

    async def _look(self) -> None:
        found: Record | None = None
        self._stale = True
        try:
            path = paths.LEASE.at(self._namespace, self._name)
            found = read(await self._client.call("GET", path, seconds=self._patience()))
        except ApiError as error:
            if error.status != HTTPStatus.NOT_FOUND:
                raise
        known = self._record
        if found is not None and found.holder not in ("", self._identity, "" if known is None else known.holder):
            _log.info("standing by: %s leads", found.holder)
        if found != known:
            self._record, self._since = found, self._clock()
        self._stale, self.stands_by = False, True

    async def _act(self) -> None:
        now = self._clock()
        record = self._record
        step = decide(record, self._since, now, identity=self._identity, renewed_at=self._renewed_at)
        if step is Step.WAIT:
            return
        if step is Step.LOST:
            self._end(self._why(now))
        moment = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        spec: Json = {"holderIdentity": self._identity, "leaseDurationSeconds": int(LEASE), "renewTime": moment}
        if record is None or record.holder != self._identity:
            spec |= {"acquireTime": moment, "leaseTransitions": 0 if record is None else record.transitions + 1}
        await self._write(spec)
        # The moment it was sent: others may count from when it arrived, which is not before.
        self._renewed_at = now
        if not self.won.is_set():
            _log.info("this process leads: %s holds the lease %s/%s", self._identity, self._namespace, self._name)
            metrics.LEADER.set(1)
            self.won.set()

    async def _write(self, spec: Json) -> None:
        """Write the Lease as it is known, or not at all. Until the answer is there, nobody knows what it says."""
        self._stale = True
        if self._record is None:
            body: Json = {
                "apiVersion": "coordination.k8s.io/v1",
                "kind": "Lease",
                "metadata": {"name": self._name, "namespace": self._namespace},
                "spec": spec,
            }
            path = paths.LEASE.of(self._namespace)
            lease = await self._client.call("POST", path, query=_WRITE, body=body, seconds=self._patience())
        else:
            body = {"metadata": {"resourceVersion": self._record.version}, "spec": spec}
            path = paths.LEASE.at(self._namespace, self._name)
            lease = await self._client.call(
                "PATCH", path, query=_WRITE, body=body, content_type=MERGE_PATCH, seconds=self._patience()
            )
        self._record, self._since, self._stale = read(lease), self._clock(), False

    def _patience(self) -> float:
        """Seconds for a request. One that a holder sends must end before its lease does; 0 would mean no limit."""
        return _REQUEST if self._renewed_at is None else max(0.1, min(_REQUEST, self._remaining()))

    def _remaining(self) -> float:
        """Seconds until this process loses the lease, or may take another one's."""
        now = self._clock()
        if self._renewed_at is not None:
            return self._renewed_at + RENEW_DEADLINE - now
        return RETRY if self._stale or self._record is None else self._since + _runs_for(self._record) - now

    def _why(self, now: float) -> str:
        assert self._renewed_at is not None, "only a holder loses"
        if now >= self._renewed_at + RENEW_DEADLINE:
            return f"the lease could not be renewed for {now - self._renewed_at:.1f} s"
        return "the Lease is gone" if self._record is None else f"{self._record.holder or 'nobody'} holds the lease now"

    def _failed(self, error: ApiError | Unreachable) -> None:
        # Two candidates that reach for it at once are no failure.
        conflict = isinstance(error, ApiError) and error.status == HTTPStatus.CONFLICT
        level = logging.DEBUG if self._failing or conflict else logging.WARNING
        self._failing = self._failing or not conflict
        _log.log(level, "the lease %s/%s: %s", self._namespace, self._name, error)

    def _recovered(self) -> None:
        if self._failing:
            self._failing = False
            _log.info("the lease %s/%s can be reached again", self._namespace, self._name)


class LeadersClient(Client):
    """A client whose writes are a leader's: `guard` is called before each one, and ends the process if it must not be.

    The one place that no write goes past, also one that was decided before the process was stopped for a while.
    """

    def __init__(self, configuration: Configuration, guard: Callable[[], None]) -> None:
        super().__init__(configuration)
        self._guard = guard

    async def call(self, method: str, path: str, **options: Any) -> Json:
        """As the client does it, after the guard."""
        if method != "GET":
            self._guard()
        return await super().call(method, path, **options)
