"""What the operator does at the gate: lets runs go, ends those that may not, makes those that dependencies bring."""

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from merp_crds import names
from merp_crds.reasons import Reason, Trigger, Verdict
from merp_crds.scheduledjob import (
    Accounted,
    DependencyPolicy,
    Opened,
    ScheduledJobSpec,
    ScheduledJobStatus,
)
from merp_kube.client import ApiError, Unreachable
from merp_operator import desired, gate, newlymet, opened, overlap, pause, pool, requests, upstreams
from merp_operator.cluster import Cluster, will_not_have
from merp_operator.desired import Defaults
from merp_operator.endings import written
from merp_operator.expectations import Expectations
from merp_operator.gate import Expire, Hold, Look, Open
from merp_operator.gated import is_gated
from merp_operator.newlymet import DependencyRun
from merp_operator.observe import Observed, Run
from merp_operator.own import Key
from merp_operator.picture import Pictures
from merp_operator.pool import Ready, Room
from merp_operator.pools import Pools
from merp_operator.upstreams import Upstream

# A quota or a policy changes without an event that is watched here.
_REFUSED: Final = timedelta(seconds=30)

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Waits:
    """What became of the runs that wait.

    `waiting` says what each waits for that still does, `look_again` is when the first has waited too long; `opened` is
    what opens one of them by this very look; `refused` is why one may not go on.
    """

    waiting: Mapping[str, str]
    look_again: datetime | None
    room: Room
    opened: tuple[Opened, ...]
    refused: str


