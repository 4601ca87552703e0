"""Who may what by REST under the chart's roles: every operation of the OpenAPI document, each identity."""

import json
from pathlib import Path
from typing import Any

import pytest
from guarded_namespace import grant, rule, scheduled_job
from rest_identities import JOB, RestIdentities

pytestmark = pytest.mark.cluster

ROOT = Path(__file__).parents[2]
DOCUMENT: dict[str, Any] = json.loads((ROOT / "docs" / "openapi.json").read_text(encoding="utf-8"))
OPERATIONS = {
    operation["operationId"]: (method, path, operation)
    for path, operations in DOCUMENT["paths"].items()
    for method, operation in operations.items()
}
# The editor in a namespace that is not theirs, and somebody without a token.
ELSEWHERE, STRANGER = "elsewhere", "stranger"
COLUMNS = ("admin", "editor", "viewer", "nobody", ELSEWHERE, STRANGER)
READ = (200, 200, 200, 403, 403, 401)
# The whole cluster's, or of no namespace that the editor's role could be bound in.
ADMINS = (200, 403, 403, 403, 403, 401)
# Whoever has a token.
ANYBODY = (200, 200, 200, 200, 200, 401)
EVERYBODY = (200, 200, 200, 200, 200, 200)
MISSING = (404, 404, 404, 404, 404, 401)
# No operator answers that the pause is in force.
ACCEPTED = (202, 202, 403, 403, 403, 401)
WRITTEN = (200, 200, 403, 403, 403, 401)
EXPECTED: dict[str, tuple[int, ...]] = {
    "list_jobs": READ,
    "create_job": (201, 201, 403, 403, 403, 401),
    "get_job": READ,
    "replace_job": WRITTEN,
    "patch_job": WRITTEN,
    "delete_job": (204, 204, 403, 403, 403, 401),
    "pause_job": ACCEPTED,
    "resume_job": ACCEPTED,
    "execute_job": ACCEPTED,
    "explain_job": READ,
    "run_batch": ANYBODY,
    "preview_job": ANYBODY,
    "get_plan": READ,
    "get_history": READ,
    "get_job_history": READ,
    "get_days": READ,
    "get_job_days": READ,
    "get_worst_jobs": READ,
    "get_execution": READ,
    "get_log": READ,
    "get_events": READ,
    "cancel_execution": ACCEPTED,
    "retry_execution": ACCEPTED,
    "list_pools": READ,
    "list_calendars": ADMINS,
    # Any token, and this gateway has no catalogue.
    "list_tasks": ANYBODY,
    "get_task": MISSING,
    "get_health": EVERYBODY,
    "get_readiness": EVERYBODY,
}


def test_every_operation_has_a_row() -> None:
    assert EXPECTED.keys() == OPERATIONS.keys()


def path_of(route: str, identities: RestIdentities, column: str) -> str:
    """The URL: of the job, or of one that is there to be deleted; in the namespace, or elsewhere."""
    _, path, operation = OPERATIONS[route]
    if route == "delete_job":
        job = f"gone-{column}"
        identities.kube.create(scheduled_job(job))
    else:
        job = JOB
    execution = identities.recorded.unfinished if route == "cancel_execution" else identities.recorded.finished
    path = path.replace("{id}", execution if "/executions/" in path else job).replace("{name}", "inventory_check")
    if any(parameter["name"] == "namespace" for parameter in operation.get("parameters", [])):
        path += f"?namespace={'default' if column == ELSEWHERE else identities.kube.namespace}"
    return path


def body_of(route: str) -> tuple[bytes | None, str]:
    """The first example of the body, and its media type."""
    content = OPERATIONS[route][2].get("requestBody", {}).get("content", {})
    for media_type, told in content.items():
        example = next(iter(told["examples"].values()))["value"]
        return json.dumps(example).encode(), media_type
    return None, "application/json"


@pytest.mark.parametrize("route", EXPECTED)
def test_each_identity(rest_identities: RestIdentities, route: str) -> None:
    tokens = rest_identities.tokens
    method, _, _ = OPERATIONS[route]
    body, media_type = body_of(route)
    found = {}
    for column in COLUMNS:
        token = None if column == STRANGER else tokens["editor" if column == ELSEWHERE else column]
        path = path_of(route, rest_identities, column)
        found[column] = rest_identities.status(method.upper(), path, token, body, media_type)
    assert found == dict(zip(COLUMNS, EXPECTED[route], strict=True))


def test_who_may_not_create_pods_takes_no_approved_template(rest_identities: RestIdentities) -> None:
    kube = rest_identities.kube
    kube.kubectl("create", "configmap", "nightly", "--from-literal=template.yaml=nodeSelector: {disk: ssd}")
    kube.kubectl("label", "configmap", "nightly", "scheduler.merp.io/template=true")
    jobs = [rule("scheduler.merp.io", "scheduledjobs", "get", "list", "create"), rule("", "configmaps", "list")]
    account = f"system:serviceaccount:{kube.namespace}:nobody"
    grant(kube, "jobs-alone", jobs, account)
    body = json.dumps({"name": "x", "job_type": "manual", "func": "inventory_check", "template": "nightly"}).encode()
    plain = json.dumps({"name": "x", "job_type": "manual", "func": "inventory_check"}).encode()

    def status(user: str, sent: bytes) -> int:
        path = f"/api/v1/jobs?namespace={kube.namespace}"
        return rest_identities.status("POST", path, rest_identities.tokens[user], sent, "application/json")

    kube.until("the role holds", lambda: status("nobody", plain) == 201)
    assert (status("editor", body), status("nobody", body)) == (201, 403)
    kube.kubectl("delete", "rolebinding", "jobs-alone")
