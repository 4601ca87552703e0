"""Resuming a job and catching up with its pause, through the whole application."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from merp_crds.names import ANNOTATION_CREATED_BY, ANNOTATION_PAUSED

NOTE = {"by": "li", "at": "2026-12-01T10:01:00Z"}
RESUME = "/api/v1/jobs/j/resume"


def at(time: str) -> datetime:
    """A time of 1 December 2026."""
    return datetime.fromisoformat(f"2026-12-01T{time}").replace(tzinfo=UTC)


@pytest.fixture
def set_clock(gateway: Any) -> Callable[[str], None]:
    """Sets the gateway's clock."""

    def set_to(time: str) -> None:
        gateway.app.state.services.jobs.now = lambda: at(time)

    return set_to


@pytest.fixture
def paused(cluster: Any, scheduled_job: Any, set_clock: Any) -> Callable[..., dict[str, Any]]:
    """Stores a job that has been paused since 10:01, every ten minutes if nothing else is said. It is 12:07."""

    def put(note: dict[str, Any] | None = NOTE, **spec: Any) -> dict[str, Any]:
        job: dict[str, Any] = scheduled_job("j", **{"schedule": {"cron": "*/10 * * * *"}} | spec)
        job["metadata"]["annotations"] = {} if note is None else {ANNOTATION_PAUSED: json.dumps(note)}
        set_clock("12:07")
        stored: dict[str, Any] = cluster.put("scheduledjobs", job)
        return stored

    return put


def runs(cluster: Any) -> list[dict[str, Any]]:
    """The JobRuns, oldest first."""
    found = [item for (kind, _, _), item in cluster.objects.items() if kind == "jobruns"]
    return sorted(found, key=lambda item: int(item["metadata"]["resourceVersion"]))


def asked(cluster: Any) -> list[tuple[str, str]]:
    """The hours and minutes of the backfills' ranges."""
    ranges = [run["spec"]["backfill"] for run in runs(cluster)]
    return [(entry["start"][11:19], entry["end"][11:19]) for entry in ranges]


def unchanged(cluster: Any) -> bool:
    """Whether nothing was written but in a rehearsal."""
    patches = cluster.writes("PATCH", "scheduledjobs")
    return not patches and not runs(cluster)


@pytest.mark.parametrize(
    ("query", "spec", "ranges", "due_times"),
    [
        pytest.param("", {}, [], None, id="C14-not-asked-for"),
        pytest.param("?missed=Latest", {}, [("11:59:59", "12:00:00")], 1, id="C14-latest"),
        pytest.param("?missed=All", {}, [("10:01:00", "12:00:00")], 12, id="C14-all"),
        pytest.param("?missed=All", {"schedule": {"intervalSeconds": 45}}, [("10:01:00", "12:06:45")], 168,
                     id="every-45-s"),
        pytest.param("?missed=Latest", {"schedule": {"intervalSeconds": 45}}, [("12:06:44", "12:06:45")], 1,
                     id="latest-of-every-45-s"),
        pytest.param("?missed=All", {"schedule": {"at": "2026-12-01T11:00:00Z"}}, [("10:01:00", "11:00:00")], 1,
                     id="once"),
        pytest.param("?missed=All", {"schedule": {"cron": "0 9 * * *"}}, [], None, id="nothing-was-due"),
        pytest.param("?missed=Latest", {"schedule": {"cron": "0 9 * * *"}}, [], None, id="latest-of-nothing"),
        pytest.param("?missed=All", {"schedule": {"cron": "0 20 * * *", "timeZone": "Asia/Shanghai"}},
                     [("10:01:00", "12:00:00")], 1, id="in-the-jobs-zone"),
        pytest.param("?missed=All", {"schedule": None}, [], None, id="no-schedule"),
    ],
)  # fmt: skip
async def test_what_was_due_in_the_pause(
    gateway: Any, cluster: Any, paused: Any, query: str, spec: Any, ranges: Any, due_times: int | None
) -> None:
    job = paused(**spec)
    response = await gateway.post(RESUME + query)
    body = response.json()
    assert (response.status_code, body["status"], body["paused"]) == (200, "active", None), body
    assert ANNOTATION_PAUSED not in cluster.job("j")["metadata"]["annotations"]
    assert asked(cluster) == ranges
    if due_times is None:
        assert "catch_up" not in body
        return
    [run] = runs(cluster)
    assert body["catch_up"] == {"run": run["metadata"]["name"], "due_times": due_times}
    assert run["metadata"]["name"].startswith("j-catch-up-")
    assert run["metadata"]["annotations"] == {ANNOTATION_CREATED_BY: "admin"}
    assert run["metadata"]["ownerReferences"][0]["uid"] == job["metadata"]["uid"]
    assert (run["spec"].keys(), run["spec"]["scheduledJob"]) == ({"scheduledJob", "backfill"}, "j")
    assert run["spec"]["backfill"]["only"] == "Missing"


