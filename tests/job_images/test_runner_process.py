"""The runner as a process, as a pod starts it: exit codes, signals, termination message, context."""

import json
import os
import signal
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cluster_objects import complete, failed, job
from cluster_objects import pod as pod_object
from runner_pod import Ended, Pod, read_until, stopping

from merp_crds.reasons import Reason, Verdict
from merp_operator.observe import read_run
from merp_operator.outcome import Outcome, judge

pytestmark = pytest.mark.processes

STRICT = {"parse_constant": lambda name: pytest.fail(f"{name} is not JSON")}


def recorded(ended: Ended, *, deleted: bool = False) -> Outcome:
    """What the operator makes of the process's exit code and message."""
    terminated = {"exitCode": ended.code, "message": ended.raw.decode("utf-8")}
    status = complete() if ended.code == 0 else failed("BackoffLimitExceeded")
    return judge(read_run("j", job(status=status), [pod_object(terminated=terminated, deleted=deleted)]))


@pytest.mark.parametrize(
    ("func", "args", "kwargs", "code"),
    [
        pytest.param("echo_args", [1], {}, 0, id="returned"),
        pytest.param("fail_with", ["no stock"], {}, 1, id="raised"),
        pytest.param("fail_with", ["no stock", 0], {}, 0, id="sys.exit-0"),
        pytest.param("fail_with", ["no stock", 7], {}, 7, id="sys.exit-7-passes"),
        pytest.param("fail_with", ["no stock", 256], {}, 1, id="sys.exit-256-is-no-success"),
        pytest.param("fail_with", [], {}, 2, id="parameter-missing"),
        pytest.param("refuse", ["warehouse"], {}, 2, id="task-refuses-its-parameters"),
        pytest.param("forget_to_await", [], {}, 2, id="returned-a-coroutine"),
        pytest.param("sleep_async", [0], {}, 0, id="async-returned"),
        pytest.param("close_streams", [], {}, 0, id="standard-output-closed"),
    ],
)
def test_exit_code(pod: Pod, func: str, args: list[Any], kwargs: dict[str, Any], code: int) -> None:
    ended = pod.run(func, args, kwargs)
    assert (ended.code, "result" in ended.message) == (code, code == 0), ended.stderr


@pytest.mark.parametrize("func", [pytest.param(func, id=func) for func in ("os:system", "../x", "Path")])
def test_only_registered_names_run(pod: Pod, func: str) -> None:
    ended = pod.run(func, [f"touch {pod.folder}/never"])
    assert (ended.code, ended.message["error"]["type"]) == (2, "UnknownTaskError")
    assert not (pod.folder / "never").exists()


@pytest.mark.parametrize(
    "args",
    [
        pytest.param(["$(NAME)", "$$", "$(MERP_RUN_NAME)", "`id`", "a; b", "'\"\\"], id="nothing-is-expanded"),
        pytest.param(["仓库\U00020bb7", "✅", "野家\u2028"], id="C43-unicode"),
        pytest.param([["行" * 1000] * 10, {"深": {"い": [None, True, 1.5, -0.0]}}], id="nested"),
        pytest.param([2**63 - 1, -(2**63), 1e308], id="numbers"),
    ],
)
def test_what_was_sent_is_what_the_function_receives(pod: Pod, args: list[Any]) -> None:
    ended = pod.run("echo_args", args, {"钥匙": args}, **{"time-zone": "UTC"})
    told = next(line["result"] for line in ended.log if line["message"] == "task returned")
    assert told == {"args": args, "kwargs": {"钥匙": args}}
    assert ended.code == 0


def test_arguments_of_a_hundred_kilobytes(pod: Pod) -> None:
    rows = [{"sku": f"货{index}", "qty": index} for index in range(4000)]
    pod.environment["MERP_MESSAGE_LIMIT"] = "200000"
    ended = pod.run("echo_args", [rows])
    assert len((pod.folder / "task").read_bytes()) > 100_000
    assert ended.message["result"] == {"args": [rows], "kwargs": {}}


