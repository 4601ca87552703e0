"""How a due time ends, and why: one enum for Events, conditions, records, metrics and REST.

The values are a stable contract: they stand in databases and alert rules. New ones may come, none is renamed.
"""

from enum import StrEnum


class Verdict(StrEnum):
    """How a due time ended. Exactly one of these for each."""

    SUCCESS = "success"
    FAILED = "failed"
    TIMEOUT = "timeout"
    CANCELLED = "cancelled"
    SKIPPED = "skipped"
    MISSED = "missed"


class RunState(StrEnum):
    """What a run without a verdict is doing."""

    WAITING = "waiting"
    RUNNING = "running"


class Trigger(StrEnum):
    """What made a run."""

    SCHEDULE = "schedule"
    CATCH_UP = "catch-up"
    DEPENDENCY = "dependency"
    MANUAL = "manual"
    BACKFILL = "backfill"
    RETRY = "retry"


class Reason(StrEnum):
    """Why a run ended as it did, or does not run yet."""

    # success
    COMPLETED = "Completed"
    # failed: what the container or its node did
    EXIT_CODE = "ExitCode"
    BAD_PARAMETERS = "BadParameters"
    NOT_RETRIED = "NotRetriedByRule"
    OUT_OF_MEMORY = "OutOfMemory"
    SIGNAL = "Signal"
    EVICTED = "Evicted"
    PREEMPTED = "Preempted"
    NODE_LOST = "NodeLost"
    POD_DELETED = "PodDeleted"
    IMAGE_PULL = "ImagePull"
    CONFIG_ERROR = "ConfigError"
    UNSCHEDULABLE = "Unschedulable"
    INIT_FAILED = "InitContainerFailed"
    BACKOFF_EXHAUSTED = "BackoffExhausted"
    START_REFUSED = "StartRefused"
    UNKNOWN = "Unknown"
    # timeout
    DEADLINE = "DeadlineExceeded"
    NEVER_STARTED = "DeadlineBeforeStart"
    SIDECAR_RUNNING = "SidecarStillRunning"
    # cancelled
    CANCELLED_BY_USER = "CancelledByUser"
    JOB_DELETED = "JobDeleted"
    SCHEDULED_JOB_DELETED = "ScheduledJobDeleted"
    REPLACED = "Replaced"
    # skipped
    OVERLAP = "Overlap"
    QUEUE_FULL = "QueueFull"
    CALENDAR = "Calendar"
    NAME_TAKEN = "NameTaken"
    GATE_TIMEOUT = "DependencyTimeout"
    POOL_TIMEOUT = "PoolTimeout"
    # missed
    OUTAGE = "Outage"
    TOO_LATE = "TooLate"


class ConditionType(StrEnum):
    """The conditions of a ScheduledJob."""

    READY = "Ready"
    WAITING = "Waiting"
    PAUSED = "Paused"
    LAST_RUN_SUCCEEDED = "LastRunSucceeded"
    ON_SCHEDULE = "OnSchedule"


class ConditionReason(StrEnum):
    """The reasons that conditions of a ScheduledJob give."""

    VALID = "Valid"
    INVALID_SPEC = "InvalidSpec"
    INVALID_SCHEDULE = "InvalidSchedule"
    INVALID_TIME_ZONE = "InvalidTimeZone"
    INVALID_CALENDAR = "InvalidCalendar"
    NEVER_FIRES = "NeverFires"
    UNKNOWN_TASK = "UnknownTask"
    INVALID_PARAMETERS = "InvalidParameters"
    DEPENDENCY_CYCLE = "DependencyCycle"
    INVALID_TEMPLATE = "InvalidTemplate"
    RESERVED_NAME = "ReservedName"
    CRONJOB_EXISTS = "CronJobExists"
    CANNOT_APPLY = "CannotApply"
    FORBIDDEN_LABEL = "ForbiddenLabel"
    SUSPENDED = "Suspended"
    PAUSED_BY_ANNOTATION = "PausedByAnnotation"
    NOT_PAUSED = "NotPaused"
    NO_RUN_YET = "NoRunYet"
    ON_SCHEDULE = "OnSchedule"
    MISSED = "Missed"
    CANNOT_START = "CannotStart"
    CLOCK_SET_BACK = "ClockSetBack"
    ZONE_RULES_DIFFER = "ZoneRulesDiffer"
    POOL_NOT_FOUND = "PoolNotFound"
    POOL_TOO_SMALL = "PoolTooSmall"
    UPSTREAM_CANNOT_RUN = "UpstreamCannotRun"
    CALENDAR_UNKNOWN = "CalendarUnknown"
    COMPLETED = "Completed"
    PAUSED = "Paused"
