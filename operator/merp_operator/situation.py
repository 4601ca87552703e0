"""What is known of a ScheduledJob's due times, drawn from what was observed. Pure."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from merp_crds.common import parse_rfc3339
from merp_crds.reasons import Trigger
from merp_crds.schedule import Timetable
from merp_crds.scheduledjob import (
    Accounted,
    ConcurrencyPolicy,
    Missed,
    Schedule,
    ScheduledJobSpec,
    ScheduledJobStatus,
    Unrecorded,
)
from merp_operator.observe import Observed, Run

# What one of the two clocks starts.
BY_CLOCK: Final = frozenset({Trigger.SCHEDULE, Trigger.CATCH_UP})
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Situation:
    """What is known of a ScheduledJob's due times.

    `only` is the due time of a schedule that has one; `started` are those that have a Job or had one, `unrecorded`
    holds those that ended without; `native_last` is the newest one that the native clock's books hold.
    """

    timetable: Timetable
    only: datetime | None
    created: datetime
    generation: int
    suspended: bool
    native: bool
    missed: Missed
    forbid: bool
    accounted: Accounted | None
    started: frozenset[datetime] = frozenset()
    # Those whose Jobs are just being asked for: not to be started again, and not accounted for either.
    starting: frozenset[datetime] = frozenset()
    # Due times that were started, and whose Jobs are gone without a verdict.
    lost: tuple[datetime, ...] = ()
    # Due times whose names something else has.
    taken: frozenset[datetime] = frozenset()
    unrecorded: tuple[Unrecorded, ...] = ()
    native_last: datetime | None = None
    # Names of the unfinished runs of any kind, and whether one of them catches up.
    unfinished: tuple[str, ...] = ()
    catching_up: bool = False
    # Whether its status was written before: where that holds no account any more, the creation does not stand for it.
    looked_at: bool = False
    # When a pause of itself ended.
    resumed: datetime | None = None
    # Whether, when it was looked at last, a pause or a bad definition let nothing become due.
    stopped: bool = False
    # When each run that the cluster shows began and ended; None while it is unfinished.
    spans: tuple[tuple[datetime, datetime | None], ...] = ()

    @property
    def digest(self) -> str:
        """Of everything whose change is no outage: schedule, zone, calendar and suspension."""
        return self.digest_if(suspended=self.suspended)

    @property
    def edited(self) -> bool:
        """Whether it means another thing than when it was looked at last: more has changed than a pause."""
        digests = (self.digest_if(suspended=False), self.digest_if(suspended=True))
        return self.accounted is not None and self.accounted.hash not in digests

    def digest_if(self, *, suspended: bool) -> str:
        """The digest with or without a pause."""
        return hashlib.sha256(f"{self.timetable.digest}\n{suspended}".encode()).hexdigest()[:32]


def read(
    observed: Observed,
    status: ScheduledJobStatus,
    *,
    suspended: bool,
    native: bool,
    vanished: Iterable[Run] = (),
    taken: frozenset[datetime] = frozenset(),
    resumed: datetime | None = None,
    stopped: bool = False,
) -> Situation | None:
    """What an observed ScheduledJob says of its due times; None where nothing is due by the clock.

    `vanished` are runs whose Jobs are gone, as far as anybody saw them going.
    """
    spec = observed.spec or ScheduledJobSpec()
    if observed.timetable is None or spec.schedule is None:
        return None
    vanished = tuple(vanished)
    over = [run for run in vanished if run.finished and run.trigger in BY_CLOCK]
    runs = {run.name: run for run in observed.runs}
    told = {entry.run for entry in status.recent} | {run.name for run in over}
    gone = {run.name: run.due_time for run in vanished if run.trigger in BY_CLOCK and not run.finished}
    ended = [*status.recent, *status.newest.values()]
    listed = [entry for entry in status.active if entry.trigger in BY_CLOCK and entry.due_time is not None]
    gone |= {entry.run: entry.due_time for entry in listed if entry.due_time is not None}
    due_times = [run.due_time for run in (*observed.runs, *over) if run.trigger in BY_CLOCK]
    due_times += [entry.due_time for entry in ended if entry.trigger in BY_CLOCK and entry.due_time is not None]
    due_times += [entry.due_time for entry in listed if entry.due_time is not None]
    native_last = ((observed.own_cron_job or {}).get("status") or {}).get("lastScheduleTime")
    return Situation(
        timetable=observed.timetable,
        only=_only(spec.schedule, observed.timetable),
        created=observed.created,
        generation=observed.generation,
        suspended=suspended,
        native=native,
        missed=spec.missed or Missed(),
        forbid=spec.concurrency_policy is ConcurrencyPolicy.FORBID,
        accounted=status.accounted,
        started=frozenset(due_times),
        starting=observed.expected_due_times - frozenset(due_times),
        lost=tuple(sorted(due for name, due in gone.items() if name not in runs and name not in told)),
        taken=taken,
        unrecorded=tuple(status.unrecorded),
        native_last=parse_rfc3339(native_last) if native_last else None,
        unfinished=observed.unfinished_names,
        catching_up=any(run.trigger is Trigger.CATCH_UP for run in observed.unfinished),
        looked_at="observedGeneration" in observed.status,
        resumed=resumed,
        stopped=stopped,
        spans=tuple((run.began, run.ended) for run in observed.runs),
    )


def _only(schedule: Schedule, timetable: Timetable) -> datetime | None:
    """The due time of a schedule that has one; None for others, and where a calendar takes it away."""
    if schedule.at is None:
        return None
    return schedule.at.astimezone(UTC) if schedule.calendar is None else timetable.after(_EPOCH)
