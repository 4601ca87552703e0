"""Kubernetes objects as the API server shows them, for tests that need no cluster."""

import json
from datetime import UTC, datetime
from typing import Any

from merp_crds import names
from merp_crds.common import rfc3339

Json = dict[str, Any]

NOW = datetime(2026, 11, 25, 12, 0, 30, tzinfo=UTC)
DUE = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
UID = "11111111-1111-1111-1111-111111111111"
CRON_UID = "22222222-2222-2222-2222-222222222222"


def scheduled_job(
    name: str = "j", *, status: Json | None = None, annotations: dict[str, str] | None = None, **spec: Any
) -> Json:
    """A ScheduledJob that runs a task every hour, unless `spec` says otherwise; None leaves a field out."""
    wanted = {"schedule": {"cron": "0 * * * *"}, "task": {"func": "echo"}} | spec
    body: Json = {
        "apiVersion": names.API_VERSION,
        "kind": "ScheduledJob",
        "metadata": {
            "name": name,
            "namespace": "ns",
            "uid": UID,
            "generation": 1,
            "resourceVersion": "10",
            "creationTimestamp": "2026-11-01T00:00:00Z",
            "annotations": annotations or {},
        },
        "spec": {key: value for key, value in wanted.items() if value is not None},
    }
    return body | ({} if status is None else {"status": status})


def job(
    name: str = "j-29926800",
    *,
    uid: str = "job-1",
    conditions: list[Json] | None = None,
    annotations: dict[str, str] | None = None,
    labels: dict[str, str] | None = None,
    status: Json | None = None,
    spec: Json | None = None,
    controller: str = CRON_UID,
) -> Json:
    """A Job that the native clock started for 2026-11-25T12:00Z and that is not finished."""
    due = {names.ANNOTATION_CRONJOB_TIME: rfc3339(DUE)}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": name,
            "namespace": "ns",
            "uid": uid,
            "resourceVersion": "20",
            "creationTimestamp": "2026-11-25T12:00:00Z",
            "labels": {
                names.LABEL_MANAGED: "true",
                names.LABEL_SCHEDULED_JOB: "j",
                names.LABEL_SCHEDULED_JOB_UID: UID,
                names.LABEL_TRIGGER: "schedule",
            }
            | (labels or {}),
            "annotations": due if annotations is None else annotations,
            "ownerReferences": [{"kind": "CronJob", "name": "j", "uid": controller, "controller": True}],
        },
        "spec": {
            "template": {
                "metadata": {
                    "annotations": {names.ANNOTATION_TASK: json.dumps({"func": "echo", "args": [], "kwargs": {}})}
                },
                "spec": {"containers": [{"name": "task", "image": "runner:1"}]},
            }
        }
        | (spec or {}),
        "status": {"startTime": "2026-11-25T12:00:01Z"}
        | (status or {})
        | ({"conditions": conditions} if conditions else {}),
    }


def complete() -> Json:
    """What the Job controller says of a Job that succeeded."""
    condition = {
        "type": "Complete",
        "status": "True",
        "lastTransitionTime": "2026-11-25T12:00:10Z",
        "reason": "CompletionsReached",
    }
    return {"conditions": [condition], "completionTime": "2026-11-25T12:00:10Z", "succeeded": 1}


def failed(reason: str, message: str = "") -> Json:
    """What the Job controller says of a Job that failed. There is no completion time."""
    condition = {
        "type": "Failed",
        "status": "True",
        "lastTransitionTime": "2026-11-25T12:00:20Z",
        "reason": reason,
        "message": message,
    }
    return {"conditions": [condition], "failed": 1}


def pod(
    name: str = "j-29926800-a",
    *,
    terminated: Json | None = None,
    running: bool = False,
    waiting: Json | None = None,
    status: Json | None = None,
    deleted: bool = False,
    created: str = "2026-11-25T12:00:01Z",
    memory: str | None = None,
) -> Json:
    """A pod of the Job job-1, by what its task's container does."""
    state: Json = {}
    if terminated is not None:
        state = {"terminated": {"startedAt": "2026-11-25T12:00:03Z", "finishedAt": "2026-11-25T12:00:09Z"} | terminated}
    elif running:
        state = {"running": {"startedAt": "2026-11-25T12:00:03Z"}}
    elif waiting is not None:
        state = {"waiting": waiting}
    container: Json = {"name": "task", "image": "runner:1"}
    if memory:
        container["resources"] = {"limits": {"memory": memory}}
    metadata: Json = {
        "name": name,
        "namespace": "ns",
        "uid": f"uid-{name}",
        "resourceVersion": "30",
        "creationTimestamp": created,
        "labels": {names.LABEL_MANAGED: "true", names.LABEL_SCHEDULED_JOB: "j", names.LABEL_JOB_NAME: "j-29926800"},
        "ownerReferences": [{"kind": "Job", "name": "j-29926800", "uid": "job-1", "controller": True}],
    }
    if deleted:
        metadata["deletionTimestamp"] = "2026-11-25T12:00:08Z"
    return {
        "metadata": metadata,
        "spec": {"nodeName": "node1", "containers": [container]},
        "status": {"containerStatuses": [{"name": "task", "image": "runner:1", "state": state}]} | (status or {}),
    }


def job_run(name: str = "once", **spec: Any) -> Json:
    """A JobRun for the ScheduledJob j."""
    return {
        "apiVersion": names.API_VERSION,
        "kind": "JobRun",
        "metadata": {
            "name": name,
            "namespace": "ns",
            "uid": f"uid-{name}",
            "generation": 1,
            "resourceVersion": "40",
            "creationTimestamp": "2026-11-25T11:59:00Z",
        },
        "spec": {"scheduledJob": "j"} | spec,
    }


def job_pool(name: str = "nightly", slots: int = 5, *, status: Json | None = None) -> Json:
    """A JobPool of so many slots."""
    body: Json = {
        "apiVersion": names.API_VERSION,
        "kind": "JobPool",
        "metadata": {"name": name, "namespace": "ns", "uid": f"uid-{name}", "generation": 1, "resourceVersion": "60"},
        "spec": {"slots": slots},
    }
    return body | ({} if status is None else {"status": status})


def cron_job(body: Json, *, active: list[str] | None = None) -> Json:
    """The CronJob as the API server shows what was applied."""
    shown: Json = json.loads(json.dumps(body))
    shown["metadata"] |= {
        "uid": CRON_UID,
        "resourceVersion": "50",
        "generation": 1,
        "creationTimestamp": "2026-11-01T00:00:00Z",
    }
    shown["status"] = {"active": [{"uid": uid} for uid in active or []]}
    return shown


def minutely(image: str, name: str, **spec: Any) -> Json:
    """A ScheduledJob of the tests' image that is due every minute, unless `spec` says otherwise; for a real cluster."""
    return {
        "apiVersion": names.API_VERSION,
        "kind": "ScheduledJob",
        "metadata": {"name": name},
        "spec": {
            "schedule": {"cron": "* * * * *"},
            "task": {"func": "echo_args"},
            "template": {"image": image},
        }
        | spec,
    }
