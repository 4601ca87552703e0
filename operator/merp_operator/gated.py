"""Whether the runs of a job wait at a gate: they are made suspended, and the operator releases them. Pure."""

from typing import Final

from merp_crds.scheduledjob import ConcurrencyPolicy, ScheduledJobSpec

_ORDERED: Final = frozenset({ConcurrencyPolicy.QUEUE, ConcurrencyPolicy.REPLACE})


def is_gated(spec: ScheduledJobSpec) -> bool:
    """Only where it must be: a plain job starts with every part of the scheduler dead."""
    return bool(spec.depends_on) or spec.pool is not None or spec.concurrency_policy in _ORDERED
