"""Every metric of the operator. No job's name is a label: a thousand jobs would be a thousand series."""

from typing import Final

from prometheus_client import Counter, Gauge, Histogram

RECONCILE_TOTAL: Final = Counter("merp_reconcile_total", "Reconciles of a ScheduledJob, by result.", ["result"])
RECONCILE_SECONDS: Final = Histogram("merp_reconcile_duration_seconds", "Duration of a reconcile.")
QUEUE_DEPTH: Final = Gauge("merp_workqueue_depth", "ScheduledJobs that wait for a reconcile.")
RUNS_TOTAL: Final = Counter(
    "merp_runs_total", "Verdicts seen, by namespace, verdict and trigger.", ["namespace", "verdict", "trigger"]
)
STARTS_TOTAL: Final = Counter(
    "merp_starts_total", "Runs that the operator's own clock started, by trigger.", ["trigger"]
)
EVENTS_WITHHELD_TOTAL: Final = Counter(
    "merp_events_withheld_total", "Events of successes that were not told, because a job had told many."
)
RECORDS_PENDING: Final = Gauge("merp_records_pending", "Execution records that the database does not have yet.")
DATABASE_UP: Final = Gauge("merp_database_up", "1 if the last write to the database worked, else 0.")
LEADER: Final = Gauge("merp_leader", "1 if this process leads, 0 if it stands by.")
POOL_SLOTS: Final = Gauge("merp_pool_slots", "Slots that there are, by JobPool.", ["namespace", "pool"])
POOL_USED: Final = Gauge("merp_pool_slots_used", "Slots that runs take, by JobPool.", ["namespace", "pool"])
POOL_WAITING: Final = Gauge("merp_pool_runs_waiting", "Runs that wait for room, by JobPool.", ["namespace", "pool"])
