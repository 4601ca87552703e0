"""Approved templates: a job takes one by name, and says which."""

from typing import Any

import pytest

from merp_api.problems import Problem
from merp_api.templates import parse
from merp_crds.names import ANNOTATION_TEMPLATE, LABEL_TEMPLATE

BODY = {"id": "j", "name": "j", "job_type": "cron", "func": "echo_args", "cron_expression": "0 0 1 * *"}
NIGHTLY = "serviceAccountName: batch\nresources: {limits: {memory: 1Gi}}\n"
CONTENT = {"serviceAccountName": "batch", "resources": {"limits": {"memory": "1Gi"}}}
READ = frozenset({"get", "list", "watch"})


def put(cluster: Any, name: str, text: str = NIGHTLY, namespace: str = "default", label: str = "true") -> None:
    metadata = {"name": name, "namespace": namespace, "labels": {LABEL_TEMPLATE: label}}
    cluster.put("configmaps", {"metadata": metadata, "data": {"template.yaml": text}})


async def test_a_job_takes_one_and_says_which(gateway: Any, cluster: Any) -> None:
    put(cluster, "nightly")
    made = await gateway.post("/api/v1/jobs", json=BODY | {"template": "nightly"})
    assert (made.status_code, made.json()["template"], made.json()["image"]) == (201, "nightly", None)
    assert cluster.job("j")["spec"]["template"] == CONTENT
    assert cluster.job("j")["metadata"]["annotations"][ANNOTATION_TEMPLATE].startswith("nightly@")
    assert (await gateway.get("/api/v1/jobs/j")).json()["template"] == "nightly"


async def test_the_image_may_be_another_one(gateway: Any, cluster: Any) -> None:
    put(cluster, "nightly", NIGHTLY + "image: a:1\n")
    made = (await gateway.post("/api/v1/jobs", json=BODY | {"template": "nightly"})).json()
    assert (made["template"], made["image"]) == ("nightly", "a:1")
    changed = (await gateway.request("PATCH", "/api/v1/jobs/j", json={"image": "b:2"})).json()
    assert (changed["template"], changed["image"]) == ("nightly", "b:2")
    assert cluster.job("j")["spec"]["template"] == CONTENT | {"image": "b:2"}


@pytest.mark.parametrize(
    ("method", "sent", "template", "shown"),
    [
        pytest.param("PATCH", {"template": "other"}, {"image": "o:1"}, "other", id="another-one"),
        pytest.param("PATCH", {"template": None}, None, None, id="none"),
        pytest.param("PATCH", {"template": None, "image": "b:2"}, {"image": "b:2"}, None, id="none-but-an-image"),
        pytest.param("PATCH", {"description": "x"}, CONTENT, "nightly", id="left-out-of-a-patch"),
        pytest.param("PUT", BODY, CONTENT, "nightly", id="left-out-of-a-put"),
        pytest.param("PUT", BODY | {"template": "nightly"}, CONTENT, "nightly", id="what-it-has"),
    ],
)
async def test_changes(gateway: Any, cluster: Any, method: str, sent: Any, template: Any, shown: Any) -> None:
    put(cluster, "nightly")
    put(cluster, "other", "image: o:1")
    await gateway.post("/api/v1/jobs", json=BODY | {"template": "nightly"})
    answer = await gateway.request(method, "/api/v1/jobs/j", json=sent)
    assert (answer.status_code, answer.json()["template"]) == (200, shown), answer.text
    assert cluster.job("j")["spec"].get("template") == template
    assert (ANNOTATION_TEMPLATE in cluster.job("j")["metadata"]["annotations"]) == (shown is not None)


async def test_what_was_got_can_be_put_back_though_the_template_has_changed(gateway: Any, cluster: Any) -> None:
    put(cluster, "nightly")
    await gateway.post("/api/v1/jobs", json=BODY | {"template": "nightly"})
    put(cluster, "nightly", "image: another:2")
    got = (await gateway.get("/api/v1/jobs/j")).json()
    assert (await gateway.put("/api/v1/jobs/j", json=got)).status_code == 200
    assert cluster.writes("PUT", "scheduledjobs") == []


