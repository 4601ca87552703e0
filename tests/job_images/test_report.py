"""The termination message: always valid, never too long."""

import json
from pathlib import Path
from typing import Any

import pytest
from cluster_objects import complete, failed, job, pod
from hypothesis import given
from hypothesis import strategies as st

from merp_operator.observe import read_run
from merp_operator.outcome import judge
from merp_runner import report
from merp_runner.jsonsafe import json_safe
from merp_runner.report import ELLIPSIS, Failure, cost, cut, limit_of, message


@pytest.mark.parametrize(
    ("func", "result", "failure", "expected"),
    [
        pytest.param("t", {"a": 1}, None, {"v": 1, "func": "t", "result": {"a": 1}}, id="result"),
        pytest.param("t", None, None, {"v": 1, "func": "t", "result": None}, id="nothing-returned"),
        pytest.param(
            "t",
            None,
            Failure("ValueError", "bad", "Traceback"),
            {"v": 1, "func": "t", "error": {"type": "ValueError", "message": "bad", "traceback": "Traceback"}},
            id="error",
        ),
        pytest.param(
            "t",
            None,
            Failure("ParameterError", "n: missing"),
            {"v": 1, "func": "t", "error": {"type": "ParameterError", "message": "n: missing"}},
            id="error-without-traceback",
        ),
    ],
)
def test_whole(func: str, result: Any, failure: Failure | None, expected: dict[str, Any]) -> None:
    assert json.loads(message(func, result, failure, 4096)) == expected


@pytest.mark.parametrize(
    ("size", "truncated"), [pytest.param(4066, False, id="C31-just-fits"), pytest.param(4067, True, id="C31-one-more")]
)
def test_the_border(size: int, truncated: bool) -> None:
    made = message("f", "x" * size, None, 4096)
    assert ("truncated" in json.loads(made)) is truncated
    assert len(made) <= 4096


def test_cut_object_becomes_the_beginning_of_its_text() -> None:
    made = json.loads(message("f", {"行": "库" * 5000}, None, 4096))
    assert made["truncated"] is True
    assert made["result"].startswith('{"行":"库库')
    assert made["result"].endswith("库…")


@pytest.mark.parametrize(
    ("text", "trace", "kept_text", "kept_trace"),
    [
        pytest.param("m" * 9000, "short", False, True, id="message-cut"),
        pytest.param("short", "t" * 9000, True, False, id="traceback-cut"),
        pytest.param("m" * 9000, "t" * 9000, False, False, id="both-cut"),
    ],
)
def test_an_error_keeps_its_beginning_and_its_traceback_its_end(
    text: str, trace: str, kept_text: bool, kept_trace: bool
) -> None:
    error = json.loads(message("f", None, Failure("E", "A" + text, trace + "Z"), 1024))["error"]
    assert error["message"][:2] == "A" + text[0]
    assert error["traceback"][-2:] == trace[-1] + "Z"
    assert (error["message"] == "A" + text, error["traceback"] == trace + "Z") == (kept_text, kept_trace)


@pytest.mark.parametrize(
    ("text", "room", "keep_end", "expected"),
    [
        pytest.param("abc", 3, False, "abc", id="fits"),
        pytest.param("abcdef", 5, False, "ab…", id="beginning"),
        pytest.param("abcdef", 5, True, "…ef", id="end"),
        pytest.param("库存盘点", 9, False, "库存…", id="C31-whole-characters"),
        pytest.param("𠮷𠮷", 7, False, "𠮷…", id="C31-four-bytes"),
        pytest.param('""""', 7, False, '""…', id="escapes-count"),
        pytest.param("\x01\x01", 9, False, "\x01…", id="long-escapes-count"),
        pytest.param("abc", 2, False, "", id="no-room-for-the-mark"),
    ],
)
def test_cut(text: str, room: int, keep_end: bool, expected: str) -> None:
    assert cut(text, room, keep_end) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("", 4096, id="default"),
        pytest.param("2048", 2048, id="set"),
        pytest.param("128", 128, id="least"),
    ],
)
def test_limit(text: str, expected: int) -> None:
    assert limit_of({"MERP_MESSAGE_LIMIT": text}) == expected


@pytest.mark.parametrize("text", [pytest.param(text, id=text) for text in ("127", "-1", "4k", "４０９６", " 4096")])
def test_limit_refused(text: str) -> None:
    with pytest.raises(ValueError, match="MERP_MESSAGE_LIMIT: a number of bytes, at least 128"):
        limit_of({"MERP_MESSAGE_LIMIT": text})


def test_without_a_file_the_kubelets_is_used_only_where_it_exists(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report, "DEFAULT_PATH", tmp_path / "termination-log")
    report.write(b"{}", {})
    assert not report.DEFAULT_PATH.exists()
    report.DEFAULT_PATH.touch()
    report.write(b"{}", {})
    assert report.DEFAULT_PATH.read_bytes() == b"{}"


# What arrives here is clean already: json_safe and clean_text make it so.
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=3000)
RESULTS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=30) | st.dictionaries(TEXT, inner, max_size=10),
    max_leaves=30,
).map(json_safe)
FAILURES = st.builds(Failure, TEXT, TEXT, TEXT)
LIMITS = st.integers(128, 4096)


def checked(func: str, result: Any, failure: Failure | None, limit: int) -> dict[str, Any]:
    made = message(func, result, failure, limit)
    assert len(made) <= limit
    document = json.loads(made.decode("utf-8"), parse_constant=lambda name: pytest.fail(name))
    assert document["v"] == 1
    assert ("error" in document) is (failure is not None)
    assert ("result" in document) is (failure is None)
    assert document.get("truncated", True) is True
    return dict(document)


@given(TEXT, RESULTS, LIMITS)
def test_any_result(func: str, result: Any, limit: int) -> None:
    document = checked(func, result, None, limit)
    if "truncated" not in document:
        assert (document["func"], document["result"]) == (func, result)
    else:
        assert isinstance(document["result"], str)
    told = {"exitCode": 0, "message": message(func, result, None, limit).decode()}
    outcome = judge(read_run("j", job(status=complete()), [pod(terminated=told)]))
    assert json.loads(outcome.result or "") == document["result"]


@given(TEXT, FAILURES, LIMITS)
def test_any_failure(func: str, failure: Failure, limit: int) -> None:
    document = checked(func, None, failure, limit)
    told = {"exitCode": 1, "message": message(func, None, failure, limit).decode()}
    outcome = judge(read_run("j", job(status=failed("BackoffLimitExceeded")), [pod(terminated=told)]))
    assert document["error"]["message"] in (outcome.error or "")
    assert document["error"].get("traceback", "") in (outcome.error or "")


@given(TEXT, st.integers(0, 200), st.booleans())
def test_a_cut_text_fits_and_is_a_part(text: str, room: int, keep_end: bool) -> None:
    made = cut(text, room, keep_end)
    assert cost(made) <= room
    if made not in ("", text):
        part = made.removeprefix(ELLIPSIS) if keep_end else made.removesuffix(ELLIPSIS)
        assert text.endswith(part) if keep_end else text.startswith(part)
