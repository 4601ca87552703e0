"""Secrets that a run and its callers know appear nowhere: in no log, event, metric, status, record or answer."""

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cluster_objects import minutely
from gateway_process import GatewayProcess
from kube import Kube
from operator_process import OperatorProcess

pytestmark = pytest.mark.cluster

Json = dict[str, Any]
PASSWORD = "canary-S3cret!x-of-a-secret"
# Whoever may read the job may read this one; it is told no further.
PARAMETER = "canary-k-123-of-a-parameter"


@pytest.fixture
def gateway(kube: Kube, operator: OperatorProcess, tmp_path: Path) -> Iterator[GatewayProcess]:
    process = GatewayProcess(tmp_path, kube, operator.database)
    process.start()
    yield process
    process.stop()


def by_hand(image: str, name: str, task: Json, **template: Any) -> Json:
    body = minutely(image, name, task=task, template={"image": image} | template)
    del body["spec"]["schedule"]
    return body


def recorded(database: Path) -> str:
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as connection:
        return "\n".join(connection.iterdump())


def test_c59_no_canary_is_told(kube: Kube, operator: OperatorProcess, gateway: GatewayProcess, task_image: str) -> None:
    kube.kubectl("create", "secret", "generic", "erp", f"--from-literal=password={PASSWORD}")
    variable = {"name": "ERP_PASSWORD", "valueFrom": {"secretKeyRef": {"name": "erp", "key": "password"}}}
    kube.apply(
        by_hand(task_image, "leak", {"func": "reveal", "args": ["ERP_PASSWORD", "raise"]}, env=[variable]),
        by_hand(task_image, "echo", {"func": "echo_args", "kwargs": {"api_key": PARAMETER}}),
    )
    for name in ("leak", "echo"):
        kube.until(f"{name} is looked at", lambda name=name: kube.condition(name, "Ready"))
    runs = {name: gateway.ask("POST", f"/api/v1/jobs/{name}/execute").body["id"] for name in ("leak", "echo")}

    def ended(name: str) -> Json | None:
        body = gateway.ask("GET", f"/api/v1/executions/{runs[name]}").body
        return body if body["recorded"] and body["end_time"] else None

    leak = kube.until("leak is recorded", lambda: ended("leak"))
    echo = kube.until("echo is recorded", lambda: ended("echo"))
    assert (leak["status"], echo["status"]) == ("failed", "success")
    assert "***" in leak["error"]
    refused = gateway.ask("POST", "/api/v1/jobs/echo/execute", {"kwargs": {"api_key": PARAMETER}, "nope": PARAMETER})
    assert refused.status == 400
    logs = {"operator's log": operator.log.read_text(), "gateway's log": gateway.log(), "metrics": operator.metrics()}
    kube.until("it is told", lambda: any(item["reason"] == "RunFailed" for item in kube.list("events")))
    logs["events"] = kube.kubectl("get", "events", "-o", "json")
    everything = logs | {
        "records": recorded(operator.database),
        "objects": kube.kubectl("get", "sj,jobrun,cronjob,job,pod", "-o", "json"),
        "answers": json.dumps([leak, echo, refused.body, gateway.ask("GET", "/api/v1/jobs/leak/explain").body]),
    }
    assert PARAMETER in everything["records"], "the search finds what is there"
    assert [where for where, text in everything.items() if PASSWORD in text] == []
    assert [where for where, text in logs.items() if PARAMETER in text] == []
    assert [where for where, text in everything.items() if gateway.token("clerk") in text] == []
