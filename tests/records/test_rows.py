"""What a record becomes as a row, and what happens where two of them meet. No database."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest

from merp_crds.names import execution_id
from merp_crds.reasons import Reason, RunState, Verdict
from merp_records import text
from merp_records.rows import (
    BadRecord,
    DependencyRecord,
    dependency_rows,
    execution_row,
    job_row,
    merge_batch,
    merge_execution,
    merge_job,
)
from merp_records.tables import TEXT_BYTES

NOW = datetime(2027, 3, 14, 12, 0, 0, 123456, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)


@pytest.mark.parametrize(
    ("before", "expected"),
    [
        pytest.param("plain", "plain", id="nothing-to-do"),
        pytest.param("a\x00b", "a�b", id="C67-nul"),
        pytest.param("a\ud83db", "a�b", id="C67-lone-surrogate"),
        pytest.param("仓库𠮷✅", "仓库𠮷✅", id="C43-four-bytes"),
    ],
)
def test_clean(before: str, expected: str) -> None:
    assert text.clean(before) == expected


@pytest.mark.parametrize(
    ("before", "end", "start"),
    [
        pytest.param("abc", "abc", "abc", id="fits"),
        # The mark takes 31 bytes of the 40.
        pytest.param(
            "a" * 50, "aaaaaaaaa… [cut, 50 characters in all]", "[cut, 50 characters in all] …aaaaaaaaa", id="ascii"
        ),
        pytest.param(
            "𠮷" * 50, "𠮷𠮷… [cut, 50 characters in all]", "[cut, 50 characters in all] …𠮷𠮷", id="C67-border"
        ),
    ],
)
def test_cut(before: str, end: str, start: str) -> None:
    assert (text.cut_end(before, 40), text.cut_start(before, 40)) == (end, start)


@pytest.mark.parametrize(
    ("before", "expected"),
    [
        pytest.param('{"a": [1, null]}', '{"a": [1, null]}', id="json-stays"),
        pytest.param('"text"', '"text"', id="C32-a-string-stays"),
        pytest.param('{"rate": NaN}', '"{\\"rate\\": NaN}"', id="C32-nan-is-no-json"),
        pytest.param("-Infinity", '"-Infinity"', id="C32-infinity-is-no-json"),
        pytest.param("rate: NaN {", "rate: NaN {", id="text-stays"),
        pytest.param('{"v": 1, "result": [1', '{"v": 1, "result": [1', id="C31-cut-json-stays-text"),
        pytest.param("[" * 100_000, "[" * 100_000, id="nested-too-deep-stays"),
    ],
)
def test_strict_result(before: str, expected: str) -> None:
    assert text.strict_result(before) == expected


def test_cut_digest_keeps_two_names_apart() -> None:
    cuts = {text.cut_digest("u" * 300 + end, 255) for end in ("a", "b")}
    assert [len(cut) for cut in cuts] == [255, 255]


LONG = 200_000


@pytest.mark.parametrize(
    ("changes", "column", "expected"),
    [
        pytest.param(
            {"start_time": NOW.astimezone(timezone(timedelta(hours=8)))}, "start_time", NOW, id="C68-offset-is-utc"
        ),
        pytest.param({"params": {"args": ("a", 1)}}, "params", {"args": ["a", 1]}, id="tuple-is-list"),
        pytest.param({"params": {"a": "\ud83d"}}, "params", {"a": "�"}, id="C67-surrogate-in-json"),
        pytest.param({"waited_seconds": 1.23456}, "waited_seconds", 1.235, id="milliseconds"),
        pytest.param({"status": RunState.WAITING}, "status", "waiting", id="enum-is-its-value"),
        pytest.param({"created_by": "u" * 255}, "created_by", "u" * 255, id="C58-255-fit"),
        pytest.param({}, "result", None, id="nothing-stays-nothing"),
    ],
)
def test_execution_row_holds(make_run, changes: dict, column: str, expected: object) -> None:
    assert execution_row(make_run(**changes))[column] == expected


@pytest.mark.parametrize("column", ["result", "error", "log_tail"])
def test_long_text_is_cut_and_marked(make_run, column: str) -> None:
    stored = execution_row(make_run(**{column: "错误✅" * LONG}))[column]
    assert len(stored.encode()) in range(TEXT_BYTES - 3, TEXT_BYTES + 1)
    assert "[cut, 600000 characters in all]" in stored


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        pytest.param(
            {"start_time": NOW.replace(tzinfo=None)}, "start_time: a moment needs a time zone", id="C68-naive"
        ),
        pytest.param({"run_name": "r" * 64}, "run_name: is 64 characters long, at most 63 fit", id="key-too-long"),
        pytest.param({"namespace": "库存"}, "namespace: must be printable ASCII without spaces", id="key-not-ascii"),
        pytest.param({"params": {"a": float("nan")}}, "params: cannot be written as JSON", id="nan-in-json"),
        pytest.param({"params": {"a": NOW}}, "params: cannot be written as JSON", id="no-json"),
        pytest.param({"waited_seconds": float("nan")}, "waited_seconds: is out of range", id="nan"),
        pytest.param({"exit_code": 2**31}, "exit_code: is out of range", id="int-too-large"),
        pytest.param({"status": Verdict.FAILED, "end_time": None}, "end_time: a verdict has a moment", id="no-end"),
        pytest.param({"end_time": NOW}, "end_time: a run that is open has no end", id="open-with-end"),
    ],
)
def test_execution_row_refuses(make_run, changes: dict, problem: str) -> None:
    with pytest.raises(BadRecord) as caught:
        execution_row(make_run(**changes))
    assert str(caught.value) == problem


@pytest.mark.parametrize("column", ["name", "func", "cron_expression"])
def test_job_row_takes_100_characters_and_refuses_101(make_job, column: str) -> None:
    """C67: at the door it is a 400; here it must at least never be cut silently."""
    assert job_row(make_job(**{column: "仓" * 100}))[column] == "仓" * 100
    with pytest.raises(BadRecord, match=f"{column}: is 101 characters long, at most 100 fit"):
        job_row(make_job(**{column: "仓" * 101}))


def test_dependency_rows_keep_their_order(make_job) -> None:
    first = DependencyRecord(depends_on="b", condition="Succeeded", window_kind="within", window_value="24h")
    second = DependencyRecord(depends_on="a", condition="Failed", window_kind="sinceLastRun", latest=True)
    rows = dependency_rows(make_job(dependencies=(first, second)))
    assert [(row["position"], row["depends_on"], row["latest"]) for row in rows] == [(0, "b", False), (1, "a", True)]


def test_the_id_of_a_run_is_the_names(make_run) -> None:
    run = make_run()
    assert execution_row(run)["id"] == execution_id(run.job_id, run.run_name)


WAITING = {"status": RunState.WAITING}
RUNNING = {"status": RunState.RUNNING, "node": "node-1"}
SUCCESS = {"status": Verdict.SUCCESS, "end_time": LATER}
FAILED = {"status": Verdict.FAILED, "end_time": LATER, "reason": Reason.EXIT_CODE}
A1, A2 = {"pod": "r-a", "exitCode": 1}, {"pod": "r-b", "exitCode": 2}
MISSED = {"status": Verdict.MISSED, "end_time": LATER, "due_time": NOW}


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        pytest.param(RUNNING, RUNNING, None, id="equal-does-nothing"),
        pytest.param(WAITING, RUNNING, RUNNING, id="waiting-to-running"),
        pytest.param(RUNNING, WAITING, None, id="running-not-back-to-waiting"),
        pytest.param(RUNNING, SUCCESS, RUNNING | SUCCESS, id="verdict-keeps-what-was-known"),
        pytest.param(SUCCESS, RUNNING, None, id="verdict-not-opened-again"),
        pytest.param(SUCCESS, FAILED, None, id="first-verdict-stays"),
        pytest.param(SUCCESS, SUCCESS, None, id="equal-verdict-does-nothing"),
        pytest.param(FAILED, FAILED | {"log_tail": "t"}, FAILED | {"log_tail": "t"}, id="same-verdict-adds-unknown"),
        pytest.param(FAILED, FAILED | {"reason": Reason.SIGNAL}, None, id="same-verdict-changes-nothing-known"),
        pytest.param({"attempts": 3}, {"attempts": 1}, None, id="attempts-not-back"),
        pytest.param(RUNNING, RUNNING | {"node": None}, None, id="nothing-known-is-forgotten"),
        pytest.param(
            FAILED | {"attempt_details": [A1, A2]},
            FAILED | {"attempt_details": [A1 | {"logTail": "t"}]},
            FAILED | {"attempt_details": [A1 | {"logTail": "t"}, A2]},
            id="same-verdict-adds-to-its-attempts",
        ),
        pytest.param(
            RUNNING | {"attempt_details": [A1 | {"logTail": "t"}]},
            RUNNING | {"attempt_details": [A1 | {"exitCode": 9}, A2]},
            RUNNING | {"attempt_details": [A1 | {"logTail": "t", "exitCode": 9}, A2]},
            id="attempts-are-told-further",
        ),
        pytest.param(
            FAILED | {"attempt_details": [A1 | {"logTail": "t"}]},
            FAILED | {"attempt_details": [A1]},
            None,
            id="no-attempt-is-forgotten",
        ),
        pytest.param(
            MISSED,
            MISSED | {"count": 9, "due_time_end": LATER},
            MISSED | {"count": 9, "due_time_end": LATER},
            id="range-grows",
        ),
        pytest.param(MISSED | {"count": 9, "due_time_end": LATER}, MISSED, None, id="range-does-not-shrink"),
    ],
)
def test_merge_execution(make_run, old: dict, new: dict, expected: dict | None) -> None:
    merged = merge_execution(execution_row(make_run(**old)), execution_row(make_run(**new)))
    assert merged == (None if expected is None else execution_row(make_run(**expected)))


@pytest.mark.parametrize(
    ("deleted_at", "changes", "expected"),
    [
        pytest.param(None, {}, None, id="equal-does-nothing"),
        pytest.param(None, {"generation": 1, "func": "older"}, None, id="older-definition"),
        pytest.param(None, {"status": "paused"}, {"status": "paused"}, id="same-generation"),
        pytest.param(
            None, {"generation": 3, "func": "newer"}, {"generation": 3, "func": "newer"}, id="newer-definition"
        ),
        pytest.param(LATER, {"next_run_time": LATER}, None, id="deleted-stays-deleted"),
    ],
)
def test_merge_job(make_job, deleted_at: datetime | None, changes: dict, expected: dict | None) -> None:
    job = make_job(generation=2)
    old = job_row(job) | {"deleted_at": deleted_at}
    merged = merge_job(old, job_row(replace(job, **changes)))
    assert merged == (None if expected is None else old | expected)


def test_merge_batch_has_one_row_an_id_in_order(make_run) -> None:
    runs = [
        make_run(run_name=name, **state)
        for name, state in [("b", WAITING), ("a", WAITING), ("b", SUCCESS), ("b", RUNNING)]
    ]
    merged = merge_batch(map(execution_row, runs), merge_execution)
    assert list(merged) == sorted({run.id for run in runs})
    assert {row["run_name"]: row["status"] for row in merged.values()} == {"a": "waiting", "b": "success"}
