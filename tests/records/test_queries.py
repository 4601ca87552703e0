"""What the gateway reads: pages, filters, and nothing of namespaces that it may not see."""

import base64
from datetime import UTC, datetime, timedelta

import pytest

from merp_crds.reasons import Reason, RunState, Trigger, Verdict
from merp_records import queries
from merp_records.writes import record

NOW = datetime(2027, 3, 14, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
OTHER = "7a1e0000-0000-4000-8000-000000000002"


@pytest.fixture
def filled(engine, make_job, make_run):
    """Six runs of two jobs in two namespaces; `r2` and `r3` start at the same moment."""
    other = make_job(id=OTHER, namespace="crm", resource_name="sync", name="数据同步 100%")
    crm = {"job_id": OTHER, "namespace": "crm", "job_name": "sync"}
    runs = [
        make_run(run_name="r1", status=Verdict.SUCCESS, start_time=NOW, due_time=NOW, result='"ok_1 𠮷"'),
        make_run(
            run_name="r2", status=Verdict.FAILED, start_time=NOW + HOUR, reason=Reason.SIGNAL, error="磁盘已满 50%"
        ),
        make_run(run_name="r3", status=Verdict.SUCCESS, start_time=NOW + HOUR, trigger=Trigger.MANUAL),
        make_run(run_name="r4", start_time=NOW + 2 * HOUR, error="Überlauf 5%: СКЛАД"),
        make_run(run_name="s1", status=Verdict.SUCCESS, start_time=NOW + 3 * HOUR, **crm),
        make_run(run_name="s2", status=RunState.WAITING, start_time=NOW + 4 * HOUR, **crm),
    ]
    assert record(engine, [make_job(), other], runs, now=NOW).failures == ()
    with engine.connect() as connection:
        yield connection


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        pytest.param({}, {"r1", "r2", "r3", "r4", "s1", "s2"}, id="everything"),
        pytest.param({"namespaces": ["erp"]}, {"r1", "r2", "r3", "r4"}, id="one-namespace"),
        pytest.param({"namespaces": []}, set(), id="no-namespace-allowed"),
        pytest.param({"namespaces": ["ERP", "erp ", "erp'--", "库"]}, set(), id="no-such-namespace"),
        pytest.param({"job_id": OTHER}, {"s1", "s2"}, id="uid"),
        pytest.param({"job_name": "sync"}, {"s1", "s2"}, id="name"),
        pytest.param({"job_name": "sync", "namespaces": ["erp"]}, set(), id="name-elsewhere"),
        pytest.param({"job_name": "数据同步"}, set(), id="C43-name-that-is-no-key"),
        pytest.param({"status": [Verdict.FAILED, RunState.RUNNING]}, {"r2", "r4"}, id="statuses"),
        pytest.param({"status": ["nothing"]}, set(), id="unknown-status"),
        pytest.param({"trigger": [Trigger.MANUAL]}, {"r3"}, id="trigger"),
        pytest.param({"start": NOW + HOUR, "end": NOW + 2 * HOUR}, {"r2", "r3"}, id="start-counts-end-does-not"),
        pytest.param({"text": "已满"}, {"r2"}, id="C43-text-in-error"),
        pytest.param({"text": "数据同步 100%"}, {"s1", "s2"}, id="C43-text-in-display-name"),
        pytest.param({"text": "0%"}, {"r2", "s1", "s2"}, id="percent-is-a-character"),
        pytest.param({"text": "ok_"}, {"r1"}, id="underscore-is-a-character"),
        pytest.param({"text": "k__"}, set(), id="and-no-wildcard"),
        pytest.param({"text": "𠮷"}, {"r1"}, id="C43-four-bytes"),
        pytest.param({"text": "signal"}, {"r2"}, id="text-in-reason-any-case"),
        pytest.param({"text": "OK_1"}, {"r1"}, id="text-in-result-any-case"),
        pytest.param({"text": "ÜBERLAUF"}, {"r4"}, id="text-beyond-ascii-any-case"),
        pytest.param({"text": "überlauf 5%"}, {"r4"}, id="and-beside-it"),
        pytest.param({"text": "склад"}, {"r4"}, id="and-of-other-alphabets"),
        pytest.param({"text": "\U0001f600"}, set(), id="C43-emoji-are-not-all-equal"),
    ],
)
def test_history_filters(filled, filters, expected) -> None:
    page = queries.history(filled, **{"namespaces": None} | filters)
    assert {run.run_name for run in page.items} == expected
    assert page.next_cursor is None


