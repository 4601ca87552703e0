"""Small stories about runs that wait for nothing."""

from datetime import UTC, datetime, timedelta
from typing import Final

from kube import Kube
from scenarios import SLEEP, YEARLY, Json, Scenario, ask, job, until_state

from merp_crds import names
from merp_crds.common import rfc3339

# The same moment in every course: one that has just passed is caught up.
_ONCE: Final = datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=3)
# Until then the CronJob has to be there, also where the operator is killed before it makes it.
_LEAD: Final = timedelta(seconds=20)


def _delete(kube: Kube) -> None:
    ask(kube, "deleted", "it")
    until_state(kube, "deleted", "running")
    kube.kubectl("delete", "job", "--wait", "-l", f"{names.LABEL_JOB_RUN}=deleted-it")


def _time_out(kube: Kube) -> None:
    ask(kube, "timed-out", "it")
    until_state(kube, "timed-out", "running")
    # Not from the beginning: on a machine that does other things its pod might not run by then.
    run = (kube.get("jobruns", "timed-out-it") or {})["status"]["run"]
    kube.kubectl("patch", "job", run, "--type=merge", "-p", '{"spec":{"activeDeadlineSeconds":1}}')


def _next_minute() -> Json:
    """A cron schedule that is due once soon, and then in a year."""
    due = datetime.now(UTC) + _LEAD + timedelta(minutes=1)
    return {"cron": f"{due.minute} {due.hour} {due.day} {due.month} *", "timeZone": "UTC"}


# By the native clock; it takes up to 80 s.
NATIVE: Final = Scenario(
    "native",
    lambda image: [job(image, "native", schedule=_next_minute())],
    lambda kube: None,
    frozenset({("native@due", "success", "Completed")}),
)
SCENARIOS: Final = [
    Scenario(
        "once",
        lambda image: [job(image, "once", schedule={"at": rfc3339(_ONCE)})],
        lambda kube: None,
        frozenset({("once@due", "success", "Completed")}),
    ),
    # Its Job goes as soon as it is recorded.
    Scenario(
        "succeeds",
        lambda image: [job(image, "succeeds", history={"successful": 0}, **YEARLY)],
        lambda kube: ask(kube, "succeeds", "it"),
        frozenset({("succeeds/succeeds-it", "success", "Completed")}),
    ),
    Scenario(
        "retried",
        lambda image: [job(image, "retried", task={"func": "fail_with", "args": ["on purpose"]}, retry={"limit": 1})],
        lambda kube: ask(kube, "retried", "it"),
        frozenset({("retried/retried-it", "failed", "ExitCode")}),
    ),
    Scenario(
        "timed-out",
        lambda image: [job(image, "timed-out", timeoutSeconds=3600, **SLEEP, **YEARLY)],
        _time_out,
        frozenset({("timed-out/timed-out-it", "timeout", "DeadlineExceeded")}),
    ),
    Scenario(
        "deleted",
        lambda image: [job(image, "deleted", **SLEEP, **YEARLY)],
        _delete,
        frozenset({("deleted/deleted-it", "cancelled", "JobDeleted")}),
    ),
]
