"""Whether the runs of a job wait at a gate: they are made suspended, and the operator releases them. Pure."""

from typing import Final

from merp_crds.reasons import Trigger
from merp_crds.scheduledjob import ConcurrencyPolicy, ScheduledJobSpec

_ORDERED: Final = frozenset({ConcurrencyPolicy.QUEUE, ConcurrencyPolicy.REPLACE})


def is_gated(spec: ScheduledJobSpec) -> bool:
    """Only where it must be: a plain job starts with every part of the scheduler dead."""
    return bool(spec.depends_on) or spec.pool is not None or spec.concurrency_policy in _ORDERED


def waits(spec: ScheduledJobSpec, trigger: Trigger) -> bool:
    """Whether a run is made suspended. A backfill runs the past: all that it may have to wait for is room."""
    return spec.pool is not None if trigger is Trigger.BACKFILL else is_gated(spec)