@pytest.mark.parametrize("limit", [1, 2, 3, 5, 6, 7])
def test_pages_hold_every_run_once_newest_first(filled, limit) -> None:
    names, cursor, pages = [], None, 0
    while True:
        page = queries.history(filled, namespaces=None, limit=limit, cursor=cursor)
        names += [(run.start_time, run.id) for run in page.items]
        pages += 1
        cursor = page.next_cursor
        if cursor is None:
            break
    assert names == sorted(set(names), reverse=True)
    assert (len(names), pages) == (6, -(-6 // limit))


@pytest.mark.parametrize("limit", [1, 2, 5])
@pytest.mark.parametrize("scan", [1, 2, 3, 5, 6, 7])
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("已满", ["r2"], id="one"),
        pytest.param("r", ["r4", "r3", "r2", "r1"], id="several"),
        pytest.param("nowhere", [], id="nothing-found"),
    ],
)
def test_a_text_is_looked_for_in_few_records_a_page_and_found_all_the_same(
    filled, monkeypatch, limit, scan, text, expected
) -> None:
    monkeypatch.setattr(queries, "TEXT_SCAN", scan)
    found, cursor, pages = [], None, 0
    while pages == 0 or cursor is not None:
        page = queries.history(filled, namespaces=None, text=text, limit=limit, cursor=cursor)
        assert len(page.items) <= min(limit, scan)
        found += [run.run_name for run in page.items]
        cursor, pages = page.next_cursor, pages + 1
    # r2 and r3 start at the same moment; which is first is said by their ids.
    assert sorted(found) == sorted(expected)
    assert pages <= 6 // scan + len(expected) // limit + 1


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        pytest.param({"cursor": "nonsense"}, "cursor: not one that a page gave", id="cursor"),
        pytest.param(
            {"cursor": base64.urlsafe_b64encode(b"0001-01-01T00:00:00+14:00|x").decode()},
            "cursor: not one that a page gave",
            id="cursor-before-all-time",
        ),
        pytest.param({"cursor": "库存"}, "cursor: not one that a page gave", id="cursor-not-ascii"),
        pytest.param({"cursor": "MjAyNy0wMy0xNHx4"}, "cursor: not one that a page gave", id="cursor-naive"),
        pytest.param({"limit": 0}, "limit: 0 is not between 1 and 500", id="limit-0"),
        pytest.param({"limit": 501}, "limit: 501 is not between 1 and 500", id="limit-501"),
        pytest.param({"start": NOW.replace(tzinfo=None)}, "start: a time needs a zone", id="naive"),
    ],
)
def test_history_refuses(filled, arguments, problem) -> None:
    with pytest.raises(ValueError, match=problem):
        queries.history(filled, namespaces=None, **arguments)


@pytest.mark.parametrize(
    ("namespaces", "found"),
    [
        pytest.param(None, True, id="all"),
        pytest.param(["erp", "x"], True, id="its-own"),
        pytest.param(["crm"], False, id="another"),
        pytest.param([], False, id="none"),
    ],
)
def test_one_execution_is_seen_in_its_namespace_only(filled, make_run, namespaces, found) -> None:
    run = queries.execution(filled, make_run(run_name="r1").id, namespaces=namespaces)
    assert (run is not None) == found
    assert (queries.job(filled, make_run().job_id, namespaces=namespaces) is not None) == found


def test_the_names_of_jobs_for_people(filled, make_run) -> None:
    known = make_run().job_id
    job = queries.job(filled, known, namespaces=None)
    assert job is not None
    assert queries.job_names(filled, [known, known, "unknown", "space at the end "]) == {known: job.name}
    assert queries.job_names(filled, []) == {}


def test_no_such_execution(filled) -> None:
    assert queries.execution(filled, "数", namespaces=None) is None


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        pytest.param({}, {"r4", "s2"}, id="newest"),
        pytest.param({"finished": True}, {"r3", "s1", "r2"}, id="newest-with-a-verdict"),
        pytest.param({"namespaces": ["crm"]}, {"s2"}, id="allowed-only"),
    ],
)
def test_last_executions(filled, make_job, arguments, expected) -> None:
    ids = [make_job().id, OTHER, "7a1e0000-0000-4000-8000-00000000none"]
    last = queries.last_executions(filled, ids, **{"namespaces": None} | arguments)
    # r2 and r3 start together; which is last is said by their ids.
    assert {run.run_name for run in last.values()} <= expected
    assert {run.job_id for run in last.values()} == set(last)
    assert len(last) == (1 if "namespaces" in arguments else 2)


