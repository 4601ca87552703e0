"""Every due time ends in exactly one verdict, whatever dies when: a small world, second by second.

The native clock is as Kubernetes 1.34 has it; the operator decides with the real `accounting`, and what it writes it
writes step by step, so that it can be killed between any two of its writes. A start it first remembers; the Job comes
later, and with a kill perhaps never.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from hypothesis import example, given, settings
from hypothesis import strategies as st

from merp_crds.reasons import Trigger
from merp_crds.schedule import Timetable
from merp_crds.scheduledjob import Accounted, Missed, MissedPolicy, Schedule, Unrecorded
from merp_operator import accounting
from merp_operator.situation import Situation

BEGIN = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
OUTAGES = timedelta(minutes=8)
# Afterwards all is well: long enough for what is caught up one after the other, and for the last verdict.
HEALTHY = timedelta(minutes=14)
SECOND = timedelta(seconds=1)
# The operator looks when something changes; here, every so many seconds.
LOOKS = 2
# A run that was asked for and does not come is expected for so long.
EXPECTED = timedelta(seconds=60)


@dataclass
class Job:
    created: datetime
    ends: datetime
    trigger: Trigger
    by_operator: bool


@dataclass
class Plan:
    """What happens in the first minutes; numbers are seconds since the beginning."""

    policy: MissedPolicy
    forbid: bool
    native: bool
    duration: int
    native_away: list[tuple[int, int]]
    operator_away: list[tuple[int, int]]
    # The operator is killed after that many of its writes.
    kills: list[int]
    deletions: list[int]
    # How far the native clock is behind.
    behind: int
    # How many seconds after the next one a Job is there that was asked for, and whether one that is under way outlives the process.
    slow: int
    outlives: bool


@dataclass
class World:
    plan: Plan
    timetable: Timetable
    now: datetime = BEGIN
    jobs: dict[datetime, Job] = field(default_factory=dict)
    # The CronJob's status.
    last: datetime | None = None
    listed: set[datetime] = field(default_factory=set)
    # The ScheduledJob's status.
    accounted: Accounted | None = None
    unrecorded: list[Unrecorded] = field(default_factory=list)
    active: set[datetime] = field(default_factory=set)
    recent: list[datetime] = field(default_factory=list)
    # The database: what was written for each due time.
    verdicts: dict[datetime, set[str]] = field(default_factory=dict)
    # What the operator's process remembers.
    seen: set[datetime] | None = None
    expected: dict[datetime, datetime] = field(default_factory=dict)
    # Jobs that are being created, and when they will be there.
    under_way: dict[datetime, tuple[Trigger, datetime]] = field(default_factory=dict)
    writes: int = 0
    overlaps: int = 0

    def run(self) -> None:
        # One that began late lasts longer than that.
        away = [begin + length for begin, length in (*self.plan.native_away, *self.plan.operator_away)]
        end = BEGIN + max([OUTAGES, *(timedelta(seconds=second) for second in away)]) + HEALTHY
        while self.now < end:
            second = int((self.now - BEGIN).total_seconds())
            if second in self.plan.deletions:
                self._delete_by_hand()
            if not _away(self.plan.native_away, second):
                self._native()
            self._arrive(self.now)
            if _away(self.plan.operator_away, second):
                self._end_process()
            elif second % LOOKS == 0:
                self._operator()
            self.now += SECOND

    def _finished(self, job: Job) -> bool:
        return job.ends <= self.now

    def _make(self, due: datetime, trigger: Trigger, *, by_operator: bool) -> bool:
        if due in self.jobs:
            return False
        if self.plan.forbid and any(not self._finished(job) for job in self.jobs.values()):
            self.overlaps += 1
        self.jobs[due] = Job(self.now, self.now + timedelta(seconds=self.plan.duration), trigger, by_operator)
        return True

    def _arrive(self, until: datetime) -> None:
        """What was asked for up to then is there, unless its name is taken."""
        for due, (trigger, at) in list(self.under_way.items()):
            if at <= until:
                del self.under_way[due]
                self._make(due, trigger, by_operator=True)

    def _end_process(self) -> None:
        if self.plan.outlives:
            self._arrive(self.now + EXPECTED)
        self.under_way.clear()
        self.expected.clear()
        self.seen = None

    def _coming(self) -> set[datetime]:
        """The due times whose Jobs were asked for and have not been seen."""
        self.expected = {
            due: until for due, until in self.expected.items() if due not in self.jobs and self.now <= until
        }
        return set(self.expected)

    def _delete_by_hand(self) -> None:
        for due in [due for due, job in self.jobs.items() if not self._finished(job)]:
            del self.jobs[due]

    def _native(self) -> None:
        """As the CronJob controller does it, by a clock that is behind."""
        if not self.plan.native:
            return
        now = self.now - timedelta(seconds=self.plan.behind)
        self.listed = {due for due in self.listed if due in self.jobs and not self._finished(self.jobs[due])}
        since = max(self.last or BEGIN, now - accounting.STARTING_DEADLINE)
        due = self.timetable.newest(since, now)
        if due is None or (self.plan.forbid and self.listed):
            return
        if self._make(due, Trigger.SCHEDULE, by_operator=False):
            self.last = due
            self.listed.add(due)

    def _operator(self) -> None:
        """One look of the operator, as the reconciler does it; a kill leaves the rest of its writes undone."""
        vanished = (self.seen or set()) - set(self.jobs)
        self.seen = {due for due, job in self.jobs.items() if not self._finished(job)}
        situation = self._situation(vanished)
        decision = accounting.decide(situation, self.now)
        for write in self._writes(decision):
            write()
            self.writes += 1
            if self.writes in self.plan.kills:
                self._end_process()
                return

    def _situation(self, vanished: set[datetime]) -> Situation:
        coming = self._coming()
        unfinished = {due for due, job in self.jobs.items() if not self._finished(job)}
        gone = sorted(due for due in self.active | vanished if due not in self.jobs and due not in self.recent)
        return Situation(
            timetable=self.timetable,
            only=None,
            created=BEGIN,
            generation=1,
            suspended=False,
            native=self.plan.native,
            missed=Missed(policy=self.plan.policy),
            forbid=self.plan.forbid,
            accounted=self.accounted,
            started=frozenset(self.jobs) | frozenset(self.recent) | frozenset(self.active),
            starting=frozenset(coming),
            lost=tuple(gone),
            unrecorded=tuple(self.unrecorded),
            native_last=self.last if self.plan.native else None,
            unfinished=tuple(str(due) for due in unfinished | coming),
            catching_up=any(self.jobs[due].trigger is Trigger.CATCH_UP for due in unfinished),
            spans=tuple((job.created, job.ends if self._finished(job) else None) for job in self.jobs.values()),
        )

    def _writes(self, decision: accounting.Decision) -> list[Callable[[], None]]:  # noqa: C901  (each write is a function)
        """In the order in which the operator makes them: books, status, records, clean-up, starts."""
        kept = [
            entry for entry in self.unrecorded if not self._recorded(entry) or entry.last > decision.accounted.until
        ]
        unrecorded = [*kept, *decision.endings]
        ended = [due for due, job in self.jobs.items() if self._finished(job)]
        unfinished = {due for due, job in self.jobs.items() if not self._finished(job)}

        def books() -> None:
            ours = [due for due, job in self.jobs.items() if job.by_operator]
            skipped = [entry.last for entry in unrecorded if entry.last <= self.now]
            self.listed |= unfinished
            newest = max([*ours, *skipped], default=None)
            if newest is not None and (self.last is None or newest > self.last):
                self.last = newest

        def status() -> None:
            self.accounted = decision.accounted
            self.unrecorded = unrecorded
            self.active = set(unfinished)
            told = [entry.first for entry in decision.endings]
            self.recent = [*self.recent, *(due for due in (*ended, *told) if due not in self.recent)][-20:]

        def records() -> None:
            for entry in self.unrecorded:
                for due in self.timetable.between(entry.first - SECOND, entry.last):
                    if entry.count == 1 or due not in self.jobs:
                        self.verdicts.setdefault(due, set()).add(f"{entry.verdict.value} without a run")
            for due in ended:
                self.verdicts.setdefault(due, set()).add("run")

        def clean_up() -> None:
            for due in ended:
                old = self.now >= due + accounting.VERDICT_AGE
                if old and self.accounted is not None and due <= self.accounted.until and due in self.verdicts:
                    del self.jobs[due]

        def starts() -> None:
            for start in decision.starts:
                self.expected[start.due_time] = self.now + EXPECTED
                self.under_way[start.due_time] = (start.trigger, self.now + timedelta(seconds=self.plan.slow))

        return [books, status, records, clean_up, starts]

    def _recorded(self, entry: Unrecorded) -> bool:
        return entry.first in self.verdicts


def _away(spans: list[tuple[int, int]], second: int) -> bool:
    return any(begin <= second < begin + length for begin, length in spans)


_spans = st.lists(st.tuples(st.integers(0, 400), st.integers(1, 300)), max_size=4)
_plans = st.builds(
    Plan,
    policy=st.sampled_from(MissedPolicy),
    forbid=st.booleans(),
    native=st.booleans(),
    duration=st.sampled_from([1, 5, 40, 70, 200]),
    native_away=_spans,
    operator_away=_spans,
    kills=st.lists(st.integers(1, 1500), max_size=6),
    deletions=st.lists(st.integers(1, 480), max_size=3),
    behind=st.sampled_from([0, 0, 0, 2, 50]),
    slow=st.sampled_from([0, 1, 3, 20]),
    outlives=st.booleans(),
)


@settings(max_examples=25)
@given(_plans, st.sampled_from([{"cron": "* * * * *"}, {"cron": "*/2 * * * *"}]))
@example(Plan(MissedPolicy.ALL, True, True, 5, [(30, 180)], [(30, 180)], [], [], 0, 1, False), {"cron": "* * * * *"})
@example(Plan(MissedPolicy.LATEST, True, True, 5, [(30, 180)], [], [], [], 0, 1, False), {"cron": "* * * * *"})
@example(
    Plan(MissedPolicy.LATEST, False, True, 5, [(30, 206)], [(30, 206)], [], [], 0, 20, False), {"cron": "*/2 * * * *"}
)
@example(Plan(MissedPolicy.SKIP, True, True, 5, [], [(30, 180)], [], [], 0, 1, False), {"cron": "* * * * *"})
@example(Plan(MissedPolicy.SKIP, True, True, 70, [], [(30, 180)], [], [100], 50, 1, False), {"cron": "* * * * *"})
def test_every_due_time_ends_in_exactly_one_verdict(plan: Plan, schedule: dict[str, str]) -> None:
    if plan.policy is MissedPolicy.ALL:
        # All of them run one after the other, and the healthy minutes have to be enough.
        plan = replace(plan, duration=min(plan.duration, 40))
    if not plan.native:
        schedule = {"intervalSeconds": 45}  # type: ignore[dict-item]
    world = World(plan, Timetable.of(Schedule.model_validate(schedule)))
    world.run()
    settled = world.now - timedelta(seconds=300 + plan.duration)
    expected = list(world.timetable.between(BEGIN, settled))
    found = Counter({due: len(kinds) for due, kinds in world.verdicts.items() if due <= settled})
    assert {due: world.verdicts.get(due) for due in expected if found[due] != 1} == {}
    assert set(found) <= set(expected)
    assert world.accounted is not None
    assert world.accounted.until >= settled - timedelta(minutes=2)
