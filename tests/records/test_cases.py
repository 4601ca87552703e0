"""From what Kubernetes says of a run to what a client reads of it, through each database, without a cluster."""

import json
from typing import Any

import pytest
from cluster_objects import UID, complete, failed, job, pod

from merp_api.views import execution_view
from merp_crds.common import parse_rfc3339
from merp_operator.observe import read_run
from merp_operator.outcome import judge
from merp_operator.records import execution_record
from merp_records import queries
from merp_records.writes import record

# A termination message holds 4,096 bytes, and 12,288 are shared by all containers of a pod.
MESSAGE_BYTES = 4096
SHARE_OF_SIX = 2048


def strictly(text: str) -> Any:
    """Read JSON as RFC 8259 has it."""

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    return json.loads(text, parse_constant=refuse)


@pytest.fixture
def shown(engine, make_job):
    """What a client is shown, as JSON, of a Job and its pod once they are recorded."""

    def show(the_job: dict[str, Any], the_pod: dict[str, Any]) -> dict[str, Any]:
        run = read_run("j", the_job, [the_pod])
        entry = execution_record(job_id=UID, namespace="ns", job_name="j", run=run, outcome=judge(run))
        owner = make_job(id=UID, namespace="ns", resource_name="j", name="库存盘点任务")
        assert record(engine, [owner], [entry], now=parse_rfc3339("2026-11-25T12:01:00Z")).failures == ()
        with engine.connect() as connection:
            (found,) = queries.history(connection, namespaces=["ns"]).items
        view = strictly(execution_view(found, "库存盘点任务").model_dump_json())
        assert view["id"] == entry.id
        return view

    return show


def said(message: str, exit_code: int = 0) -> dict[str, Any]:
    return pod(terminated={"exitCode": exit_code, "message": message})


@pytest.mark.parametrize(
    ("the_job", "the_pod", "status", "end", "error"),
    [
        pytest.param(
            job(status=failed("BackoffLimitExceeded")),
            said('{"v": 1, "error": {"type": "RuntimeError", "message": "boom"}}', 1),
            "failed",
            "2026-11-25T12:00:09Z",
            "RuntimeError: boom",
            id="C29-failed",
        ),
        pytest.param(
            job(status=failed("DeadlineExceeded"), spec={"activeDeadlineSeconds": 20}),
            pod(running=True),
            "timeout",
            "2026-11-25T12:00:20Z",
            "not finished within 20 s",
            id="C29-timeout",
        ),
    ],
)
def test_a_run_without_completion_time_has_an_end(shown, the_job, the_pod, status, end, error) -> None:
    view = shown(the_job, the_pod)
    assert (view["status"], view["end_time"]) == (status, end)
    assert error in view["error"]
    assert parse_rfc3339(view["end_time"]) > parse_rfc3339(view["start_time"])


@pytest.mark.parametrize("room", [MESSAGE_BYTES, SHARE_OF_SIX], ids=["C31-alone", "C31-six-containers"])
@pytest.mark.parametrize("shift", range(3))
def test_a_message_that_was_cut_is_text_and_the_run_a_success(shown, room, shift) -> None:
    """By an image without our runner: the kubelet cuts bytes, wherever a character ends."""
    whole = json.dumps({"v": 1, "result": {"rows": "x" * shift + "库存盘点" * 900}}, ensure_ascii=False)
    cut = whole.encode()[:room].decode(errors="replace")
    view = shown(job(status=complete()), said(cut))
    assert (view["status"], view["exit_code"], view["attempts"]) == ("success", 0, 1)
    assert view["result"] == cut
    assert view["error"] is None


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        pytest.param({"total": "12.30", "day": "2026-12-01", "ids": [1, 3]}, None, id="C32-as-the-runner-writes-them"),
        pytest.param("仓库𠮷✅\u2028 \\ \" '", None, id="C32-text"),
        pytest.param("a\x00b\ud83dc", "a\x00b�c", id="C67-nul-and-half-a-pair"),
        pytest.param(["nested"] * 3 + [{"a": [None, True, 1e308, -0.5]}], None, id="C32-nested"),
        pytest.param(2**70, None, id="C32-large-number"),
        pytest.param("𠮷" * 16_000, None, id="C67-64000-bytes-are-whole"),
    ],
)
def test_a_result_comes_back(shown, result, expected) -> None:
    view = shown(job(status=complete()), said(json.dumps({"v": 1, "result": result})))
    assert (view["status"], view["result"]) == ("success", result if expected is None else expected)


def test_a_number_that_json_does_not_have_is_text(shown) -> None:
    view = shown(job(status=complete()), said('{"v": 1, "result": {"rate": NaN}}'))
    assert (view["status"], view["result"]) == ("success", '{"rate": NaN}')


def test_c67_a_result_of_200000_characters_is_cut_and_marked(shown) -> None:
    view = shown(job(status=complete()), said(json.dumps({"v": 1, "result": {"rows": "库𠮷" * 100_000}})))
    assert view["status"] == "success"
    assert view["result"].startswith('{"rows": "库𠮷库')
    assert view["result"].endswith("characters in all]")
    assert "�" not in view["result"]


@pytest.mark.parametrize("exit_code", [0, 1], ids=["C32-success", "C32-failure"])
def test_what_another_image_says_need_not_be_json(shown, exit_code) -> None:
    the_job = job(status=complete() if exit_code == 0 else failed("BackoffLimitExceeded"))
    view = shown(the_job, said("NaN, Infinity \x1b[31m{broken", exit_code))
    assert "NaN, Infinity \x1b[31m{broken" in (view["result"] if exit_code == 0 else view["error"])