async def test_c14_a_pause_and_its_end_over_rest(
    gateway: Any, cluster: Any, scheduled_job: Any, set_clock: Any
) -> None:
    cluster.put("scheduledjobs", scheduled_job("j", schedule={"cron": "*/10 * * * *"}, missed={"policy": "Skip"}))
    set_clock("10:01")
    assert (await gateway.post("/api/v1/jobs/j/pause")).status_code == 200
    set_clock("12:07")
    response = await gateway.post(f"{RESUME}?missed=All")
    assert response.json()["catch_up"]["due_times"] == 12
    assert asked(cluster) == [("10:01:00", "12:00:00")]
    # The request comes first: a gateway that dies in between leaves the pause, which knows since when it is.
    written = [(seen.method, seen.query.get("dryRun")) for seen in cluster.seen if seen.method in ("POST", "PATCH")]
    assert written[-3:] == [("PATCH", "All"), ("POST", None), ("PATCH", None)]


async def test_a_job_that_was_resumed_can_be_put_back_as_it_was_got(gateway: Any, paused: Any) -> None:
    paused()
    got = (await gateway.post(f"{RESUME}?missed=All")).json()
    response = await gateway.put("/api/v1/jobs/j", json=got)
    assert response.status_code == 200, response.text
    assert "catch_up" not in response.json()


def _seen(since: str) -> dict[str, Any]:
    return {"type": "Paused", "status": "True", "reason": "x", "message": "", "lastTransitionTime": since}


async def test_more_than_one_request_runs(gateway: Any, cluster: Any, paused: Any) -> None:
    paused(NOTE | {"at": "2026-11-30T10:01:00Z"}, schedule={"cron": "* * * * *"})
    response = await gateway.post(f"{RESUME}?missed=All")
    body = response.json()
    assert (response.status_code, body["type"]) == (409, "urn:merp:problem:too-many-due-times")
    assert [word for word in ("1566", "1000", "missed=Latest") if word not in body["detail"]] == []
    assert unchanged(cluster)
    assert (await gateway.post(f"{RESUME}?missed=Latest")).json()["catch_up"]["due_times"] == 1


async def test_a_pause_of_years_is_counted_and_not_walked(gateway: Any, cluster: Any, paused: Any) -> None:
    job = paused(NOTE | {"at": "2020-12-01T00:00:00Z"}, schedule={"intervalSeconds": 1})
    job["metadata"]["creationTimestamp"] = "2020-12-01T00:00:00Z"
    response = await gateway.post(f"{RESUME}?missed=All")
    assert (response.status_code, unchanged(cluster)) == (409, True)
    assert response.json()["detail"].startswith("189346020 due times")


@pytest.mark.parametrize(
    ("note", "status"),
    [
        pytest.param(None, {}, id="never-paused"),
        pytest.param({"until": "2026-12-01T11:00:00Z"}, {}, id="a-pause-that-is-over"),
    ],
)
async def test_a_job_that_is_not_paused(gateway: Any, cluster: Any, paused: Any, note: Any, status: Any) -> None:
    paused(note)["status"] = status
    response = await gateway.post(f"{RESUME}?missed=All")
    assert (response.status_code, response.json()["type"]) == (409, "urn:merp:problem:not-paused"), response.text
    assert unchanged(cluster)


