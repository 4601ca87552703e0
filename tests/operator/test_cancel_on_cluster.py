"""Cancel and retry on a real cluster: by REST, through the operator, to the record."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cluster_objects import minutely
from gateway_process import Answer, GatewayProcess
from kube import Kube
from operator_process import OperatorProcess

from merp_crds.common import parse_rfc3339

pytestmark = pytest.mark.cluster

Json = dict[str, Any]
# Seconds between two due times: more than a pod needs to go.
INTERVAL = 20
CLEAN = "/tmp/clean"


@pytest.fixture
def gateway(kube: Kube, operator: OperatorProcess, tmp_path: Path) -> Iterator[GatewayProcess]:
    """A gateway that reads what the operator records."""
    process = GatewayProcess(tmp_path, kube, operator.database)
    process.start()
    yield process
    process.stop()


def job(image: str, name: str, func: str, *args: Any, **spec: Any) -> Json:
    """A job that is asked for by hand, with three attempts after the first, unless `spec` says otherwise."""
    task = {"func": func, "args": list(args)}
    body = minutely(image, name, **{"schedule": None, "task": task, "retry": {"limit": 3}} | spec)
    body["spec"] = {key: value for key, value in body["spec"].items() if value is not None}
    return body


def execute(gateway: GatewayProcess, name: str) -> Json:
    answer = gateway.ask("POST", f"/api/v1/jobs/{name}/execute")
    assert answer.status == 202, answer
    return answer.body


def execution(gateway: GatewayProcess, entry: Json) -> Json:
    answer = gateway.ask("GET", f"/api/v1/executions/{entry['id']}")
    assert answer.status == 200, answer
    return answer.body


def cancel(gateway: GatewayProcess, entry: Json, user: str = "clerk") -> Answer:
    return gateway.ask("POST", f"/api/v1/executions/{entry['id']}/cancel", user=user)


def cancel_at(gateway: GatewayProcess, entry: Json) -> datetime:
    """Cancel a run that has not ended. Returns when that was, in whole seconds."""
    moment = datetime.now(UTC).replace(microsecond=0)
    answer = cancel(gateway, entry)
    assert answer.status == 202, answer
    return moment


def recorded(kube: Kube, gateway: GatewayProcess, entry: Json) -> Json:
    """The record of a run once it has its verdict."""

    def look() -> Json | None:
        found = execution(gateway, entry)
        return found if found["recorded"] and found["end_time"] else None

    return kube.until(f"the verdict of {entry['run_name']} is recorded", look)


def pods_of(kube: Kube, entry: Json) -> list[Json]:
    return kube.list("pods", f"batch.kubernetes.io/job-name={entry['run_name']}")


def log_of(kube: Kube, entry: Json) -> str:
    """What a run's pod has printed."""
    return kube.kubectl("logs", "-l", f"batch.kubernetes.io/job-name={entry['run_name']}")


def scheduled(gateway: GatewayProcess, name: str, status: str) -> list[Json]:
    """The runs of a job's schedule that are recorded with a status, newest first."""
    answer = gateway.ask("GET", f"/api/v1/jobs/{name}/history?trigger=schedule&status={status}")
    assert answer.status == 200, answer
    items: list[Json] = answer.body["items"]
    return items


def cancellations(kube: Kube, name: str) -> list[str]:
    """What is asked to be cancelled of a job and not carried out yet."""
    annotations = (kube.get("scheduledjobs", name) or {})["metadata"].get("annotations") or {}
    return [annotation for annotation in annotations if annotation.startswith("cancel.")]


def check_cancelled(gateway: GatewayProcess, found: Json, since: datetime) -> None:
    """A record says who cancelled the run and when, and its end is not before that."""
    assert (found["status"], found["reason"]) == ("cancelled", "CancelledByUser"), found
    who, _, when = found["error"].partition("\n")[0].removeprefix("cancelled by ").partition(" at ")
    assert who == gateway.name_of("clerk")
    now = datetime.now(UTC)
    assert since <= parse_rfc3339(when) <= now
    assert since <= parse_rfc3339(found["end_time"]) <= now