def test_open_executions_oldest_first(filled) -> None:
    assert [run.run_name for run in queries.open_executions(filled)] == ["r4", "s2"]
    assert [run.run_name for run in queries.open_executions(filled, namespaces=["crm"])] == ["s2"]


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        pytest.param(0, 1, [("m", 3)], id="range-reaches-in"),
        pytest.param(2, 5, [("m", 3), ("n", 1)], id="range-and-one"),
        pytest.param(5, 6, [("n", 1)], id="start-counts"),
        pytest.param(6, 9, [], id="nothing-recorded"),
    ],
)
def test_due_verdicts(engine, make_job, make_run, start, end, expected) -> None:
    missed = {"status": Verdict.MISSED, "reason": Reason.OUTAGE}
    runs = [
        make_run(run_name="m", due_time=NOW, due_time_end=NOW + 2 * HOUR, count=3, **missed),
        make_run(run_name="n", due_time=NOW + 5 * HOUR, **missed),
        make_run(run_name="manual"),
    ]
    record(engine, [make_job()], runs, now=NOW)
    with engine.connect() as connection:
        found = queries.due_verdicts(connection, make_job().id, NOW + start * HOUR, NOW + end * HOUR)
    assert [(row.run_name, row.count) for row in found] == expected


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        pytest.param(NOW - HOUR, NOW + 3 * HOUR, {NOW, NOW + 2 * HOUR}, id="failures-and-open-runs-are-none"),
        pytest.param(NOW, NOW + 3 * HOUR, {NOW + 2 * HOUR}, id="the-start-is-outside"),
        pytest.param(NOW - HOUR, NOW, {NOW}, id="the-end-is-inside"),
        pytest.param(NOW + 3 * HOUR, NOW + 4 * HOUR, set(), id="nothing-there"),
    ],
)
def test_due_times_with_a_success(engine, make_job, make_run, start, end, expected) -> None:
    other = make_job(id=OTHER, resource_name="other")
    runs = [
        make_run(run_name="a", status=Verdict.SUCCESS, due_time=NOW),
        make_run(run_name="a-again", status=Verdict.SUCCESS, due_time=NOW, trigger=Trigger.BACKFILL),
        make_run(run_name="b", status=Verdict.FAILED, due_time=NOW + HOUR),
        make_run(run_name="b-again", status=RunState.RUNNING, due_time=NOW + HOUR),
        make_run(run_name="c", status=Verdict.FAILED, due_time=NOW + 2 * HOUR),
        make_run(run_name="c-again", status=Verdict.SUCCESS, due_time=NOW + 2 * HOUR, trigger=Trigger.RETRY),
        make_run(run_name="without", status=Verdict.SUCCESS, due_time=None),
        make_run(job_id=OTHER, job_name="other", run_name="o", status=Verdict.SUCCESS, due_time=NOW + HOUR),
    ]
    record(engine, [make_job(), other], runs, now=NOW)
    with engine.connect() as connection:
        assert queries.successes(connection, make_job().id, start, end) == expected


def test_a_range_needs_zones(filled) -> None:
    with pytest.raises(ValueError, match="start: a time needs a zone"):
        queries.successes(filled, OTHER, NOW.replace(tzinfo=None), NOW)


@pytest.mark.parametrize(
    ("namespace", "expected"),
    [
        pytest.param(None, ["inventory", "sync"], id="everywhere"),
        pytest.param("erp", ["inventory"], id="one-namespace"),
        pytest.param("crm", ["sync"], id="another"),
        pytest.param("ERP", [], id="no-such-namespace"),
    ],
)
def test_the_jobs_that_are_not_deleted(filled, make_job, namespace, expected) -> None:
    """An operator that serves one namespace must not close the jobs of others that share its database."""
    ids = {make_job().id: "inventory", OTHER: "sync"}
    assert sorted(ids[job_id] for job_id in queries.undeleted_job_ids(filled, namespace)) == expected