@pytest.mark.parametrize("value", ["Skip", "latest", "", "x"])
async def test_an_unknown_value(gateway: Any, cluster: Any, paused: Any, value: str) -> None:
    paused()
    response = await gateway.post(f"{RESUME}?missed={value}")
    [entry] = response.json()["errors"]
    assert (response.status_code, entry["field"], entry["in"], entry["code"]) == (400, "missed", "query", "invalid")
    assert "'Latest' or 'All'" in entry["detail"]
    assert unchanged(cluster)


@pytest.mark.parametrize(
    ("spec", "status", "words"),
    [
        pytest.param({"schedule": {"cron": "0 0 * * 7"}}, {}, ["day-of-week"], id="cron-that-cannot-be-read"),
        pytest.param({"schedule": {"cron": "* * * * *", "dst": "Never"}}, {}, ["dst"], id="a-word-that-is-none"),
        pytest.param(
            {},
            {"observedGeneration": 1, "conditions": [{"type": "Ready", "status": "False", "message": "no such task",
                                                      "observedGeneration": 1}]},
            ["no such task"],
            id="the-operator-says-so",
        ),
        pytest.param({"schedule": {"cron": "* * * * *", "calendar": {"name": "cn"}}}, {}, ["cn", "create it"],
                     id="a-calendar-that-is-not-there"),
    ],
)  # fmt: skip
async def test_a_job_whose_due_times_nobody_knows(
    gateway: Any, cluster: Any, paused: Any, spec: Any, status: Any, words: list[str]
) -> None:
    paused(**spec)["status"] = status
    response = await gateway.post(f"{RESUME}?missed=All")
    body = response.json()
    assert (response.status_code, body["type"]) == (409, "urn:merp:problem:invalid-job"), body
    assert [word for word in [*words, "without missed"] if word not in body["detail"]] == []
    assert unchanged(cluster)


@pytest.mark.parametrize(
    ("calendar", "ranges", "words"),
    [
        # 2026-12-01 is a Tuesday.
        pytest.param({"validThrough": "2026-12-31"}, [("10:01:00", "12:00:00")], [], id="a-working-day"),
        pytest.param({"validThrough": "2026-12-31", "holidays": [{"date": "2026-12-01"}]}, [], [], id="a-day-off"),
        pytest.param({"validThrough": "2026-11-30"}, None, ["before 2026-12-01", "extend"], id="it-ends-before"),
        pytest.param({"weekend": ["Sunday"]}, None, ["validThrough"], id="it-cannot-be-read"),
        pytest.param({"validThrough": "soon"}, None, ["validThrough", "soon"], id="a-date-that-is-none"),
    ],
)
async def test_a_calendar_decides_what_was_due(
    gateway: Any, cluster: Any, paused: Any, calendar: Any, ranges: Any, words: list[str]
) -> None:
    cluster.put("businesscalendars", {"metadata": {"name": "cn"}, "spec": calendar})
    paused(schedule={"cron": "*/10 * * * *", "calendar": {"name": "cn"}})
    response = await gateway.post(f"{RESUME}?missed=All")
    if ranges is None:
        assert (response.status_code, response.json()["type"]) == (409, "urn:merp:problem:invalid-job")
        assert [word for word in words if word not in response.json()["detail"]] == []
        assert unchanged(cluster)
    else:
        assert response.status_code == 200, response.text
        assert asked(cluster) == ranges
    [seen] = cluster.calls("GET", "businesscalendars")
    assert seen.path == "/apis/scheduler.merp.io/v1/businesscalendars/cn"