class Gates:
    """The gates of one ScheduledJob after the other. Errors are the client's."""

    def __init__(self, *, cluster: Cluster, pictures: Pictures, expectations: Expectations, pools: Pools) -> None:
        self._cluster = cluster
        self._pools = pools
        self._pictures = pictures
        self._expectations = expectations

    async def look(self, observed: Observed, defaults: Defaults, now: datetime, *, suspended: bool) -> Look:
        """Let go what may go. Each write carries the version that it was decided from, so a second one meets the first.

        `suspended` where its definition is not good: what waits goes on waiting.
        """
        spec = observed.spec
        # What was made to wait goes on also where the job waits for nothing any more.
        if spec is None or not (is_gated(spec) or any(run.waits for run in observed.unfinished)):
            self._pools.leave((observed.namespace, observed.name))
            return Look()
        before = observed.told
        zone = desired.zone(spec, defaults)
        seen = {entry.name: self._upstream(observed, entry.name, zone, now) for entry in spec.depends_on}
        policy = spec.dependency_policy or DependencyPolicy()
        listed = opened.fold(before.opened, observed.runs, seen, policy.require)
        troubles = gate.troubles(spec.depends_on, seen)
        found = Look(opened=tuple(listed), troubles=troubles, accounted=before.accounted)
        if suspended:
            if spec.pool is not None:
                self._pools.nothing(observed, spec, _unfinished(seen))
            return found
        waits = await self._runs(observed, spec, zone, seen, listed, now)
        # What has just opened a run that waited makes no other.
        since = self._since(observed, spec, before, now)
        refused = await self._newly_met(observed, spec, defaults, since, seen, [*listed, *waits.opened], now)
        refused = waits.refused or refused
        again = [waits.look_again, now + _REFUSED if refused else None]
        return Look(
            waiting=waits.waiting,
            opened=found.opened,
            troubles=found.troubles,
            accounted=since,
            look_again=min((moment for moment in again if moment is not None), default=None),
            pool_trouble=waits.room.trouble,
            refused=refused,
        )

    def forget(self, key: Key) -> None:
        """A ScheduledJob that is gone."""
        self._pools.forget(key)

    def _upstream(self, observed: Observed, name: str, zone: str, now: datetime) -> Upstream:
        found = self._pictures.cached((observed.namespace, name))
        told = None if found is None else found.told
        return upstreams.read(name, found, told, zone=zone, now=now)

    async def _runs(
        self,
        observed: Observed,
        spec: ScheduledJobSpec,
        zone: str,
        seen: Mapping[str, Upstream],
        listed: list[Opened],
        now: datetime,
    ) -> _Waits:
        """Each run that waits: released, ended, or told what it waits for."""
        jobs = {run.name: run for run in observed.runs}
        last_end = overlap.last_end(observed)
        turns = overlap.decide(overlap.read(observed), spec.concurrency_policy, spec.max_queued, last_end)
        for end in turns.ends:
            await self._end(jobs[end.run], end.verdict, end.reason, end.sentence, now)
        waiting = {turn.run: turn.sentence for turn in turns.turns}
        again: list[datetime | None] = []
        open_now: list[Open] = []
        mine = _at_gate(observed, jobs, turns)
        answers = gate.answers(mine, spec.depends_on, spec.dependency_policy, zone, seen, listed, now)
        for answer in answers:
            if isinstance(answer, Hold):
                waiting[answer.run] = answer.sentence
                again.append(answer.until)
            elif isinstance(answer, Expire):
                await self._end(jobs[answer.run], answer.verdict, answer.reason, answer.sentence, now)
            elif turns.replacing and not _beside(answer, turns):
                for end in turns.replaces:
                    await self._end(jobs[end.run], end.verdict, end.reason, end.sentence, now)
                waiting[answer.run] = f"waiting for {', '.join(turns.replacing)} to end, which it replaces"
            else:
                open_now.append(answer)
        clear = {entry.run: entry.clear for entry in turns.goes_on}
        ready = {
            answer.run: Ready(run, pool.since(run.job, max(answer.since, clear[answer.run]), now))
            for answer in open_now
            for run in [jobs[answer.run]]
        }
        room = self._room(observed, spec, ready.values(), _unfinished(seen))
        refusals: list[str] = []
        for answer in open_now:
            waiting |= await self._go_on(observed, ready[answer.run], answer, room, refusals, now)
        moments = [moment for moment in (*again, room.look_again) if moment is not None]
        return _Waits(waiting, min(moments, default=None), room, _openers(answers), next(iter(refusals), ""))

    def _room(
        self, observed: Observed, spec: ScheduledJobSpec, ready: Iterable[Ready], awaited: frozenset[str]
    ) -> Room:
        """What waits for nothing but room: with whom it is to wait on."""
        if spec.pool is not None:
            return self._pools.ask(observed, spec, ready, awaited)
        self._pools.leave((observed.namespace, observed.name))
        return Room()

    async def _go_on(
        self, observed: Observed, ready: Ready, answer: Open, room: Room, refusals: list[str], now: datetime
    ) -> dict[str, str]:
        """Let a run go that has room, and end one that has waited too long. Returns what it waits for, by its name.

        Why Kubernetes does not let it go is added to `refusals`.
        """
        name, end = answer.run, room.expired.get(answer.run)
        if name in room.waiting:
            if name not in room.undecided:
                await self._keep_open(ready, answer)
            return {name: room.waiting[name]}
        if end is None:
            try:
                await self._release(observed, ready.run, answer)
            except ApiError as error:
                if not will_not_have(error):
                    raise
                refusals.append(f"{name} may not go on: {error.message}")
                return {name: f"waiting to be let go, which is refused: {error.message}"}
        elif await self._keep_open(ready, answer):
            # Its next look ends it, with what had opened its gate written on it as on any other.
            return {name: end.sentence}
        else:
            await self._end(ready.run, end.verdict, end.reason, end.sentence, now)
        return {}

    async def _release(self, observed: Observed, run: Run, answer: Open) -> None:
        await self._cluster.release(run.job, opened.annotation(answer.opened_by) if answer.opened_by else None)
        self._pools.released(observed, run)
        by = ", ".join(name for _, name in answer.opened_by)
        _log.info("released run %s%s", run.name, f" by {by}" if by else "")

    async def _keep_open(self, ready: Ready, answer: Open) -> bool:
        """What waits for room has its dependencies met for good: by then others may have forgotten what met them.

        Returns whether there was anything to write.
        """
        opened_by = opened.annotation(answer.opened_by) if answer.opened_by else None
        since = pool.unwritten(ready)
        if opened_by is None and since is None:
            return False
        await self._cluster.write_wait(ready.run.job, opened_by, since)
        return True

    async def _end(self, run: Run, verdict: Verdict, reason: Reason, sentence: str, now: datetime) -> None:
        await self._cluster.end_run(run.job, written(verdict, reason, sentence, now))

    def _since(
        self, observed: Observed, spec: ScheduledJobSpec, before: ScheduledJobStatus, now: datetime
    ) -> Accounted | None:
        """Since when dependencies are newly met; None for a job that has a schedule, or waits for nobody."""
        if spec.schedule is not None or not spec.depends_on:
            return None
        return newlymet.accounted(
            before.accounted,
            spec.depends_on,
            spec.dependency_policy,
            suspended=pause.in_force(observed, now) is not None,
            created=observed.created,
            generation=observed.generation,
            now=now,
            resumed=pause.ended(observed, now),
        )

    async def _newly_met(
        self,
        observed: Observed,
        spec: ScheduledJobSpec,
        defaults: Defaults,
        since: Accounted | None,
        seen: Mapping[str, Upstream],
        listed: list[Opened],
        now: datetime,
    ) -> str:
        """Make the runs of a job without a schedule. Returns why Kubernetes does not take the first that it refuses."""
        if since is None or pause.in_force(observed, now) is not None or observed.expected:
            return ""
        zone, policy = desired.zone(spec, defaults), spec.dependency_policy
        refusals = []
        for wanted in newlymet.newly_met(spec.depends_on, policy, zone, seen, listed, since.until):
            try:
                taken = await self._make(observed, spec, defaults, wanted)
            except ApiError as error:
                if not will_not_have(error):
                    raise
                refusals.append(f"the run of {wanted.name(observed.name)} is refused: {error.message}")
            else:
                refusals += [taken] if taken else []
        return next(iter(refusals), "")

    async def _make(self, observed: Observed, spec: ScheduledJobSpec, defaults: Defaults, wanted: DependencyRun) -> str:
        """Make a run, or find it made before. Returns why it cannot be made, where something else has its name."""
        name = wanted.name(observed.name)
        job = desired.run(observed, spec, defaults, name=name, trigger=Trigger.DEPENDENCY, due_time=wanted.due_time)
        job["metadata"]["annotations"][names.ANNOTATION_OPENED_BY] = opened.annotation(wanted.opened_by)
        key = (observed.namespace, observed.name)
        self._expectations.add(key, name)
        try:
            made = await self._cluster.create_job(job)
        except (ApiError, Unreachable):
            # It may exist or not: the next look meets it, or makes it.
            self._expectations.remove(key, name)
            raise
        if made:
            _log.info("created run %s/%s for %s", observed.namespace, name, wanted.opened_by)
            return ""
        found = await self._cluster.job(observed.namespace, name)
        if found is None or observed.owns(found):
            return ""
        # It is not coming, and whoever waits for it would wait in vain.
        self._expectations.remove(key, name)
        return f"a Job {name} exists and is not of this ScheduledJob: delete it, and this runs"


