"""The verdicts of runs whose Jobs are gone, but for those that the accounting of due times ends."""

from collections.abc import Iterable, Sequence
from datetime import datetime

from merp_crds.reasons import Reason, Verdict
from merp_crds.scheduledjob import RunEntry, VerdictEntry
from merp_operator import outcome, status
from merp_operator.cluster import Cluster
from merp_operator.observe import Observed, Run
from merp_operator.situation import BY_CLOCK


async def verdicts(cluster: Cluster, observed: Observed, gone: Sequence[Run], now: datetime) -> list[VerdictEntry]:
    """What became of those whose Jobs were seen going, and of those that went while nobody looked.

    Errors are the client's.
    """
    entries = [_seen(run, now) for run in gone if run.finished or run.trigger not in BY_CLOCK]
    for entry in unseen(observed, gone):
        # Before it is said for good the cluster itself is asked: a watch may be behind.
        if await cluster.job(observed.namespace, entry.run) is None:
            entries.append(_unseen(entry, now))
    return entries


def unseen(observed: Observed, gone: Iterable[Run]) -> list[RunEntry]:
    """The runs that the status lists without a verdict, and of whose Jobs nothing is known: an operator that is gone
    by now saw them last."""
    known = {run.name for run in (*observed.runs, *gone)} | {name for name, _ in observed.expected}
    known |= {entry.run for entry in (*observed.told.recent, *observed.told.newest.values())}
    return [entry for entry in observed.told.active if entry.trigger not in BY_CLOCK and entry.run not in known]


def _seen(run: Run, now: datetime) -> VerdictEntry:
    if run.finished:
        return status.verdict_of(run)
    ending = outcome.vanished(run, owner_gone=False, now=now)
    return status.verdict_entry(run.name, run.due_time, run.trigger, ending)


def _unseen(entry: RunEntry, now: datetime) -> VerdictEntry:
    since = entry.since or now
    return VerdictEntry(
        run=entry.run,
        due_time=entry.due_time,
        trigger=entry.trigger,
        verdict=Verdict.CANCELLED,
        reason=Reason.JOB_DELETED,
        message="its Job was deleted by hand",
        start_time=since,
        end_time=max(now, since),
    )