async def test_who_may_not_read_the_calendar(gateway: Any, cluster: Any, paused: Any) -> None:
    cluster.put("businesscalendars", {"metadata": {"name": "cn"}, "spec": {"validThrough": "2026-12-31"}})
    paused(schedule={"cron": "*/10 * * * *", "calendar": {"name": "cn"}})
    cluster.allow("e", "editor", "default")
    response = await gateway.post(f"{RESUME}?missed=All", "e")
    assert (response.status_code, response.json()["type"]) == (403, "urn:merp:problem:forbidden")
    assert "businesscalendars" in response.json()["detail"]
    assert unchanged(cluster)
    assert (await gateway.post(RESUME, "e")).status_code == 200


async def test_who_may_not_resume_gets_no_runs(gateway: Any, cluster: Any, paused: Any) -> None:
    paused()
    cluster.allow("r", "runner", "default", frozenset({"get", "list", "create"}))
    assert (await gateway.post(f"{RESUME}?missed=All", "r")).status_code == 403
    assert unchanged(cluster)


async def test_who_may_ask_for_no_runs_leaves_the_pause(gateway: Any, cluster: Any, paused: Any, refusal: Any) -> None:
    paused()
    cluster.refusals[("POST", "jobruns")] = [refusal(403, "Forbidden", "cannot create resource jobruns")]
    assert (await gateway.post(f"{RESUME}?missed=All")).status_code == 403
    assert unchanged(cluster)


async def test_a_pause_that_another_manager_declares(gateway: Any, cluster: Any, paused: Any) -> None:
    job = paused(suspend=True)
    job["metadata"]["managedFields"] = [{"manager": "argocd", "fieldsV1": {"f:spec": {"f:suspend": {}}}}]
    response = await gateway.post(f"{RESUME}?missed=All")
    assert (response.status_code, response.json()["type"]) == (409, "urn:merp:problem:owned-elsewhere")
    assert unchanged(cluster)


async def test_a_declared_pause_is_caught_up_with_since_the_operator_saw_it(
    gateway: Any, cluster: Any, paused: Any
) -> None:
    paused(None, suspend=True)["status"] = {"conditions": [_seen("2026-12-01T10:01:00Z") | {"reason": "Suspended"}]}
    response = await gateway.post(f"{RESUME}?missed=All")
    assert (response.status_code, response.json()["suspended"]) == (200, False), response.text
    assert asked(cluster) == [("10:01:00", "12:00:00")]


@pytest.mark.parametrize("headers", [pytest.param({}, id="no-key"), pytest.param({"Idempotency-Key": "7"}, id="key")])
@pytest.mark.parametrize(
    ("later", "ranges", "due_times"),
    [
        pytest.param("12:08", [("10:01:00", "12:00:00")], 12, id="at-once"),
        pytest.param("12:25", [("10:01:00", "12:00:00"), ("12:00:00", "12:20:00")], 2, id="after-more-was-due"),
    ],
)
async def test_a_repeat_after_a_crash_in_between(
    gateway: Any, cluster: Any, paused: Any, set_clock: Any, refusal: Any, headers: Any, later: str, ranges: Any,
    due_times: int,
) -> None:  # fmt: skip
    paused()

    def crash() -> None:
        cluster.refusals[("PATCH", "scheduledjobs")].append(refusal(503, "ServiceUnavailable", "going down"))

    cluster.interruptions[("POST", "jobruns")].append(crash)
    first = await gateway.post(f"{RESUME}?missed=All", headers=headers)
    assert (first.status_code, len(runs(cluster))) == (503, 1)
    assert ANNOTATION_PAUSED in cluster.job("j")["metadata"]["annotations"]
    set_clock(later)
    again = await gateway.post(f"{RESUME}?missed=All", headers=headers)
    assert (again.status_code, again.json()["paused"]) == (200, None), again.text
    assert asked(cluster) == ranges
    assert again.json()["catch_up"] == {"run": runs(cluster)[-1]["metadata"]["name"], "due_times": due_times}


