"""Days in numbers: how due times ended, how long runs took, and what is worst."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from merp_crds.reasons import Verdict
from merp_records import stalerollups

READ = frozenset({"get", "list", "watch"})
RANGE = "start=2026-11-30&end=2026-12-02"


@pytest.fixture
def days(recorder: Any, cluster: Any, scheduled_job: Any) -> None:
    """Two jobs of one namespace and one of another, on 1 and 2 December."""
    job = cluster.put("scheduledjobs", scheduled_job("j"))
    uid = job["metadata"]["uid"]
    late = {"due_time": datetime(2026, 12, 1, tzinfo=UTC) - timedelta(seconds=5)}
    recorder.run("j", 0, uid=uid, attempts=1, **late)
    recorder.run("j", 1, uid=uid, status=Verdict.FAILED, attempts=1)
    recorder.run("j", 24, uid=uid, status=Verdict.MISSED, count=7)
    recorder.run("k", 2, status=Verdict.TIMEOUT, attempts=1)
    recorder.run("x", 2, namespace="erp")
    with recorder.engine.connect() as connection:
        marked = stalerollups.marks(connection)
    stalerollups.refresh(recorder.engine, marked, now=datetime(2026, 12, 3, tzinfo=UTC))


def counts(items: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    return [(item["day"], item["success"], item["failed"], item["timeout"], item["missed"]) for item in items]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        pytest.param(f"?{RANGE}", [("2026-12-02", 0, 0, 0, 7), ("2026-12-01", 1, 1, 1, 0)], id="newest-first"),
        pytest.param(
            f"?{RANGE}&namespace=*", [("2026-12-02", 0, 0, 0, 7), ("2026-12-01", 2, 1, 1, 0)], id="all-namespaces"
        ),
        pytest.param("?start=2026-12-02&end=2026-12-02", [("2026-12-02", 0, 0, 0, 7)], id="one-day"),
        pytest.param("?end=2026-12-30", [("2026-12-02", 0, 0, 0, 7), ("2026-12-01", 1, 1, 1, 0)], id="thirty-days"),
        pytest.param("?end=2026-12-31", [("2026-12-02", 0, 0, 0, 7)], id="not-thirty-one"),
        pytest.param("?end=2020-01-01", [], id="nothing-there"),
        pytest.param("?end=0001-01-01&start=0001-01-01", [], id="the-first-day-of-all"),
    ],
)
async def test_days(gateway: Any, days: None, query: str, expected: list[Any]) -> None:
    answer = await gateway.get(f"/api/v1/history/daily{query}")
    assert answer.status_code == 200, answer.text
    assert counts(answer.json()["items"]) == expected


async def test_the_days_of_a_job_say_how_long_and_how_late(gateway: Any, days: None) -> None:
    items = (await gateway.get(f"/api/v1/jobs/j/history/daily?{RANGE}")).json()["items"]
    assert counts(items) == [("2026-12-02", 0, 0, 0, 7), ("2026-12-01", 1, 1, 0, 0)]
    assert {name: items[1][name] for name in items[1] if name.endswith(("50", "95"))} == {
        "duration_p50": 60.0, "duration_p95": 60.0, "lateness_p50": 0.0, "lateness_p95": 5.0,
    }  # fmt: skip
    assert items[0]["duration_p50"] is None


async def test_the_worst_jobs(gateway: Any, days: None) -> None:
    items = (await gateway.get(f"/api/v1/history/worst?{RANGE}")).json()["items"]
    assert [(item["job_id"], item["job_name"], item["failed"], item["missed"]) for item in items] == [
        ("j", "名称 j", 1, 7), ("k", "名称 k", 0, 0),
    ]  # fmt: skip
    assert len((await gateway.get(f"/api/v1/history/worst?{RANGE}&limit=1")).json()["items"]) == 1


@pytest.mark.parametrize(
    ("query", "field"),
    [
        pytest.param("start=2026-12-02&end=2026-12-01", "end", id="turned-round"),
        pytest.param("start=2025-12-01&end=2026-12-02", "end", id="longer-than-a-year"),
        pytest.param("start=yesterday", "start", id="no-day"),
        pytest.param("start=1764547200", "start", id="seconds"),
        pytest.param("end=2026-02-30", "end", id="no-such-day"),
        pytest.param("limit=5", "limit", id="unknown"),
    ],
)
async def test_wrong_ranges(gateway: Any, query: str, field: str) -> None:
    answer = await gateway.get(f"/api/v1/history/daily?{query}")
    assert answer.status_code == 400
    assert [(error["field"], error["in"]) for error in answer.json()["errors"]] == [(field, "query")]


@pytest.mark.parametrize(
    ("path", "status"),
    [
        pytest.param("/api/v1/history/daily?namespace=*", 403, id="all-namespaces"),
        pytest.param("/api/v1/history/daily", 403, id="another-namespace"),
        pytest.param("/api/v1/history/worst", 403, id="its-worst-jobs"),
        pytest.param("/api/v1/jobs/j/history/daily", 403, id="its-job"),
        pytest.param("/api/v1/history/daily?namespace=erp", 200, id="ones-own"),
    ],
)
async def test_c58_numbers_are_no_way_round_rights(
    gateway: Any, cluster: Any, days: None, path: str, status: int
) -> None:
    cluster.allow("t", "reader", "erp", READ)
    assert (await gateway.get(path, "t")).status_code == status