@pytest.mark.parametrize(
    "spec",
    [
        pytest.param({"template": {"serviceAccountName": "x"}}, id="written-by-hand"),
        pytest.param({}, id="none"),
    ],
)
async def test_a_template_of_its_own_is_kept(gateway: Any, cluster: Any, scheduled_job: Any, spec: Any) -> None:
    cluster.put("scheduledjobs", scheduled_job("j", **spec))
    got = (await gateway.get("/api/v1/jobs/j")).json()
    assert got["template"] is None
    assert (await gateway.put("/api/v1/jobs/j", json=got | {"description": "x"})).status_code == 200
    assert cluster.job("j")["spec"].get("template") == spec.get("template")


async def test_one_that_was_changed_since_is_no_approved_one(gateway: Any, cluster: Any) -> None:
    put(cluster, "nightly")
    await gateway.post("/api/v1/jobs", json=BODY | {"template": "nightly"})
    cluster.job("j")["spec"]["template"]["serviceAccountName"] = "admin"
    assert (await gateway.get("/api/v1/jobs/j")).json()["template"] is None


@pytest.mark.parametrize(
    ("name", "told"),
    [
        pytest.param("nope", "there is no approved template 'nope': there are night, shared", id="unknown"),
        pytest.param("not-approved", "there are night, shared", id="without-the-label"),
        pytest.param("elsewhere", "there are night, shared", id="of-another-namespace"),
    ],
)
async def test_an_unknown_one_names_those_that_there_are(applications: Any, cluster: Any, name: str, told: str) -> None:
    gateway = applications(settings={"merp_template_namespace": "erp"})
    put(cluster, "night")
    put(cluster, "shared", namespace="erp")
    put(cluster, "not-approved", label="false")
    put(cluster, "elsewhere", namespace="erp-production-environment")
    answer = await gateway.post("/api/v1/jobs", json=BODY | {"template": name})
    [error] = answer.json()["errors"]
    assert (answer.status_code, error["pointer"], error["code"]) == (400, "#/template", "unknown_template")
    assert told in error["detail"]
    assert cluster.writes("POST", "scheduledjobs") == []


async def test_the_jobs_namespace_comes_before_the_installations(applications: Any, cluster: Any) -> None:
    gateway = applications(settings={"merp_template_namespace": "erp"})
    put(cluster, "nightly", "image: shared:1", namespace="erp")
    put(cluster, "shared", "image: shared:1", namespace="erp")
    put(cluster, "nightly", "image: own:1")
    own = (await gateway.post("/api/v1/jobs", json=BODY | {"template": "nightly"})).json()
    shared = (await gateway.post("/api/v1/jobs", json=BODY | {"id": "k", "template": "shared"})).json()
    assert (own["image"], shared["image"]) == ("own:1", "shared:1")


async def test_who_may_not_read_them_is_told_where(applications: Any, cluster: Any) -> None:
    gateway = applications(settings={"merp_template_namespace": "erp"})
    cluster.allow("t", "editor", "default")
    put(cluster, "shared", namespace="erp")
    answer = await gateway.post("/api/v1/jobs", "t", json=BODY | {"template": "shared"})
    assert "there are none; you may not list configmaps in erp" in answer.json()["errors"][0]["detail"]


@pytest.mark.parametrize("name", ["../x", "A", "", "x" * 254, 5])
async def test_names_that_are_none(gateway: Any, cluster: Any, name: Any) -> None:
    answer = await gateway.post("/api/v1/jobs", json=BODY | {"template": name})
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, "template")
    assert not [seen for seen in cluster.seen if "configmaps" in seen.path]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        pytest.param("", "no object under the key template.yaml", id="empty"),
        pytest.param("[1]", "no object", id="a-list"),
        pytest.param("a: [", "no YAML", id="broken"),
        pytest.param("a: &x [1]\nb: *x", "YAML aliases", id="aliases"),
        pytest.param("a: 2026-12-01", "quote dates", id="a-date"),
        pytest.param("a: .nan", "what JSON cannot", id="not-a-number"),
        pytest.param("!!python/object/apply:os.system [ls]", "no YAML", id="python"),
    ],
)
def test_what_is_no_template(text: str, told: str) -> None:
    with pytest.raises(Problem) as caught:
        parse(text)
    assert told in caught.value.errors[0].detail


def test_json_is_yaml() -> None:
    assert parse('{"image": "x:1"}') == {"image": "x:1"}
