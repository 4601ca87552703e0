"""The runs of a job without a schedule: one each time its dependencies are newly met. Pure.

Nothing here remembers: the same upstreams, `opened` and `since` give the same runs under the same names.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from merp_crds import names
from merp_crds.scheduledjob import Accounted, Dependency, DependencyPolicy, Opened, Require
from merp_crds.zones import find_zone
from merp_operator import windows
from merp_operator.gate import OpenedBy
from merp_operator.upstreams import Upstream, UpstreamRun

# Upstream and the run of it that opens.
_Openers = dict[str, UpstreamRun]
# Under Any a due time has one run, whichever upstream was first.
_ANY: Final = "any"


@dataclass(frozen=True, slots=True)
class DependencyRun:
    """A run to make: its due time is the newest one of what opens it."""

    due_time: datetime
    opened_by: OpenedBy
    asked_by: str

    def name(self, scheduled_job: str) -> str:
        """Its name, equal for equal openers."""
        return names.run_name_for_request(scheduled_job, self.asked_by, self.due_time)


def accounted(
    before: Accounted | None,
    dependencies: Sequence[Dependency],
    policy: DependencyPolicy | None,
    *,
    suspended: bool,
    created: datetime,
    generation: int,
    now: datetime,
    resumed: datetime | None = None,
) -> Accounted:
    """From when on dependencies are newly met; its `until` is the `since` of newly_met().

    A pause, an edit of the dependencies and the creation are no outages: what ended before is not caught up. Where the
    hash differs from the one before, `until` becomes now, and never earlier; where only a pause is over that said when
    it would be, `resumed`, it becomes that.
    """
    digest = _digest(dependencies, policy or DependencyPolicy(), suspended=suspended)
    if before is not None:
        if before.hash == digest:
            return before
        paused = _digest(dependencies, policy or DependencyPolicy(), suspended=True)
        since = now if resumed is None or before.hash != paused else resumed
        return Accounted(until=max(before.until, since), hash=digest)
    # Edited before anybody looked: since when it is as it is cannot be known.
    return Accounted(until=now if generation > 1 or suspended else created, hash=digest)


def newly_met(
    dependencies: Sequence[Dependency],
    policy: DependencyPolicy | None,
    zone: str,
    upstreams: Mapping[str, Upstream],
    opened: Iterable[Opened],
    since: datetime,
) -> tuple[DependencyRun, ...]:
    """The runs that are to be made now, oldest due time first; to be made in that order.

    `opened` must know of every run of the job that carries `opened-by`; while a run that was asked for is not seen yet,
    this is not to be asked. Not for a job that is paused.
    """
    if not dependencies:
        return ()
    wanted = (policy or DependencyPolicy()).require
    look = _Look(dependencies, wanted, zone, upstreams, tuple(opened), since)
    found = look.any() if wanted is Require.ANY else look.all()
    return tuple(sorted((_run(openers, wanted) for openers in found), key=lambda run: (run.due_time, run.opened_by)))


def _run(openers: _Openers, require: Require) -> DependencyRun:
    opened_by = tuple((upstream, run.name) for upstream, run in openers.items())
    asked_by = _ANY if require is Require.ANY else ",".join(sorted("/".join(pair) for pair in opened_by))
    return DependencyRun(max(run.due_time for run in openers.values()), opened_by, asked_by)


def _digest(dependencies: Sequence[Dependency], policy: DependencyPolicy, *, suspended: bool) -> str:
    told = {
        "dependsOn": sorted((entry.as_json() for entry in dependencies), key=lambda entry: str(entry["name"])),
        "require": policy.require.value,
        "suspended": suspended,
    }
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:32]


@dataclass(slots=True)
class _Look:
    """One decision: combines what has opened nothing yet."""

    dependencies: Sequence[Dependency]
    require: Require
    zone: str
    upstreams: Mapping[str, Upstream]
    opened: tuple[Opened, ...]
    since: datetime
    _known: dict[str, Upstream] = field(init=False)
    _standing: dict[str, windows.Standing] = field(init=False)
    _used: windows.Used = field(init=False)

    def __post_init__(self) -> None:
        self._known = windows.complete(self.dependencies, self.upstreams)
        self._standing = {name: windows.standing(upstream) for name, upstream in self._known.items()}
        self._used = windows.Used(self._known, self.opened, self.require)

    def any(self) -> list[_Openers]:
        """One run for each due time for which any upstream did what is wanted."""
        found: dict[datetime, _Openers] = {}
        for dependency in self.dependencies:
            for due, run in self._unused(dependency).items():
                if self._new(run):
                    found.setdefault(due, {})[dependency.name] = run
        return list(found.values())

    def all(self) -> list[_Openers]:
        """One run for each set of upstream runs that belong together."""
        triggers = [dependency for dependency in self.dependencies if windows.consumes(dependency)]
        if not triggers:
            return self._in_windows()
        unused = {dependency.name: self._unused(dependency) for dependency in triggers}
        free = {
            name: [due for due, run in sorted(runs.items()) if self._new(run) and len(self._knowing(due, unused)) < 2]
            for name, runs in unused.items()
        }
        return [*self._equal(unused, free), *self._oldest(unused, free)]

    def _unused(self, dependency: Dependency) -> dict[datetime, UpstreamRun]:
        """The runs of an upstream that meet the condition and have opened nothing."""
        runs, used = self._standing[dependency.name], self._used.of(dependency.name)
        meeting = windows.met(dependency, runs, find_zone(self.zone))
        return {due: runs[due] for due in meeting if due not in used}

    def _candidates(self, dependency: Dependency, own_due: datetime) -> Sequence[datetime]:
        """The due times by which it is met for a run that is due then, whether they opened one before or not."""
        runs = self._standing[dependency.name]
        return windows.candidates(dependency, runs, own_due, find_zone(self.zone), frozenset())

    def _new(self, *runs: UpstreamRun) -> bool:
        # Moments of the cluster are whole seconds: within one nobody knows what was first, and a run too few is worse.
        since = self.since.replace(microsecond=0)
        return any(run.ended is not None and run.ended >= since for run in runs)

    def _knowing(self, due: datetime, names_: Iterable[str]) -> list[str]:
        """The upstreams that have or get a run for that very due time, whatever became of it, or may have had one."""
        return [
            name
            for name in names_
            if due in self._standing[name] or self._known[name].next_run == due or self._known[name].may_have_run(due)
        ]

    def _equal(
        self, unused: Mapping[str, dict[datetime, UpstreamRun]], free: dict[str, list[datetime]]
    ) -> list[_Openers]:
        """Runs for one due time of several upstreams belong together: all of these must meet the condition."""
        found = []
        for due in sorted({due for runs in unused.values() for due in runs}):
            group = self._knowing(due, unused)
            others = [name for name in unused if name not in group]
            if len(group) < 2 or any(due not in unused[name] for name in group) or not all(map(free.get, others)):
                continue
            chosen = {name: unused[name][due if name in group else free[name][0]] for name in unused}
            openers = self._with_guards(chosen)
            if openers is not None and self._new(*openers.values()):
                found.append(openers)
                for name in others:
                    del free[name][0]
        return found

    def _oldest(
        self, unused: Mapping[str, dict[datetime, UpstreamRun]], free: dict[str, list[datetime]]
    ) -> list[_Openers]:
        """Runs for due times that no other upstream knows: the oldest one of each."""
        sets = zip(*free.values(), strict=False)
        found = [
            self._with_guards({name: unused[name][due] for name, due in zip(free, dues, strict=True)}) for dues in sets
        ]
        return [openers for openers in found if openers is not None]

    def _with_guards(self, chosen: _Openers) -> _Openers | None:
        """With the upstreams whose windows are within or period: they need not be new, but they must be met."""
        due = max(run.due_time for run in chosen.values())
        openers = dict(chosen)
        for dependency in self.dependencies:
            if dependency.name in openers:
                continue
            found = self._candidates(dependency, due)
            if not found:
                return None
            openers[dependency.name] = self._standing[dependency.name][windows.nearest(found, due)]
        return openers

    def _in_windows(self) -> list[_Openers]:
        """Where all windows are within or period: a run for each due time that is new, with the others in its window.

        The others' due times are not after it, so that the newest one is the run's.
        """
        fresh = sorted({due for dependency in self.dependencies for due in self._unused(dependency)})
        found = []
        for due in fresh:
            openers: _Openers = {}
            for dependency in self.dependencies:
                met = self._candidates(dependency, due)
                if met and met[0] <= due:
                    openers[dependency.name] = self._standing[dependency.name][windows.nearest(met, due)]
            if len(openers) == len(self.dependencies) and self._new(*openers.values()):
                found.append(openers)
        return found
