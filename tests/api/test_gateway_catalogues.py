"""Tasks and parameters at the gateway's door: by the catalogue of the job's image, with the caller's own rights."""

import json
from typing import Any

import pytest
from fake_api_server import Refusal

from merp_crds.catalogue import Catalogue
from merp_runner.catalogue import catalogue as catalogue_of
from merp_runner.catalogue import config_map
from merp_runner.tasks import Registry
from merp_tasks.inventory import inventory_check
from merp_tasks.sync import data_sync

Json = dict[str, Any]
IMAGE = "registry.example/merp-tasks:1"
OWN = "registry.example/erp:1"
CRON = {"name": "x", "job_type": "cron", "cron_expression": "0 0 1 * *"}
CHECK = CRON | {"func": "inventory_check"}
SYNC = CRON | {"func": "data_sync"}
COPY = {"source": "shop", "target": "erp", "table": "orders", "key": "id", "cursor": "updated_at"}
BOTH = ["shop", "erp"]


def printed(*functions: Any) -> Json:
    registry = Registry()
    for function in functions:
        registry.register(function)
    return catalogue_of(registry)


@pytest.fixture
def catalogue() -> Catalogue:
    """Of the default image: two predefined tasks as their own runner prints them."""
    return Catalogue.parse(json.dumps(printed(inventory_check, data_sync)), IMAGE)


def close_day(plant: str, day: int = 1) -> None:
    """Close a day."""


def published(name: str = "erp-tasks", image: str = OWN, namespace: str = "default") -> Json:
    made = config_map(name, image, printed(close_day))
    return made | {"metadata": made["metadata"] | {"namespace": namespace}}


def wrong(response: Any) -> list[tuple[str, str]]:
    assert response.status_code == 400, response.text
    return [(entry["pointer"], entry["code"]) for entry in response.json()["errors"]]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        pytest.param(CHECK | {"args": [1], "kwargs": {"detailed": "yes"}},
                     [("#/args/0", "wrong_type"), ("#/kwargs/detailed", "wrong_type")], id="wrong-types"),
        pytest.param(CHECK | {"kwargs": {"detialed": True}}, [("#/kwargs/detialed", "unknown")], id="unknown"),
        pytest.param(CHECK | {"args": ["all", True, 0, 1, 2]}, [("#/args/3", "unknown")], id="too-many"),
        pytest.param(CHECK | {"args": ["all"], "kwargs": {"warehouse": "w"}}, [("#/kwargs/warehouse", "duplicate")],
                     id="twice"),
        pytest.param(SYNC, [("#/kwargs", "required")] * 5, id="missing"),
        pytest.param(SYNC | {"kwargs": COPY, "connections": ["shop"]}, [("#/kwargs/target", "no_connection")],
                     id="one-is-no-connection"),
        pytest.param(SYNC | {"args": ["shop", "mysql://u:geheim@db/x", "t", "id", "c"], "connections": ["shop"]},
                     [("#/args/1", "no_connection")], id="a-url-in-its-place"),
        pytest.param(CHECK | {"func": "inventory_chek", "cron_expression": "x", "kwargs": {"a": 1}},
                     [("#/cron_expression", "invalid"), ("#/func", "unknown_task")], id="with-other-errors"),
        pytest.param(CHECK | {"args": "all", "kwargs": {"a": 1}}, [("#/args", "wrong_type")], id="what-is-no-list"),
        pytest.param(CHECK | {"image": IMAGE, "kwargs": {"a": 1}}, [("#/kwargs/a", "unknown")],
                     id="the-default-image-by-name"),
    ],
)  # fmt: skip
async def test_wrong_parameters_are_named(
    gateway: Any, cluster: Any, body: Json, expected: list[tuple[str, str]]
) -> None:
    response = await gateway.post("/api/v1/jobs", json=body)
    assert wrong(response) == expected
    assert "geheim" not in response.text
    assert cluster.calls("POST", "scheduledjobs") == []


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(CHECK | {"args": ["all"], "kwargs": {"detailed": True}}, id="the-seeds-own"),
        pytest.param(SYNC | {"kwargs": COPY, "connections": BOTH}, id="connections"),
        pytest.param(CHECK | {"kwargs": {"connection": None, "tolerance_percent": 1}}, id="null-and-a-whole-number"),
        pytest.param(CHECK | {"func": "other", "image": OWN, "kwargs": {"a": 1}}, id="an-image-nobody-knows"),
    ],
)
async def test_good_ones_are_taken(gateway: Any, body: Json) -> None:
    response = await gateway.post("/api/v1/jobs", json=body)
    assert response.status_code == 201, response.text


async def test_every_job_of_the_default_image_has_the_installations_connections(applications: Any) -> None:
    env = [{"name": "MERP_CONNECTION_ERP", "valueFrom": {"secretKeyRef": {"name": "erp", "key": "url"}}}]
    gateway = applications(settings={"merp_default_env": env})
    body = SYNC | {"kwargs": COPY, "connections": ["shop"]}
    assert (await gateway.post("/api/v1/jobs", json=body)).status_code == 201