def test_c37_cancel_and_retry_by_rest(
    kube: Kube, operator: OperatorProcess, gateway: GatewayProcess, task_image: str
) -> None:
    on_failure = [{"name": "works", "condition": "Failed"}]
    kube.apply(
        job(
            task_image,
            "works",
            "clean_up_until",
            CLEAN,
            schedule={"intervalSeconds": INTERVAL},
            # What is not told to end its clean-up is ended by then.
            template={"image": task_image, "podTemplate": {"spec": {"terminationGracePeriodSeconds": 60}}},
        ),
        job(task_image, "fails", "fail_with", "no"),
        job(task_image, "waits", "echo_args", dependsOn=[{"name": "fails"}]),
        job(task_image, "mourns", "echo_args", dependsOn=on_failure),
        job(task_image, "done", "echo_args", "all"),
    )
    kube.until(
        "all are looked at",
        lambda: all(kube.condition(n, "Ready") for n in ("works", "fails", "waits", "mourns", "done")),
    )
    waiting, done = (execute(gateway, name) for name in ("waits", "done"))

    # One that waits at its gate: no pod is ever made.
    kube.until("it waits", lambda: ((kube.get("jobs", waiting["run_name"]) or {}).get("spec") or {}).get("suspend"))
    since = cancel_at(gateway, waiting)
    check_cancelled(gateway, recorded(kube, gateway, waiting), since)
    assert pods_of(kube, waiting) == []
    status = (kube.get("jobs", waiting["run_name"]) or {})["status"]
    assert [status.get(count, 0) for count in ("active", "failed", "succeeded")] == [0, 0, 0]

    # Between two attempts: the second has failed, and the third would come twenty seconds later.
    failing = execute(gateway, "fails")
    kube.until(
        "two attempts failed",
        lambda: ((kube.get("jobs", failing["run_name"]) or {}).get("status") or {}).get("failed") == 2,
    )
    since = cancel_at(gateway, failing)
    found = recorded(kube, gateway, failing)
    check_cancelled(gateway, found, since)
    assert (found["attempts"], found["error"].partition("\n")[2].splitlines()[0]) == (2, "RuntimeError: no")

    # While the first attempt runs, and once more by somebody else while its pod needs a while to go.
    [running] = kube.until("a run of the schedule is recorded", lambda: scheduled(gateway, "works", "running"))
    kube.until("its clean-up is armed", lambda: "working" in log_of(kube, running))
    since = cancel_at(gateway, running)
    kube.until("the operator ends it", lambda: not cancellations(kube, "works"))
    second = cancel(gateway, running, "chief")
    assert (second.status, second.body["status"]) == (202, "running")
    kube.kubectl("exec", f"job/{running['run_name']}", "--", "touch", CLEAN)
    found = recorded(kube, gateway, running)
    check_cancelled(gateway, found, since)
    assert found["attempts"] == 1
    kube.until("its pod is gone", lambda: not [pod for pod in pods_of(kube, running) if is_alive(pod)])
    gone = datetime.now(UTC)
    # The next due time runs as ever.
    [following] = kube.until("the next one runs", lambda: scheduled(gateway, "works", "running"))
    assert timedelta(0) < parse_rfc3339(following["due_time"]) - parse_rfc3339(found["end_time"])
    assert parse_rfc3339(following["due_time"]) <= gone + timedelta(seconds=2 * INTERVAL)

    # What has ended: no cancellation any more, and once more if that is asked for.
    assert recorded(kube, gateway, done)["status"] == "success"
    for entry, verdict in ((done, "success"), (failing, "cancelled"), (waiting, "cancelled")):
        answer = cancel(gateway, entry)
        assert (answer.status, answer.body["type"]) == (409, "urn:merp:problem:finished")
        assert f"{entry['run_name']} ended as {verdict}" in answer.body["detail"]
    again = gateway.ask("POST", f"/api/v1/executions/{done['id']}/retry")
    assert (again.status, again.location) == (202, f"/api/v1/executions/{again.body['id']}"), again
    rerun = recorded(kube, gateway, again.body)
    assert (rerun["status"], rerun["trigger"], rerun["created_by"]) == ("success", "retry", gateway.name_of("clerk"))
    assert (rerun["due_time"], rerun["result"]) == (
        recorded(kube, gateway, done)["due_time"],
        {"args": ["all"], "kwargs": {}},
    )
    refused = gateway.ask("POST", f"/api/v1/executions/{running['id']}/retry")
    assert (refused.status, refused.body["type"]) == (409, "urn:merp:problem:overlap")
    assert following["run_name"] in refused.body["detail"]

    # Nobody tried anything again meanwhile, and cancelled is not failed.
    assert [len(pods_of(kube, entry)) for entry in (waiting, failing)] == [0, 2]
    assert kube.list("jobs", "scheduler.merp.io/scheduled-job=mourns") == []
    kube.until(
        "all are carried out", lambda: not any(cancellations(kube, name) for name in ("works", "fails", "waits"))
    )
    assert "Traceback" not in operator.log.read_text()


def is_alive(pod: Json) -> bool:
    """Whether a container of it may still be at work."""
    return pod["status"].get("phase") not in ("Succeeded", "Failed")
