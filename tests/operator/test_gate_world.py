"""A diamond, a → b, c → d, over twenty due times: no run of d without its b and c, none missing, none twice.

Runs fail and are run again at any time; the operator decides with the real gate from the objects alone, writes step by
step, and is killed between any two of its writes. In one world b, c and d have no schedule; in the other all four are
due at the same moments and wait at their gates. The checker at the end knows only what was declared and the records.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial

from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st

from merp_crds.names import ANNOTATION_OPENED_BY
from merp_crds.reasons import Trigger, Verdict
from merp_crds.schedule import Timetable
from merp_crds.scheduledjob import RECENT_VERDICTS, Accounted, Dependency, DependencyPolicy, Opened, Schedule
from merp_operator import gate, newlymet, opened
from merp_operator.gate import OpenedBy, Waiting
from merp_operator.observe import Run
from merp_operator.upstreams import Upstream, UpstreamRun

BEGIN = datetime(2026, 12, 1, tzinfo=UTC)
SECOND = timedelta(seconds=1)
PERIOD = 30
DUES = [BEGIN + timedelta(seconds=PERIOD * number) for number in range(1, 21)]
EVERY = Timetable.of(Schedule(interval_seconds=PERIOD))
# Long enough after the last due time for every run, and for the looks that a killed operator missed.
END = DUES[-1] + timedelta(seconds=700)
NEEDS = {"a": [], "b": ["a"], "c": ["a"], "d": ["b", "c"]}
# Finished Jobs that a look leaves.
HISTORY = 3
PATIENT = DependencyPolicy(timeout_seconds=86_400)


@dataclass
class Plan:
    """What happens. Due times are numbered, and other numbers are seconds."""

    scheduled: bool
    durations: dict[str, int]
    # How many attempts at a due time fail; somebody tries twice more, that long after each failure.
    failures: dict[tuple[str, int], int]
    patience: int
    # Reruns of what had succeeded: job, due time, how long after the due time, and whether it fails then.
    again: list[tuple[str, int, int, bool]]
    kills: list[int]
    # How many seconds lie between two looks at a job.
    looks: int


@dataclass
class Job:
    name: str
    due: datetime
    trigger: Trigger
    created: datetime
    fails: bool
    reruns: str = ""
    released: datetime | None = None
    ends: datetime | None = None
    opened_by: OpenedBy = ()


@dataclass
class Owner:
    """A ScheduledJob: its Jobs, its status, and its records, which nothing is decided from."""

    jobs: dict[str, Job] = field(default_factory=dict)
    recent: list[UpstreamRun] = field(default_factory=list)
    newest: dict[Verdict, UpstreamRun] = field(default_factory=dict)
    opened: list[Opened] = field(default_factory=list)
    accounted: Accounted | None = None
    records: dict[str, Job] = field(default_factory=dict)


@dataclass
class World:
    plan: Plan
    now: datetime = BEGIN
    owners: dict[str, Owner] = field(default_factory=lambda: {name: Owner() for name in NEEDS})
    attempts: Counter[tuple[str, datetime]] = field(default_factory=Counter)
    errands: list[tuple[datetime, Callable[[], None]]] = field(default_factory=list)
    writes: int = 0

    def run(self) -> None:
        for name, number, delay, fails in self.plan.again:
            when = DUES[number] + timedelta(seconds=delay)
            self.errands.append((when, partial(self._rerun_success, name, DUES[number], fails)))
        while self.now < END:
            self._clock()
            self._people()
            second = int((self.now - BEGIN).total_seconds())
            for place, name in enumerate(NEEDS):
                if second % self.plan.looks == place % self.plan.looks:
                    self._look(name)
            self.now += SECOND

    def _clock(self) -> None:
        """The native clock, which needs no operator."""
        if self.now not in DUES:
            return
        # The downstream's Jobs are made first: the order is nobody's promise.
        for name in reversed(NEEDS) if self.plan.scheduled else "a":
            self._make(name, f"{name}-{DUES.index(self.now)}", self.now, Trigger.SCHEDULE)

    def _make(
        self,
        name: str,
        run: str,
        due: datetime,
        trigger: Trigger,
        by: OpenedBy = (),
        *,
        reruns: str = "",
        fails: bool = False,
    ) -> None:
        owner = self.owners[name]
        if run in owner.jobs:
            return
        number = DUES.index(due)
        self.attempts[name, due] += 1
        fails = fails or self.attempts[name, due] <= self.plan.failures.get((name, number), 0)
        job = Job(run, due, trigger, self.now, fails, reruns, opened_by=by)
        owner.jobs[run] = owner.records[run] = job
        if not NEEDS[name]:
            self._release(name, job, ())

    def _release(self, name: str, job: Job, by: OpenedBy) -> None:
        """The patch: suspend and opened-by at once."""
        job.released, job.opened_by = self.now, by or job.opened_by
        job.ends = self.now + timedelta(seconds=self.plan.durations[name])
        if job.fails:
            when = job.ends + timedelta(seconds=self.plan.patience)
            self.errands.append((when, partial(self._rerun, name, job.due, job.name)))

    def _people(self) -> None:
        due = [errand for when, errand in self.errands if when <= self.now]
        self.errands = [(when, errand) for when, errand in self.errands if when > self.now]
        for errand in due:
            errand()

    def _rerun(self, name: str, due: datetime, run: str, *, fails: bool = False) -> None:
        number = self.attempts[name, due]
        if number < 3:
            self._make(name, f"{name}-r-{DUES.index(due)}-{number}", due, Trigger.RETRY, reruns=run, fails=fails)

    def _rerun_success(self, name: str, due: datetime, fails: bool) -> None:
        good = [
            job
            for job in self.owners[name].records.values()
            if job.due == due and self._verdict(job) is Verdict.SUCCESS
        ]
        if good:
            self._rerun(name, due, good[-1].name, fails=fails)

    def _verdict(self, job: Job) -> Verdict | None:
        if job.ends is None or job.ends > self.now:
            return None
        return Verdict.FAILED if job.fails else Verdict.SUCCESS

    def _seen(self, job: Job) -> UpstreamRun:
        verdict = self._verdict(job)
        return UpstreamRun(job.name, job.due, verdict, job.released, None if verdict is None else job.ends)

    def _upstream(self, name: str) -> Upstream:
        owner = self.owners[name]
        found = {run.name: run for run in [*owner.newest.values(), *owner.recent]}
        found |= {job.name: self._seen(job) for job in owner.jobs.values()}
        known = {run.due_time for run in found.values()}
        by_clock = self.plan.scheduled or name == "a"
        coming = next((due for due in DUES if due >= self.now and due not in known), None) if by_clock else None
        return Upstream(
            name,
            tuple(sorted(found.values(), key=lambda run: (run.due_time, run.name))),
            next_run=coming,
            known_since=owner.recent[-1].ended if len(owner.recent) == RECENT_VERDICTS else None,
            timetable=EVERY if by_clock else None,
        )

    def _look(self, name: str) -> None:
        """One look of the operator at one job; a kill leaves the rest of its writes undone."""
        for write in self._writes(name):
            write()
            self.writes += 1
            if self.writes in self.plan.kills:
                return

    def _writes(self, name: str) -> Iterator[Callable[[], None]]:
        """What a look decides, in the order in which it is written: status, releases, new runs, clean-up."""
        owner = self.owners[name]
        needs = [Dependency(name=upstream) for upstream in NEEDS[name]]
        upstreams = {upstream: self._upstream(upstream) for upstream in NEEDS[name]}
        listed = opened.fold(owner.opened, map(_as_run, owner.jobs.values()), upstreams, PATIENT.require)
        asked = {"suspended": False, "created": BEGIN, "generation": 1, "now": self.now}
        accounted = newlymet.accounted(owner.accounted, needs, None, **asked)
        waiting = [
            Waiting(job.name, job.due, job.created, job.trigger, job.reruns)
            for job in owner.jobs.values()
            if job.released is None
        ]
        answers = gate.answers(waiting, needs, PATIENT, "UTC", upstreams, listed, self.now)
        runs = () if self.plan.scheduled else newlymet.newly_met(needs, None, "UTC", upstreams, listed, accounted.until)
        finished = [job for job in owner.jobs.values() if self._verdict(job) is not None]
        yield partial(self._status, owner, listed, accounted, finished)
        for answer in answers:
            if isinstance(answer, gate.Open):
                yield partial(self._release, name, owner.jobs[answer.run], answer.opened_by)
        for run in runs:
            yield partial(self._make, name, run.name(name), run.due_time, Trigger.DEPENDENCY, run.opened_by)
        surplus = sorted(finished, key=lambda job: job.ends or job.created)[:-HISTORY]
        for job in surplus:
            yield partial(owner.jobs.pop, job.name)

    def _status(self, owner: Owner, listed: list[Opened], accounted: Accounted, finished: list[Job]) -> None:
        owner.opened, owner.accounted = listed, accounted
        entries = {run.name: run for run in [*owner.recent, *map(self._seen, finished)]}
        newest_first = sorted(entries.values(), key=lambda run: (run.ended or BEGIN, run.name), reverse=True)
        owner.recent = newest_first[:RECENT_VERDICTS]
        for run in reversed(newest_first):
            if run.verdict is not None:
                owner.newest[run.verdict] = run


def _as_run(job: Job) -> Run:
    annotations = {ANNOTATION_OPENED_BY: opened.annotation(job.opened_by)} if job.opened_by else {}
    return Run(job.name, job.name, job.due, job.trigger, {"metadata": {"annotations": annotations}})


def problems(plan: Plan, records: dict[str, dict[str, Job]], now: datetime) -> list[str]:
    """What the records say against what was declared; it knows nothing of how that came about."""
    found = []
    for name, needs in NEEDS.items():
        for due in DUES if needs else []:
            runs = [job for job in records[name].values() if job.due == due and job.trigger is not Trigger.RETRY]
            went = [job for job in runs if job.released is not None]
            if len(went) > 1:
                found.append(f"{name} of {due} twice: {went}")
            for job in went:
                openers = [records[upstream][run] for upstream, run in job.opened_by]
                if sorted(upstream for upstream, _ in job.opened_by) != needs:
                    found.append(f"{job.name} was opened by {job.opened_by}")
                found += [
                    f"{job.name} of {due} was opened by {opener.name} of {opener.due}, which ended at {opener.ends}"
                    for opener in openers
                    if opener.due != due or opener.fails or opener.ends is None or opener.ends > (job.released or now)
                ]
            if not went and all(_good(records[upstream], due, now) for upstream in needs):
                found.append(f"{name} of {due} is missing")
    used = Counter(
        (name, pair)
        for name, jobs in records.items()
        for job in jobs.values()
        if job.trigger is not Trigger.RETRY
        for pair in job.opened_by
    )
    return found + [f"{pair} opened {name} {count} times" for (name, pair), count in used.items() if count > 1]


def _good(jobs: dict[str, Job], due: datetime, now: datetime) -> bool:
    """Whether the last run of that due time succeeded."""
    ended = [job for job in jobs.values() if job.due == due and job.ends is not None and job.ends <= now]
    return bool(ended) and not max(ended, key=lambda job: (job.ends or now, job.name)).fails


_numbers = st.integers(0, len(DUES) - 1)
_plans = st.builds(
    Plan,
    scheduled=st.booleans(),
    durations=st.fixed_dictionaries({name: st.sampled_from([1, 5, 29, 40]) for name in NEEDS}),
    failures=st.dictionaries(st.tuples(st.sampled_from("abc"), _numbers), st.integers(1, 3), max_size=15),
    patience=st.sampled_from([1, 10, 45]),
    again=st.lists(st.tuples(st.sampled_from("abc"), _numbers, st.integers(5, 150), st.booleans()), max_size=6),
    kills=st.lists(st.integers(1, 600), max_size=60),
    looks=st.sampled_from([3, 7, 45]),
)
STEADY = dict.fromkeys(NEEDS, 5)


# No shrinking: it takes minutes, and the plan that failed is told.
@settings(max_examples=10, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(_plans)
@example(Plan(False, STEADY, {}, 1, [], [], 3))
@example(Plan(True, STEADY, {}, 1, [], [], 3))
@example(Plan(False, STEADY, {("b", 2): 1, ("c", 3): 1}, 45, [], [], 3))
@example(Plan(True, STEADY, {("b", 2): 1, ("c", 3): 3}, 45, [("b", 5, 60, True)], list(range(1, 600, 3)), 3))
def test_no_run_of_d_without_its_b_and_c_none_missing_none_twice(plan: Plan) -> None:
    world = World(plan)
    world.run()
    records = {name: owner.records for name, owner in world.owners.items()}
    assert problems(plan, records, world.now) == []


def test_the_checker_sees_what_is_wrong() -> None:
    """The checker itself: a world that is right, and what it says when the records are not."""
    world = World(Plan(False, STEADY, {}, 1, [], [], 3))
    world.run()
    records = {name: owner.records for name, owner in world.owners.items()}
    assert {name: len(jobs) for name, jobs in records.items()} == dict.fromkeys(NEEDS, len(DUES))
    third = next(job for job in records["d"].values() if job.due == DUES[2])
    fourth = next(job for job in records["d"].values() if job.due == DUES[3])
    third.opened_by, third.due = fourth.opened_by, fourth.due
    told = problems(world.plan, records, world.now)
    told = [" ".join(word for word in text.split() if word in ("missing", "twice:", "ended", "times")) for text in told]
    # It was released before what it now says opened it had ended.
    assert told == ["missing", "twice:", "ended", "ended", "times", "times"]