def _openers(answers: Iterable[gate.Answer]) -> tuple[Opened, ...]:
    """What opens which run."""
    return tuple(
        Opened(upstream=upstream, run=run, opened=answer.run)
        for answer in answers
        if isinstance(answer, Open)
        for upstream, run in answer.opened_by
    )


def _at_gate(observed: Observed, jobs: Mapping[str, Run], turns: overlap.Decision) -> list[gate.Waiting]:
    """The runs that overlap lets go on, as the gate sees them."""
    earlier = {request.name: request.spec.run for request in observed.requests if request.spec and request.spec.run}
    asked = (request for request in observed.requests if request.name in earlier)
    made_by = requests.made_by_each(observed, asked)
    reruns = {name: earlier[request] for request, made in made_by.items() for name, _ in made}
    # These end in this very look, or in the next one if the operator is killed: their tasks must not begin.
    cancelled = requests.cancelled(observed)
    return [
        gate.Waiting(
            entry.run,
            jobs[entry.run].due_time,
            entry.since,
            jobs[entry.run].trigger,
            reruns.get(entry.run, ""),
            opened.opened_by(jobs[entry.run].job),
        )
        for entry in turns.goes_on
        if entry.run not in cancelled
    ]


def _beside(answer: Open, turns: overlap.Decision) -> bool:
    """Whether a run may go beside those that are to be replaced: the one that replaces them is the last."""
    return bool(turns.goes_on) and answer.run != turns.goes_on[-1].run


def _unfinished(upstreams: Mapping[str, Upstream]) -> frozenset[str]:
    """The unfinished runs of the jobs that are waited for, by name."""
    return frozenset(run.name for upstream in upstreams.values() for run in upstream.runs if run.verdict is None)
