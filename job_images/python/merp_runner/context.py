"""What a run is for: its due time, its business date, and the key under which its effects count once."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta, timezone, tzinfo
from typing import Callable, Union

from merp_runner.errors import ContextError
from merp_runner.times import format_moment, parse_moment

Number = Union[int, float]

# A due time in a run's name is believed only within these bounds: older ones are numbers that happen to end a name. A
# run may have waited for days, for what it depends on, for room or for its turn, and its next attempt be days later.
MAX_AGE = timedelta(days=366)
# The name holds the API server's time, the process knows its node's clock: a node that lags a little would take
# midnight's run for the day before.
CLOCK_SKEW = timedelta(seconds=60)


def _no_progress(done: Number, total: Number | None, message: str) -> None:
    """A context made by a test writes no log."""


@dataclass(frozen=True)
class Context:
    """Given to the parameter of a task that is annotated with this class.

    due_time         the moment the run is for (aware, UTC), not the moment it started
    business_date    the due time's date in `time_zone`
    time_zone        IANA name of the ScheduledJob's zone
    run_name         name of the run's Job; the same for every attempt
    job_name         name of the ScheduledJob
    idempotency_key  the same for every attempt of the run, different for every other run in the cluster
    attempt          number of the attempt from 1, where it is known
    """

    due_time: datetime
    business_date: date
    time_zone: str
    run_name: str
    job_name: str
    idempotency_key: str
    namespace: str = ""
    pod_name: str = ""
    attempt: int | None = None
    report_progress: Callable[[Number, Number | None, str], None] = field(
        default=_no_progress, repr=False, compare=False
    )

    def progress(self, done: Number, total: Number | None = None, message: str = "") -> None:
        """Say how far the task is: one structured log line; at most four a second are written, the last one always."""
        self.report_progress(done, total, message)

    def variables(self) -> Mapping[str, str]:
        """The same for code that only sees its environment."""
        return {
            "MERP_DUE_TIME": format_moment(self.due_time),
            "MERP_BUSINESS_DATE": self.business_date.isoformat(),
            "MERP_RUN_NAME": self.run_name,
            "MERP_IDEMPOTENCY_KEY": self.idempotency_key,
        }


def due_time_in_name(run_name: str, job_name: str, started: datetime) -> datetime | None:
    """The due time that a run's name holds: `<job>-<unix minutes>` or `<job>-<unix seconds>`; None if it holds none.

    A number counts only if it lies within a year before `started`: `<job>-2` is a name, not the year 1970.
    """
    prefix = job_name + "-"
    number = run_name[len(prefix) :]
    # 11 digits of seconds last beyond the year 5000; longer ones would overflow datetime.
    if not job_name or not run_name.startswith(prefix) or re.fullmatch(r"[0-9]{1,11}", number) is None:
        return None
    for seconds in (int(number) * 60, int(number)):
        moment = datetime(1970, 1, 1, tzinfo=timezone.utc) + timedelta(seconds=seconds)
        if started - MAX_AGE <= moment <= started + CLOCK_SKEW:
            return moment
    return None


def due_time_of(
    annotation: str, run_name: str, job_name: str, pod_created: str, started: datetime
) -> tuple[datetime, str]:
    """The run's due time (UTC) and where it was found: annotation, name, pod or process.

    `annotation` and `pod_created` are RFC 3339 or empty, `started` is the process's start. Raises ContextError for text
    that is no time.
    """
    if annotation:
        return _moment(annotation, "due time"), "annotation"
    created = _moment(pod_created, "MERP_POD_CREATED") if pod_created else None
    named = due_time_in_name(run_name, job_name, created or started)
    if named is not None:
        return named, "name"
    if created is not None:
        return created, "pod"
    return started, "process"


def zone_of(name: str) -> tzinfo:
    """The time zone of an IANA name. Raises ContextError where the image does not know it."""
    if name in ("UTC", "Etc/UTC"):
        # Works in an image without a zone database.
        return timezone.utc
    from zoneinfo import ZoneInfo  # here, because most zones are UTC and it costs start-up time

    try:
        return ZoneInfo(name)
    # A folder of the database (`America`) is an OSError, `../x` a ValueError, an unknown name a KeyError.
    except (KeyError, ValueError, OSError) as error:
        raise ContextError(
            f"time zone {name!r} is not in this image's zone database: correct the name, or install the tzdata package"
        ) from error


def context_of(
    due_time: datetime,
    time_zone: str,
    environment: Mapping[str, str],
    report_progress: Callable[[Number, Number | None, str], None],
) -> Context:
    """The context of a run with this due time, in the environment that the operator gave its pod."""
    # On a laptop there is no Job; the key must differ from run to run all the same.
    run_name = environment.get("MERP_RUN_NAME") or f"local-{due_time.timestamp():.0f}"
    namespace = environment.get("MERP_NAMESPACE", "")
    attempt = environment.get("MERP_ATTEMPT", "")
    return Context(
        due_time=due_time.astimezone(timezone.utc),
        business_date=due_time.astimezone(zone_of(time_zone)).date(),
        time_zone=time_zone,
        run_name=run_name,
        job_name=environment.get("MERP_SCHEDULED_JOB", ""),
        idempotency_key=f"{namespace}/{run_name}" if namespace else run_name,
        namespace=namespace,
        pod_name=environment.get("MERP_POD_NAME", ""),
        attempt=int(attempt) if re.fullmatch(r"[0-9]{1,6}", attempt) else None,
        report_progress=report_progress,
    )


def _moment(text: str, what: str) -> datetime:
    try:
        return parse_moment(text).astimezone(timezone.utc)
    # Year 1 with a positive offset has no UTC.
    except (ValueError, OverflowError) as error:
        raise ContextError(f"{what}: {error}") from error
