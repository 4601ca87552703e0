"""Whether the runs that wait for their dependencies may go on, have to wait, or have waited too long. Pure."""

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from typing import Final

from merp_crds.reasons import ConditionReason, Reason, Trigger, Verdict
from merp_crds.scheduledjob import Accounted, Dependency, DependencyPolicy, OnTimeout, Opened, Require
from merp_crds.zones import find_zone
from merp_operator import waits, windows
from merp_operator.upstreams import Upstream, UpstreamRun
from merp_operator.windows import Standing

# Upstream and run, by name.
OpenedBy = tuple[tuple[str, str], ...]

# A backfill runs the past, whose upstream runs are long gone; a dependency run is made because they are there.
_UNGATED: Final = frozenset({Trigger.BACKFILL, Trigger.DEPENDENCY})


@dataclass(frozen=True, slots=True)
class Waiting:
    """A run that waits at the gate, since `since`; `reruns` is the name of the earlier run that it runs again.

    `opened_by` is what has opened its gate before, where it waits for room since then.
    """

    name: str
    due_time: datetime
    since: datetime
    trigger: Trigger = Trigger.SCHEDULE
    reruns: str = ""
    opened_by: OpenedBy = ()


@dataclass(frozen=True, slots=True)
class Open:
    """A run may go on, since `since`. Where `opened_by` is empty nothing is written of it; `sentence` may say why."""

    run: str
    since: datetime
    opened_by: OpenedBy = ()
    sentence: str = ""


@dataclass(frozen=True, slots=True)
class Hold:
    """A run waits, at most until `until`."""

    run: str
    sentence: str
    until: datetime


@dataclass(frozen=True, slots=True)
class Expire:
    """A run has waited too long, and ends so."""

    run: str
    verdict: Verdict
    reason: Reason
    sentence: str


Answer = Open | Hold | Expire


@dataclass(frozen=True, slots=True)
class Look:
    """What was found at the gate of one job.

    `waiting` says for each run that waits what it waits for; `opened` is what its status is to list; `troubles` are the
    upstreams that will not run by themselves, `pool_trouble` is why no run can ever have room; `accounted` is since
    when dependencies are newly met, for a job that has no schedule; `refused` is what Kubernetes will not let be made
    or let go.
    """

    waiting: Mapping[str, str] = field(default_factory=dict)
    opened: tuple[Opened, ...] = ()
    troubles: tuple[str, ...] = ()
    accounted: Accounted | None = None
    look_again: datetime | None = None
    pool_trouble: tuple[ConditionReason, str] | None = None
    refused: str = ""


def answers(
    waiting: Iterable[Waiting],
    dependencies: Sequence[Dependency],
    policy: DependencyPolicy | None,
    zone: str,
    upstreams: Mapping[str, Upstream],
    opened: Iterable[Opened],
    now: datetime,
) -> tuple[Answer, ...]:
    """What becomes of each waiting run, oldest due time first: what opens one of them opens none of the others.

    `opened` must know of every run of the job that carries `opened-by`. An upstream that is not given does not exist.
    """
    gate = _Gate(dependencies, policy or DependencyPolicy(), zone, upstreams, tuple(opened), now)
    return tuple(gate.answer(run) for run in sorted(waiting, key=lambda run: (run.due_time, run.since, run.name)))


def troubles(dependencies: Iterable[Dependency], upstreams: Mapping[str, Upstream]) -> tuple[str, ...]:
    """The upstreams that will not run by themselves, each with the reason: `data-sync: does not exist`."""
    known = windows.complete(dependencies, upstreams)
    return tuple(f"{name}: {upstream.cannot_run}" for name, upstream in known.items() if upstream.cannot_run)


