"""What is away or broken, and how that is said."""

import asyncio
import logging
import threading
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from merp_api.problems import Problem
from merp_api.records import Records
from merp_records.engine import create_engine, database_url
from merp_records.migrations import VERSION_TABLE, downgrade

HISTORY = "/api/v1/jobs/history"


@pytest.mark.parametrize(
    ("method", "path", "status", "kind"),
    [
        pytest.param("GET", "/api/v1/nothing", 404, "not-found", id="unknown-path"),
        pytest.param("GET", "/api/v1/jobs/", 404, "not-found", id="slash-at-the-end"),
        pytest.param("PATCH", "/api/v1/jobs", 405, "method-not-allowed", id="unknown-method"),
        pytest.param("GET", "/api/v1/jobs/nope", 404, "not-found", id="no-such-job"),
        pytest.param("DELETE", HISTORY, 404, "not-found", id="history-cannot-be-deleted"),
        pytest.param("GET", "/docs", 404, "not-found", id="no-page-of-scripts"),
    ],
)
async def test_each_status_is_a_problem(gateway: Any, method: str, path: str, status: int, kind: str) -> None:
    response = await gateway.request(method, path)
    body = response.json()
    assert (response.status_code, response.headers["content-type"]) == (status, "application/problem+json")
    assert (body["type"], body["status"]) == (f"urn:merp:problem:{kind}", status)
    assert body["instance"] == f"urn:merp:request:{response.headers['x-request-id']}"
    assert body["title"]
    assert body["detail"]
    assert (status != 405) or response.headers["allow"]


@pytest.mark.parametrize(
    ("refused", "status", "kind"),
    [
        pytest.param((403, "Forbidden"), 403, "forbidden", id="403"),
        pytest.param((409, "Conflict"), 409, "conflict", id="409"),
        pytest.param((410, "Expired"), 410, "cursor-expired", id="410"),
        pytest.param((413, "RequestEntityTooLarge"), 413, "too-large", id="413"),
        pytest.param((429, "TooManyRequests"), 429, "too-many-requests", id="429"),
        pytest.param((500, "InternalError"), 502, "cluster-fault", id="500"),
        pytest.param((503, "ServiceUnavailable"), 503, "cluster-unavailable", id="503"),
        pytest.param((504, "Timeout"), 503, "cluster-unavailable", id="504"),
        pytest.param((404, "NotFound"), 502, "cluster-fault", id="definitions-not-installed"),
        pytest.param((400, "BadRequest"), 400, "validation", id="400"),
        pytest.param((401, "Unauthorized"), 401, "unauthorized", id="401"),
    ],
)
async def test_what_the_api_server_refuses(
    gateway: Any, cluster: Any, refusal: Any, refused: tuple[int, str], status: int, kind: str
) -> None:
    cluster.refusals[("GET", "scheduledjobs")] = [refusal(*refused, "the reason of the API server")]
    response = await gateway.get("/api/v1/jobs")
    assert (response.status_code, response.json()["type"]) == (status, f"urn:merp:problem:{kind}")
    assert response.headers.get("retry-after") == {429: "7", 503: "5"}.get(status)


async def test_the_api_server_is_away(applications: Any) -> None:
    # Nothing listens on the port of the discard protocol.
    gateway = applications(api_server="http://127.0.0.1:9")
    response = await gateway.get("/api/v1/jobs")
    assert (response.status_code, response.json()["type"]) == (503, "urn:merp:problem:cluster-unavailable")
    ready = await gateway.get("/readyz", None)
    assert (ready.status_code, ready.json()["api_server"]) == (503, "unreachable")
    assert (await gateway.get("/healthz", None)).status_code == 200


async def test_whoever_asks_whether_it_is_ready_keeps_the_api_server_busy_with_one_question(
    gateway: Any, cluster: Any
) -> None:
    answers = await asyncio.gather(*(gateway.get("/readyz", None) for _ in range(20)))
    assert {answer.status_code for answer in answers} == {200}
    assert len([seen for seen in cluster.seen if seen.path == "/version"]) < 5