@pytest.mark.parametrize(
    ("func", "args", "kwargs", "announced"),
    [
        pytest.param("sleep_for", [600], {}, "sleeping", id="C35-sleeps"),
        pytest.param("sleep_async", [600], {}, "sleeping", id="C35-async"),
        pytest.param("sleep_stubbornly", [600], {}, "sleeping", id="C35-swallows-the-stop"),
        pytest.param("handle_the_stop_itself", [600, "return"], {}, "sleeping", id="C35-handles-it-and-returns"),
        pytest.param("handle_the_stop_itself", [600, "exit"], {}, "sleeping", id="C35-handles-it-and-exits-with-0"),
        pytest.param("handle_the_stop_in_the_loop", [600], {}, "sleeping", id="C35-handles-it-in-the-event-loop"),
    ],
)
def test_a_stop_is_never_a_success(
    pod: Pod, func: str, args: list[Any], kwargs: dict[str, Any], announced: str
) -> None:
    ended = pod.stop_at(announced, func, args, kwargs)
    assert ended.code == 143
    assert ended.message["error"]["type"] == "Stopped"
    assert ended.message["error"]["message"].startswith("stopped by SIGTERM after ")
    outcome = recorded(ended, deleted=True)
    assert (outcome.status, outcome.reason) == (Verdict.FAILED, Reason.POD_DELETED)
    assert "stopped by SIGTERM" in (outcome.error or "")


@pytest.mark.parametrize(
    ("func", "kwargs", "announced"),
    [
        pytest.param("clean_up_slowly", {"seconds": 0.1}, "working", id="finally"),
        pytest.param("sleep_async", {"seconds": 600}, "sleeping", id="async-finally"),
    ],
)
def test_a_stopped_task_may_clean_up(pod: Pod, func: str, kwargs: dict[str, Any], announced: str) -> None:
    mark = pod.folder / "mark"
    ended = pod.stop_at(announced, func, [], kwargs | {"path" if "slowly" in func else "cleanup": str(mark)})
    assert (ended.code, mark.read_text()) == (143, "cleaned up")


def test_a_second_signal_does_not_break_the_clean_up(pod: Pod) -> None:
    mark, sent = pod.folder / "mark", pod.folder / "sent"
    pod.write("clean_up_slowly", [0, str(mark), str(sent)])
    process = pod.start()
    read_until(process, "working")
    with stopping(process):
        read_until(process, "cleaning up")
        process.terminate()
        # Only now it may end: the end of the interpreter is no place for a signal.
        sent.touch()
        ended = pod.ended(process)
    assert (ended.code, mark.read_text()) == (143, "cleaned up")


def test_a_stop_while_modules_are_imported(pod: Pod) -> None:
    (pod.folder / "slow_module.py").write_text("import time\nprint('importing', flush=True)\ntime.sleep(600)\n")
    pod.modules = "slow_module"
    ended = pod.stop_at("importing", "echo_args")
    assert (ended.code, ended.message["error"]["type"]) == (143, "Stopped")


def test_children_of_a_task_die_of_sigterm(pod: Pod) -> None:
    assert pod.run("end_children").message["result"] == [True, signal.SIGTERM]