class _Gate:
    """One decision about all runs that wait."""

    def __init__(
        self,
        dependencies: Sequence[Dependency],
        policy: DependencyPolicy,
        zone: str,
        upstreams: Mapping[str, Upstream],
        opened: tuple[Opened, ...],
        now: datetime,
    ) -> None:
        self._dependencies = dependencies
        self._policy = policy
        self._zone = find_zone(zone)
        self._upstreams = windows.complete(dependencies, upstreams)
        self._opened = opened
        self._used = windows.Used(self._upstreams, opened, policy.require)
        self._now = now

    @cached_property
    def _standing(self) -> dict[str, Standing]:
        """The upstreams' runs as they are now, for all that wait; as they were at a deadline they are for one alone."""
        return {name: windows.standing(upstream) for name, upstream in self._upstreams.items()}

    def answer(self, run: Waiting) -> Answer:
        if not self._dependencies or run.trigger in _UNGATED:
            return Open(run.name, run.since)
        if self._is_opened(run):
            # What opened it may be forgotten by now, or be followed by a failure.
            return Open(run.name, run.since)
        before = {entry.upstream: entry.run for entry in self._opened if run.reruns and entry.opened == run.reruns}
        if before:
            # What the earlier run waited for was met, and it is still the same run.
            return Open(run.name, run.since, tuple(before.items()))
        deadline = run.since + timedelta(seconds=self._policy.timeout_seconds)
        # A look that comes late decides as one in time would have: what ended after the deadline came too late.
        until = deadline if self._now >= deadline else None
        if until is None:
            standing = self._standing
        else:
            standing = {name: windows.standing(upstream, until) for name, upstream in self._upstreams.items()}
        met = self._met(run, standing)
        found = self._openers(met)
        if found:
            for name, opener in found:
                self._used.add(name, opener.due_time)
            since = max([run.since, *(opener.ended for _, opener in found if opener.ended is not None)])
            return Open(run.name, since, tuple((name, opener.name) for name, opener in found))
        told = self._told(run, standing, {name for name, _ in met})
        if until is None:
            return Hold(run.name, f"waiting for {told}", deadline)
        return self._expired(run, deadline, f"waited {waits.span(self._policy.timeout_seconds)} for {told}")

    def _is_opened(self, run: Waiting) -> bool:
        """Whether what has opened it is all that it waits for by the rules of now."""
        met = {upstream for upstream, _ in run.opened_by}
        found = [dependency.name in met for dependency in self._dependencies]
        return any(found) if self._policy.require is Require.ANY else all(found)

    def _met(self, run: Waiting, standing: Mapping[str, Standing]) -> list[tuple[str, UpstreamRun]]:
        """The dependencies that are met, and by which run."""
        found = []
        for dependency in self._dependencies:
            opener = self._opener(dependency, run, standing[dependency.name])
            if opener is not None:
                found.append((dependency.name, opener))
        return found

    def _openers(self, met: list[tuple[str, UpstreamRun]]) -> list[tuple[str, UpstreamRun]]:
        """What opens a run of which these are met; empty if it has to wait."""
        if self._policy.require is Require.ANY:
            return met[:1]
        return met if len(met) == len(self._dependencies) else []

    def _opener(self, dependency: Dependency, run: Waiting, runs: Standing) -> UpstreamRun | None:
        upstream = self._upstreams[dependency.name]
        return windows.opener(dependency, upstream, runs, run.due_time, self._zone, self._used.of(dependency.name))

    def _told(self, run: Waiting, standing: Mapping[str, Standing], met: Set[str]) -> str:
        """What is not met."""
        parts = [
            waits.part(
                dependency,
                self._upstreams[dependency.name],
                standing[dependency.name],
                run.due_time,
                self._zone,
                self._used.of(dependency.name),
                self._now,
            )
            for dependency in self._dependencies
            if dependency.name not in met
        ]
        return waits.sentence(parts, self._policy.require)

    def _expired(self, run: Waiting, deadline: datetime, sentence: str) -> Answer:
        match self._policy.on_timeout:
            case OnTimeout.RUN:
                return Open(run.name, deadline, sentence=sentence)
            case OnTimeout.FAIL:
                return Expire(run.name, Verdict.FAILED, Reason.GATE_TIMEOUT, sentence)
            case OnTimeout.SKIP:
                return Expire(run.name, Verdict.SKIPPED, Reason.GATE_TIMEOUT, sentence)