@pytest.mark.parametrize(
    ("put", "status", "expected"),
    [
        pytest.param({"args": []}, 400, [("#/kwargs", "required")], id="without-its-parameters"),
        pytest.param({"args": ["P1"], "kwargs": {"day": 2}}, 200, None, id="good"),
        pytest.param({"func": "close_dya"}, 400, [("#/func", "unknown_task")], id="unknown-task"),
        pytest.param({"image": None, "func": "inventory_check"}, 200, None, id="back-to-the-default-image"),
        pytest.param({"image": "registry.example/erp:2", "func": "x"}, 200, None, id="another-tag-is-another-image"),
    ],
)
async def test_a_put_is_checked_against_the_image_that_the_job_will_have(
    gateway: Any, cluster: Any, scheduled_job: Any, put: Json, status: int, expected: Any
) -> None:
    cluster.put("configmaps", published())
    cluster.put(
        "scheduledjobs", scheduled_job("j", task={"func": "close_day", "args": ["P1"]}, template={"image": OWN})
    )
    response = await gateway.put("/api/v1/jobs/j", json=CRON | {"func": "close_day"} | put)
    assert response.status_code == status, response.text
    assert expected is None or wrong(response) == expected


async def test_what_a_manifest_mounts_is_a_connection_too(gateway: Any, cluster: Any, scheduled_job: Any) -> None:
    mount = {"name": "v", "mountPath": "/etc/merp-connections/erp"}
    task = {"func": "data_sync", "kwargs": COPY}
    cluster.put(
        "scheduledjobs", scheduled_job("j", task=task, connections=["shop"], template={"volumeMounts": [mount]})
    )
    response = await gateway.request("PATCH", "/api/v1/jobs/j", json={"kwargs": {"batch_size": 10}},
                                     headers={"Content-Type": "application/merge-patch+json"})  # fmt: skip
    assert response.status_code == 200, response.text
    response = await gateway.request("PATCH", "/api/v1/jobs/j", json={"kwargs": {"target": "wms"}},
                                     headers={"Content-Type": "application/merge-patch+json"})  # fmt: skip
    assert wrong(response) == [("#/kwargs/target", "no_connection")]


@pytest.mark.parametrize(
    ("items", "namespace", "status"),
    [
        pytest.param([published()], "default", 400, id="published-beside-the-job"),
        pytest.param([published(namespace="other")], "default", 201, id="another-namespaces"),
        pytest.param([published(image="registry.example/erp:2")], "default", 201, id="another-image"),
        pytest.param(
            [published("a") | {"data": {"image": OWN}}, published("b")], "default", 400, id="a-broken-one-first"
        ),
        pytest.param([published() | {"data": None}], "default", 201, id="a-broken-one-alone"),
    ],
)
async def test_an_image_is_checked_by_what_is_published(
    gateway: Any, cluster: Any, items: list[Json], namespace: str, status: int
) -> None:
    for item in items:
        cluster.put("configmaps", item)
    body = CRON | {"func": "close_day", "image": OWN}
    assert (await gateway.post(f"/api/v1/jobs?namespace={namespace}", json=body)).status_code == status


async def test_whoever_may_not_read_config_maps_is_told_by_the_operator(gateway: Any, cluster: Any) -> None:
    cluster.put("configmaps", published())
    cluster.refusals[("GET", "configmaps")].append(Refusal(403, "Forbidden", "no"))
    response = await gateway.post("/api/v1/jobs", json=CRON | {"func": "close_day", "image": OWN})
    assert response.status_code == 201


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        pytest.param({}, None, id="the-jobs-own"),
        pytest.param({"args": ["P2"]}, None, id="good"),
        pytest.param({"args": [2]}, [("#/args/0", "wrong_type")], id="wrong"),
        pytest.param({"args": []}, [("#/kwargs", "required")], id="less-than-the-jobs-own"),
        pytest.param({"kwargs": {"x": 1}}, [("#/kwargs/x", "unknown")], id="unknown"),
    ],
)
async def test_parameters_of_one_run(gateway: Any, cluster: Any, scheduled_job: Any, sent: Json, expected: Any) -> None:
    cluster.put("configmaps", published())
    cluster.put(
        "scheduledjobs", scheduled_job("j", task={"func": "close_day", "args": ["P1"]}, template={"image": OWN})
    )
    response = await gateway.post("/api/v1/jobs/j/execute", json=sent)
    if expected is None:
        assert response.status_code == 202, response.text
    else:
        assert wrong(response) == expected
        assert cluster.calls("POST", "jobruns") == []


async def test_a_job_that_is_nested_too_deeply_ends_no_list(gateway: Any, cluster: Any, scheduled_job: Any) -> None:
    """As kubectl can make it: more than what a serializer takes."""
    deep: Any = "geheim"
    for _ in range(300):
        deep = {"a": deep}
    cluster.put("scheduledjobs", scheduled_job("deep", task={"func": "inventory_check", "kwargs": deep}))
    cluster.put("scheduledjobs", scheduled_job("good"))
    listed = await gateway.get("/api/v1/jobs")
    assert (listed.status_code, [item["id"] for item in listed.json()["items"]]) == (200, ["deep", "good"])
    assert (await gateway.get("/api/v1/jobs/deep")).json()["kwargs"]["a"]["a"] is not None
    changed = await gateway.request("PATCH", "/api/v1/jobs/deep", json={"kwargs": {"a": None}},
                                    headers={"Content-Type": "application/merge-patch+json"})  # fmt: skip
    assert (changed.status_code, changed.json()["kwargs"]) == (200, {})