async def test_somebody_writes_in_between(gateway: Any, cluster: Any, paused: Any) -> None:
    paused()

    def somebody_else() -> None:
        cluster.job("j")["spec"]["priority"] = "high"
        cluster.put("scheduledjobs", cluster.job("j"))

    cluster.interruptions[("POST", "jobruns")].append(somebody_else)
    cluster.interruptions[("PATCH", "scheduledjobs")].append(somebody_else)
    response = await gateway.post(f"{RESUME}?missed=All")
    assert (response.status_code, response.json()["priority"]) == (200, "high"), response.text
    assert asked(cluster) == [("10:01:00", "12:00:00")]


async def test_somebody_resumes_in_between(gateway: Any, cluster: Any, paused: Any) -> None:
    paused()

    def somebody_else() -> None:
        cluster.job("j")["metadata"]["annotations"].pop(ANNOTATION_PAUSED)
        cluster.put("scheduledjobs", cluster.job("j"))

    cluster.interruptions[("POST", "jobruns")].append(somebody_else)
    response = await gateway.post(f"{RESUME}?missed=All")
    assert response.json()["catch_up"]["run"] == runs(cluster)[0]["metadata"]["name"]


async def test_a_repeat_with_the_same_key_is_answered_alike(
    gateway: Any, cluster: Any, paused: Any, set_clock: Any
) -> None:
    paused()
    headers = {"Idempotency-Key": "17"}
    first = await gateway.post(f"{RESUME}?missed=All", headers=headers)
    again = await gateway.post(f"{RESUME}?missed=All", headers=headers)
    assert (first.status_code, again.status_code) == (200, 200), again.text
    assert first.json() == again.json()
    other = await gateway.post(f"{RESUME}?missed=Latest", headers=headers)
    assert (other.status_code, other.json()["type"]) == (409, "urn:merp:problem:idempotency-key-reused")
    without = await gateway.post(f"{RESUME}?missed=All")
    assert (without.status_code, without.json()["type"]) == (409, "urn:merp:problem:not-paused")
    # A request that comes twice ends no pause of a later time.
    set_clock("12:30")
    await gateway.post("/api/v1/jobs/j/pause")
    set_clock("13:00")
    runs(cluster)[0]["status"] = {"planned": 12}
    late = await gateway.post(f"{RESUME}?missed=All", headers=headers)
    assert (late.status_code, late.json()["status"]) == (200, "paused")
    assert late.json()["catch_up"] == first.json()["catch_up"]
    assert len(runs(cluster)) == 1


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda run: run["metadata"]["ownerReferences"][0].update(uid="other"), id="of-another-job"),
        pytest.param(lambda run: run["spec"].pop("backfill"), id="for-one-run"),
        pytest.param(lambda run: run["spec"]["backfill"].update(end="2026-12-01T10:00:00Z"), id="for-another-time"),
    ],
)
async def test_a_name_that_something_else_has(
    gateway: Any, cluster: Any, paused: Any, change: Callable[[Any], None]
) -> None:
    job = paused()
    await gateway.post(f"{RESUME}?missed=All")
    change(runs(cluster)[0])
    job["metadata"]["annotations"] = {ANNOTATION_PAUSED: json.dumps(NOTE)}
    cluster.put("scheduledjobs", job)
    response = await gateway.post(f"{RESUME}?missed=All")
    assert (response.status_code, response.json()["type"]) == (409, "urn:merp:problem:conflict")
    assert ANNOTATION_PAUSED in cluster.job("j")["metadata"]["annotations"]


async def test_the_description_has_it(gateway: Any) -> None:
    document = (await gateway.get("/api/v1/openapi.json")).json()
    operation = document["paths"]["/api/v1/jobs/{id}/resume"]["post"]
    [missed] = [entry for entry in operation["parameters"] if entry["name"] == "missed"]
    assert (missed["in"], missed["required"]) == ("query", False)
    assert document["components"]["schemas"]["CatchUp"]["enum"] == ["Latest", "All"]
    assert document["components"]["schemas"]["CatchUpView"]["required"] == ["run", "due_times"]
    assert "catch_up" not in document["components"]["schemas"]["JobView"]["properties"]
    assert "catch_up" in document["components"]["schemas"]["ResumedJobView"]["required"]