@pytest.mark.parametrize(
    ("due_time", "run_name", "source", "expected"),
    [
        pytest.param(
            "2026-12-01T00:00:00+08:00", "nightly-r-0123456789", "annotation", "2026-11-30T16:00:00Z", id="file"
        ),
        pytest.param("", "nightly-{minutes}", "name", "{minute}", id="run-name-in-minutes"),
        pytest.param("", "nightly-{seconds}", "name", "{second}", id="run-name-in-seconds"),
        pytest.param("", "nightly-r-0123456789", "process", None, id="process-start"),
        pytest.param("", "other-{minutes}", "process", None, id="name-of-another-job"),
        pytest.param("", "nightly-2", "process", None, id="a-number-that-is-no-time"),
    ],
)
def test_due_time(pod: Pod, due_time: str, run_name: str, source: str, expected: str | None) -> None:
    before = datetime.now(UTC)
    # An hour ago, on a second that is no whole minute.
    second = before.replace(microsecond=0, second=17) - timedelta(hours=1)
    minute = second.replace(second=0)
    words = {"minutes": int(minute.timestamp()) // 60, "seconds": int(second.timestamp())}
    pod.environment["MERP_RUN_NAME"] = name = run_name.format(**words)
    ended = pod.run("context_of", **{"due-time": due_time, "time-zone": "Asia/Shanghai"})
    result = ended.message["result"]
    due = datetime.fromisoformat(result["due_time"])
    if expected is None:
        assert before <= due <= datetime.now(UTC)
    else:
        iso = {"minute": minute.isoformat(), "second": second.isoformat()}
        assert due == datetime.fromisoformat(expected.format(**iso))
    started = next(line for line in ended.log if line["message"] == "task started")
    assert started["due_time_from"] == source
    zone_date = (due + timedelta(hours=8)).date().isoformat()  # Shanghai has no summer time
    assert result == {
        "due_time": result["due_time"],
        "business_date": zone_date,
        "time_zone": "Asia/Shanghai",
        "run_name": name,
        "job_name": "nightly",
        "idempotency_key": f"erp/{name}",
        "attempt": None,
        "environment": {
            "MERP_DUE_TIME": due.replace(tzinfo=None).isoformat() + "Z",
            "MERP_BUSINESS_DATE": zone_date,
            "MERP_RUN_NAME": name,
            "MERP_IDEMPOTENCY_KEY": f"erp/{name}",
        },
    }


def test_second_attempt_of_a_run_returns(pod: Pod) -> None:
    first = pod.run("fail_first_attempt", [str(pod.folder)])
    second = pod.run("fail_first_attempt", [str(pod.folder)])
    assert (first.code, second.code) == (1, 0)
    assert second.message["result"] == {"attempt": 2, "idempotency_key": "erp/nightly-r-0123456789"}


def test_broken_modules_hide_no_other_tasks(pod: Pod) -> None:
    (pod.folder / "half_module.py").write_text(
        "from merp_runner import task\n@task\ndef half(): return 1\nraise RuntimeError('no licence')\n"
    )
    pod.modules = "merp_test_tasks,half_module,absent_module"
    works = pod.run("echo_args")
    assert works.code == 0
    assert "module half_module (MERP_TASK_MODULES) could not be imported" in works.stderr
    hidden = pod.run("half")
    assert hidden.code == 2
    assert "half_module (RuntimeError: no licence)" in hidden.message["error"]["message"]
    assert "absent_module (ModuleNotFoundError" in hidden.message["error"]["message"]


@pytest.mark.parametrize(
    ("func", "args", "limit", "code"),
    [
        pytest.param("big_result", [10_000], "", 0, id="C31-result-alone"),
        pytest.param("big_result", [10_000], "2048", 0, id="C31-five-more-containers"),
        pytest.param("big_result", [200_000, "库存𠮷✅", True], "", 0, id="C67-text-of-200000"),
        pytest.param("fail_big", [200_000], "", 1, id="C67-exception-of-200000"),
        pytest.param("fail_big", [200_000], "128", 1, id="C67-smallest-limit"),
        pytest.param("fail_big", [200_000], "many", 1, id="limit-is-no-number"),
    ],
)
def test_what_is_too_long_is_cut_and_marked(pod: Pod, func: str, args: list[Any], limit: str, code: int) -> None:
    pod.environment["MERP_MESSAGE_LIMIT"] = limit
    ended = pod.run(func, args)
    allowed = int(limit) if limit.isdigit() else 4096
    assert ended.code == code
    # Within one character and one escape of the limit: it is used, not only kept.
    assert allowed - 16 <= len(ended.raw) <= allowed
    assert ended.message["truncated"] is True
    outcome = recorded(ended)
    assert outcome.status is (Verdict.SUCCESS if code == 0 else Verdict.FAILED)
    text = outcome.result if code == 0 else outcome.error
    assert text is not None
    assert "…" in text
    assert "\0" not in text
    text.encode("utf-8")
    # The log has the whole.
    assert max(map(len, ended.stdout.splitlines())) > args[0]


@pytest.mark.parametrize(
    ("func", "expected"),
    [
        pytest.param(
            "odd_result",
            {"total": "12.30", "day": "2026-12-01", "ids": [1, 3], "rate": "NaN", "raw": "\\xff", "7": "k"},
            id="C32",
        )
    ],
)
def test_what_json_cannot_hold_becomes_text(pod: Pod, func: str, expected: dict[str, Any]) -> None:
    ended = pod.run(func)
    assert ended.code == 0
    assert json.loads(ended.raw, **STRICT) == {"v": 1, "func": func, "result": expected}
    assert json.loads(recorded(ended).result or "", **STRICT) == expected


def test_the_record_says_what_was_raised(pod: Pod) -> None:
    ended = pod.run("fail_with", ["库存 missing"])
    error = ended.message["error"]
    assert (error["type"], error["message"]) == ("RuntimeError", "库存 missing")
    assert "raise RuntimeError(message)" in error["traceback"]
    assert "merp_runner" not in error["traceback"]
    outcome = recorded(ended)
    assert (outcome.status, outcome.reason) == (Verdict.FAILED, Reason.EXIT_CODE)
    assert (outcome.error or "").startswith("exit code 1\nRuntimeError: 库存 missing\nTraceback")


@pytest.mark.parametrize("how", [pytest.param(how, id=f"C59-{how}") for how in ("return", "raise")])
def test_secrets_are_masked_in_whatever_the_runner_writes(pod: Pod, how: str) -> None:
    secret = 'p@ss "geheim"/密'
    pod.environment |= {"MERP_SECRET_ENV": "ERP_PASSWORD,ABSENT", "ERP_PASSWORD": secret}
    ended = pod.run("reveal", ["ERP_PASSWORD", how])
    whole = ended.stdout + ended.stderr + ended.raw.decode()
    for form in (secret, json.dumps(secret)[1:-1], "geheim"):
        assert form not in whole
    assert "***" in ended.raw.decode()


def test_secrets_of_which_every_key_became_a_variable_are_masked(pod: Pod) -> None:
    """As the kubelet mounts one: each key is a link into the folder of the current version."""
    secret = pod.folder / "secrets" / "erp"
    version = secret / "..2026_11_25"
    version.mkdir(parents=True)
    (secret / "..data").symlink_to(version.name)
    for key, text in {"PASSWORD": "p@ss geheim\n", "TOKEN": "t0ken-geheim"}.items():
        (version / key).write_text(text, encoding="utf-8")
        (secret / key).symlink_to(f"..data/{key}")
    (version / "KEYSTORE").write_bytes(b"\xff\xfe binary")
    (secret / "KEYSTORE").symlink_to("..data/KEYSTORE")
    (secret / "GONE").symlink_to("..data/GONE")
    pod.environment |= {
        "MERP_SECRETS": str(secret.parent),
        "WMS_PASSWORD": "p@ss geheim\n",
        "WMS_TOKEN": "t0ken-geheim",
    }
    ended = pod.run("reveal", ["WMS_PASSWORD", "raise"])
    assert "***" in ended.message["error"]["message"]
    assert "geheim" not in ended.stdout + ended.stderr + ended.raw.decode()
    assert "***" in pod.run("reveal", ["WMS_TOKEN", "return"]).raw.decode()


def test_termination_message_that_cannot_be_written_changes_nothing(pod: Pod) -> None:
    pod.environment["MERP_TERMINATION_LOG"] = os.devnull + "/never"
    ended = pod.run("echo_args", [1])
    assert ended.code == 0
    assert any("could not be written" in line["message"] for line in ended.log)
