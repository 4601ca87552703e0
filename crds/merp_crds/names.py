"""Every name that objects, labels and annotations of the scheduler have, and how the name of a run is made.

Names are locks: two clocks, two operators and a repeated request all make the same name for the same run, and the API
server lets only one of them create it.
"""

import functools
import hashlib
import uuid
from datetime import UTC, datetime
from typing import Final

GROUP: Final = "scheduler.merp.io"
VERSION: Final = "v1"
API_VERSION: Final = f"{GROUP}/{VERSION}"

SCHEDULED_JOBS: Final = "scheduledjobs"
JOB_RUNS: Final = "jobruns"
BUSINESS_CALENDARS: Final = "businesscalendars"
JOB_POOLS: Final = "jobpools"

# 52 is what a CronJob's name may have at most; 36 is what the REST id's column holds.
MAX_NAME_LENGTH: Final = 36

# Fixed words of the REST API at the place where an id stands; a job of that name could never be reached there.
RESERVED_NAMES: Final = frozenset(
    {"batch", "catalog", "catalogue", "events", "executions", "explain", "history", "plan", "preview", "tasks"}
)

FIELD_MANAGER_OPERATOR: Final = "merp-operator"
FIELD_MANAGER_API: Final = "merp-api"

# Labels of Jobs, Pods and CronJobs: what the operator selects its watches by, and finds the owner by.
LABEL_MANAGED: Final = f"{GROUP}/managed"
LABEL_SCHEDULED_JOB: Final = f"{GROUP}/scheduled-job"
LABEL_SCHEDULED_JOB_UID: Final = f"{GROUP}/scheduled-job-uid"
LABEL_TRIGGER: Final = f"{GROUP}/trigger"
LABEL_JOB_RUN: Final = f"{GROUP}/job-run"

# Of a ConfigMap: it holds the catalogue of an image's tasks.
LABEL_CATALOGUE: Final = f"{GROUP}/catalogue"

# Of a ConfigMap: it holds an approved template, and its name is that of the template.
LABEL_TEMPLATE: Final = f"{GROUP}/template"

# Annotations of runs.
ANNOTATION_DUE_TIME: Final = f"{GROUP}/due-time"
ANNOTATION_TIME_ZONE: Final = f"{GROUP}/time-zone"
ANNOTATION_TASK: Final = f"{GROUP}/task"
ANNOTATION_GENERATION: Final = f"{GROUP}/generation"
# On a run of a pool: a PriorityClass of somebody else's does not tell whose turn it is.
ANNOTATION_PRIORITY: Final = f"{GROUP}/priority"
ANNOTATION_ENDED: Final = f"{GROUP}/ended"
ANNOTATION_OPENED_BY: Final = f"{GROUP}/opened-by"
# On a run that waits for room of its pool, where that began later than the run.
ANNOTATION_ROOM_SINCE: Final = f"{GROUP}/waits-for-room-since"
# On a run that was asked for under another overlap policy than the job's.
ANNOTATION_CONCURRENCY: Final = f"{GROUP}/concurrency-policy"

# Annotations of a ScheduledJob or a JobRun.
ANNOTATION_CREATED_BY: Final = f"{GROUP}/created-by"
ANNOTATION_PAUSED: Final = f"{GROUP}/paused"
ANNOTATION_IDEMPOTENCY: Final = f"{GROUP}/idempotency"
# On a ScheduledJob: which approved template its own was copied from.
ANNOTATION_TEMPLATE: Final = f"{GROUP}/template"
ANNOTATION_CANCEL_PREFIX: Final = "cancel.scheduler.merp.io/"

# What Kubernetes itself writes.
LABEL_JOB_NAME: Final = "batch.kubernetes.io/job-name"
ANNOTATION_CRONJOB_TIME: Final = "batch.kubernetes.io/cronjob-scheduled-timestamp"

# The namespace of execution ids. Fixed for ever: another one would give every recorded run a second id.
_EXECUTIONS: Final = uuid.UUID("6f0c1d2e-9a57-5b0e-8f34-5d1c7e9b2a40")


def run_name_for_due_time(scheduled_job: str, due_time: datetime) -> str:
    """The name of the run for a due time: as the CronJob controller names it where it can.

    That controller's suffix is whole minutes since 1970; a due time within a minute takes seconds instead, so that two
    due times of one minute differ. Raises ValueError for a naive time.
    """
    seconds = _unix_seconds(due_time)
    return f"{scheduled_job}-{seconds // 60 if seconds % 60 == 0 else seconds}"


def run_name_for_request(scheduled_job: str, asked_by: str, due_time: datetime | None) -> str:
    """The name of a run that somebody or something asked for.

    `asked_by` is the UID of the asking object, or the names of the runs that opened a gate. The same request always
    has the same name, so that a repeat meets the first.
    """
    moment = "" if due_time is None else due_time.astimezone(UTC).isoformat()
    digest = hashlib.sha256(f"{asked_by}\n{moment}".encode()).hexdigest()
    return f"{scheduled_job}-r-{digest[:10]}"


# Asked for at every look at each run; a few megabytes.
@functools.lru_cache(maxsize=16_384)
def execution_id(scheduled_job_uid: str, run_name: str) -> str:
    """The id of an execution record: known before the Job exists, and equal on every retry of the write."""
    return str(uuid.uuid5(_EXECUTIONS, f"{scheduled_job_uid}/{run_name}"))


def due_time_from_run_name(scheduled_job: str, run_name: str) -> datetime | None:
    """The due time that a scheduled run's name says, or None if the name says none."""
    prefix = f"{scheduled_job}-"
    digits = run_name.removeprefix(prefix)
    if digits == run_name or not (digits.isascii() and digits.isdigit()):
        return None
    number = int(digits)
    # Minutes since 1970 stay under 100 million until the year 2160; seconds passed that in 1973.
    seconds = number * 60 if number < 100_000_000 else number
    # That is the beginning of the year 9999; nothing may be due later.
    return datetime.fromtimestamp(seconds, UTC) if seconds < 253_370_764_800 else None


def _unix_seconds(moment: datetime) -> int:
    if moment.tzinfo is None:
        raise ValueError("a due time needs a time zone")
    return int(moment.timestamp())