async def test_the_database_is_away_and_jobs_still_answer(applications: Any, tmp_path: Path) -> None:
    gateway = applications(database=tmp_path / "no" / "such" / "folder" / "records.db")
    response = await gateway.get(HISTORY)
    assert (response.status_code, response.json()["type"]) == (503, "urn:merp:problem:records-unavailable")
    assert response.headers["retry-after"] == "5"
    assert "folder exists" in response.json()["detail"]
    assert (await gateway.get("/api/v1/jobs")).status_code == 200
    ready = await gateway.get("/readyz", None)
    assert (ready.status_code, ready.json()["records"]) == (200, "unavailable")


async def test_the_schema_is_not_there_yet_and_then_is(
    applications: Any, database: Path, writer: Any, tmp_path: Path
) -> None:
    downgrade(writer, "base")
    gateway = applications()
    response = await gateway.get(HISTORY)
    assert response.status_code == 503
    assert "operator" in response.json()["detail"]
    ready = (await gateway.get("/readyz", None)).json()
    assert (ready["status"], ready["records"]) == ("ready", "missing")


async def test_a_schema_that_goes_away_is_noticed(database: Path, writer: Any) -> None:
    now = 0.0
    records = Records(create_engine(database_url(sqlite_path=database), read_only=True), clock=lambda: now)
    assert await records.read(lambda connection: 1) == 1
    downgrade(writer, "base")
    now = 31.0
    with pytest.raises(Exception, match="no tables yet"):
        await records.read(lambda connection: 1)
    records.close()


@pytest.mark.usefixtures("patient_probes")
async def test_tables_that_are_half_changed_are_told(database: Path, writer: Any) -> None:
    with writer.begin() as connection:
        connection.execute(text(f"DELETE FROM {VERSION_TABLE}"))
    records = Records(create_engine(database_url(sqlite_path=database), read_only=True))
    with pytest.raises(Problem, match="half changed: the operator is at it, or goes on when it starts"):
        await records.read(lambda connection: 1)
    assert await records.state() == "partial"
    records.close()


async def test_a_database_that_hangs_holds_up_a_bounded_number_of_readers(database: Path) -> None:
    engine = create_engine(database_url(sqlite_path=database), pool_size=2, max_overflow=1, read_only=True)
    records = Records(engine, queue_seconds=0.05)
    released = threading.Event()
    readers = [asyncio.create_task(records.read(lambda connection: released.wait(30))) for _ in range(3)]
    await asyncio.sleep(0)
    with pytest.raises(Problem, match="too many requests"):
        await records.read(lambda connection: True)
    assert await records.state() == "unavailable"
    released.set()
    assert await asyncio.gather(*readers) == [True] * 3
    assert await records.read(lambda connection: "again") == "again"
    records.close()


async def test_a_fault_of_ours_is_500_with_its_cause_in_the_log_only(
    gateway: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(*_: object) -> None:
        raise RuntimeError("what went wrong")

    monkeypatch.setattr(gateway.app.state.services.cluster, "jobs", broken)
    response = await gateway.get("/api/v1/jobs", headers={"X-Request-Id": "mine-1"})
    assert (response.status_code, response.json()["type"]) == (500, "urn:merp:problem:internal")
    assert response.json()["instance"] == "urn:merp:request:mine-1"
    assert "what went wrong" not in response.text
    assert "Traceback" not in response.text
    # Of the gateway alone: of what an earlier test left behind asyncio tells when it is collected.
    ours = [record for record in caplog.records if record.name.startswith("merp_api")]
    [logged] = [record for record in ours if record.levelno == logging.ERROR]
    assert logged.exc_info is not None
    assert vars(logged)["request_id"] == "mine-1"


@pytest.mark.parametrize("given", ["x" * 65, "a b", "<script>"])
async def test_a_request_id_of_the_clients_that_is_none(gateway: Any, given: str) -> None:
    response = await gateway.get("/healthz", None, headers={"X-Request-Id": given})
    assert response.headers["x-request-id"] != given
    assert len(response.headers["x-request-id"]) == 32


async def test_answers_are_not_kept_by_anybody(gateway: Any) -> None:
    response = await gateway.get("/api/v1/jobs")
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["x-content-type-options"] == "nosniff"
