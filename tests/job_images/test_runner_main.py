"""The runner's main() in this process: what its exit code and its messages say, without the price of a start-up."""

import json
import logging
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from runner_pod import Pod

from merp_runner import Context
from merp_runner.__main__ import main
from merp_runner.logs import Log, Progress
from merp_runner.masking import Masking
from merp_runner.stop import Stop, Stopped
from merp_runner.tasks import REGISTRY

Call = Callable[..., int]


def message(folder: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((folder / "termination-log").read_bytes())
    return document


@pytest.mark.parametrize(
    "func",
    [
        pytest.param(func, id=func or "empty")
        for func in ("os:system", "os.system", "__import__", "../x", "Echo_Args", "Path", "echo_args ", "", "回显")
    ],
)
def test_unknown_name(call_main: Call, tmp_path: Path, func: str) -> None:
    Pod(tmp_path).write(func, ["all"])
    assert call_main() == 2
    error = message(tmp_path)["error"]
    assert error["type"] == "UnknownTaskError"
    assert error["message"].startswith(f"unknown task {func!r}")


@pytest.mark.parametrize(
    ("func", "hint"),
    [
        pytest.param("Echo_Args", "; did you mean echo_args?", id="near"),
        pytest.param("zzz", "; known tasks: ", id="far"),
    ],
)
def test_unknown_name_gets_a_hint(call_main: Call, tmp_path: Path, func: str, hint: str) -> None:
    call_main("run", func)
    assert hint in message(tmp_path)["error"]["message"]


def test_an_image_without_tasks_says_where_they_come_from(call_main: Call, tmp_path: Path) -> None:
    REGISTRY.tasks.clear()
    assert call_main("run", "echo_args") == 2
    assert "this image has no tasks (entry-point group merp.tasks" in message(tmp_path)["error"]["message"]


@pytest.mark.parametrize(
    ("task", "told"),
    [
        pytest.param("", "task: absent or empty", id="empty"),
        pytest.param("{", "task: not JSON", id="no-json"),
        pytest.param("[" * 100_000, "task: not JSON", id="a-hundred-thousand-brackets"),
        pytest.param('{"func": "echo_args", "args": [NaN]}', "NaN is not JSON", id="NaN"),
        pytest.param('{"args": []}', 'expected {"func"', id="no-func"),
        pytest.param('{"func": "echo_args", "args": "all"}', "args: expected a list, got str", id="args-is-text"),
        pytest.param(
            '{"func": "echo_args", "kwargs": []}', "kwargs: expected an object, got list", id="kwargs-is-list"
        ),
    ],
)
def test_unreadable_task(call_main: Call, tmp_path: Path, task: str, told: str) -> None:
    Pod(tmp_path).write("echo_args", task=task)
    assert call_main() == 2
    error = message(tmp_path)["error"]
    assert error["type"] == "ParameterError"
    assert told in error["message"]


def test_task_file_that_is_no_text(call_main: Call, tmp_path: Path) -> None:
    (tmp_path / "task").write_bytes(b"\xff")
    assert call_main() == 2
    assert "can't decode" in message(tmp_path)["error"]["message"]


@pytest.mark.parametrize(
    ("files", "told"),
    [
        pytest.param({"due-time": "tomorrow"}, "due time: not RFC 3339", id="due-time"),
        pytest.param({"due-time": "2026-12-01T00:00:00"}, "due time: not RFC 3339 with an offset", id="due-time-naive"),
        pytest.param({"due-time": "2026-13-01T00:00:00Z"}, "due time: month must be", id="due-time-month-13"),
        pytest.param({"due-time": "0001-01-01T00:00:00+08:00"}, "due time: ", id="due-time-before-all-time"),
        pytest.param({"time-zone": "Mars/Base"}, "time zone 'Mars/Base' is not in this image's", id="zone-unknown"),
        pytest.param({"time-zone": "../etc"}, "time zone '../etc' is not in this image's", id="zone-escapes"),
    ],
)
def test_a_context_that_would_be_a_guess(call_main: Call, tmp_path: Path, files: dict[str, str], told: str) -> None:
    Pod(tmp_path).write("context_of", **files)
    assert call_main() == 2
    error = message(tmp_path)["error"]
    assert error["type"] == "ContextError"
    assert error["message"].startswith(told)


@pytest.mark.parametrize(
    ("argv", "code", "expected"),
    [
        pytest.param(["echo_args", "--args", '["库"]'], 0, {"args": ["库"], "kwargs": {}}, id="args"),
        pytest.param(["echo_args", "--kwargs", '{"a": 1}'], 0, {"args": [], "kwargs": {"a": 1}}, id="kwargs"),
        pytest.param(["sleep_async", "--args", "[0]"], 0, {"slept": 0.0}, id="async"),
        pytest.param(["count_to", "--args", "[3]"], 0, 3, id="progress"),
        pytest.param(["fail_with", "--args", '["x", 0]'], 0, None, id="sys.exit-0"),
        pytest.param(["fail_with", "--args", '["x", 3]'], 3, None, id="sys.exit-3"),
        pytest.param(["fail_with", "--args", '["x"]'], 1, None, id="raises"),
        pytest.param(["refuse", "--args", '["x"]'], 2, None, id="refuses"),
        pytest.param(["fail_as_told", "--args", '["x", 42]'], 42, None, id="C34-exit-code-of-its-own"),
        pytest.param(["fail_as_told", "--args", '["x", 0]'], 1, None, id="no-exit-code-of-a-success"),
        pytest.param(["forget_to_await"], 2, None, id="coroutine-returned"),
        pytest.param(["echo_args", "--args", "["], 2, None, id="args-no-json"),
    ],
)
def test_run_from_the_command_line(call_main: Call, tmp_path: Path, argv: list[str], code: int, expected: Any) -> None:
    assert call_main("run", *argv) == code
    assert message(tmp_path).get("result") == expected
    assert ("error" in message(tmp_path)) is (code != 0)


def test_due_time_and_zone_from_the_command_line(call_main: Call, tmp_path: Path) -> None:
    call_main(
        "run", "context_of", "--due-time", "2026-11-30T16:00:00Z", "--time-zone", "Asia/Shanghai", MERP_ATTEMPT="2"
    )
    result = message(tmp_path)["result"]
    assert (result["due_time"], result["business_date"]) == ("2026-11-30T16:00:00+00:00", "2026-12-01")
    assert result["attempt"] == 2


def test_usage_error() -> None:
    with pytest.raises(SystemExit) as ended:
        main(["walk"])
    assert ended.value.code == 2


@pytest.mark.parametrize(
    ("error", "code", "name", "text"),
    [
        pytest.param(KeyboardInterrupt(), 130, "KeyboardInterrupt", "", id="interrupted"),
        pytest.param(SystemExit("bye"), 1, "SystemExit", "the task called sys.exit('bye')", id="sys.exit-text"),
        pytest.param(SystemExit(-1), 1, "SystemExit", "the task called sys.exit(-1)", id="sys.exit-minus-1"),
        pytest.param(json.JSONDecodeError("no", "", 0), 1, "json.decoder.JSONDecodeError", "no: line", id="foreign"),
        pytest.param(Stopped("stopped by SIGTERM"), 143, "Stopped", "stopped", id="stop"),
    ],
)
def test_whatever_is_raised(
    call_main: Call, tmp_path: Path, error: BaseException, code: int, name: str, text: str
) -> None:
    def raising() -> None:
        raise error

    REGISTRY.register(raising)
    assert call_main("run", "raising") == code
    told = message(tmp_path)["error"]
    assert told["type"] == name
    assert told["message"].startswith(text)


def test_an_exception_without_a_text(call_main: Call, tmp_path: Path) -> None:
    class Mute(Exception):
        def __str__(self) -> str:
            raise ValueError

    def raising() -> None:
        raise Mute

    REGISTRY.register(raising)
    assert call_main("run", "raising") == 1
    assert message(tmp_path)["error"]["message"] == "<no text: ValueError>"


@pytest.mark.parametrize("how", [pytest.param(how, id=how) for how in ("return", "raise", "exit", "handler")])
def test_a_stop_is_never_a_success(call_main: Call, tmp_path: Path, how: str) -> None:
    def stopped() -> str:
        if how == "handler":
            signal.signal(signal.SIGTERM, lambda number, frame: None)
        try:
            signal.raise_signal(signal.SIGTERM)
        except Stopped:
            if how == "raise":
                raise RuntimeError("while it cleaned up") from None
            if how == "exit":
                sys.exit(0)
        return "done"

    REGISTRY.register(stopped)
    assert call_main("run", "stopped") == 143
    error = message(tmp_path)["error"]
    assert error["type"] == "Stopped"
    assert ("while it cleaned up" in error["message"]) is (how == "raise")


def test_a_stop_after_the_end_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    handler = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(signal, "signal", signal.signal)
    stop = Stop()
    stop.install()
    try:
        stop.disarm()
        signal.raise_signal(signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, handler)
    assert stop.requested is False


def test_a_stop_before_the_run_began(call_main: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(environment: object) -> Masking:
        raise Stopped

    monkeypatch.setattr(Masking, "from_environment", stopped)
    assert call_main("run", "echo_args") == 143


@pytest.mark.parametrize(
    ("limit", "warned"), [pytest.param("2048", False, id="number"), pytest.param("much", True, id="no-number")]
)
def test_limit(call_main: Call, tmp_path: Path, capsys: pytest.CaptureFixture[str], limit: str, warned: bool) -> None:
    call_main("run", "big_result", "--args", "[10000]", MERP_MESSAGE_LIMIT=limit)
    assert message(tmp_path)["truncated"] is True
    assert (tmp_path / "termination-log").stat().st_size <= (4096 if warned else 2048)
    assert ("4096 is used" in capsys.readouterr().out) is warned


def test_catalogue_command(call_main: Call, capsys: pytest.CaptureFixture[str]) -> None:
    assert call_main("catalogue") == 0
    names = [entry["name"] for entry in json.loads(capsys.readouterr().out)["tasks"]]
    # The one comes by an entry point, the other by MERP_TASK_MODULES.
    assert {"inventory_check", "echo_args"} < set(names)


def test_catalogue_command_with_a_broken_module(call_main: Call, capsys: pytest.CaptureFixture[str]) -> None:
    assert call_main("catalogue", MERP_TASK_MODULES="merp_test_tasks, absent_module") == 1
    told = capsys.readouterr()
    assert json.loads(told.out)["broken"] == [
        {"module": "absent_module", "error": "ModuleNotFoundError: No module named 'absent_module'"}
    ]
    assert "merp_runner: absent_module: ModuleNotFoundError" in told.err


def test_progress_is_a_log_line_at_most_four_times_a_second(capsys: pytest.CaptureFixture[str]) -> None:
    times = iter([0.0, 0.1, 0.24, 0.26, 0.27])
    progress = Progress(Log(Masking([])), clock=lambda: next(times))
    for done in range(1, 6):
        progress(done, 5, "计数")
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["progress"] for line in lines] == [{"done": done, "total": 5} for done in (1, 4, 5)]
    assert {line["message"] for line in lines} == {"计数"}


def test_the_last_progress_is_written_at_the_end(capsys: pytest.CaptureFixture[str]) -> None:
    progress = Progress(Log(Masking([])), clock=lambda: 0.0)
    progress.finish()
    for done in (3, 4, 5):
        progress(done, 10, "计数")
    progress.finish()
    progress.finish()
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["progress"]["done"] for line in lines] == [3, 5]


def test_what_a_task_told_last_stands_before_its_end(call_main: Call, capsys: pytest.CaptureFixture[str]) -> None:
    def half_done(context: Context) -> None:
        for done in range(5):
            context.progress(done, 10, "…")
        raise RuntimeError

    REGISTRY.register(half_done)
    call_main("run", "half_done")
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert lines[-2]["progress"] == {"done": 4, "total": 10}
    assert lines[-1]["message"] == "task failed"


def test_a_task_that_says_what_went_wrong_needs_no_traceback(call_main: Call, tmp_path: Path) -> None:
    assert call_main("run", "fail_as_told", "--args", '["没有库存", 3]') == 3
    assert message(tmp_path)["error"] == {"type": "TaskFailed", "message": "没有库存"}


def test_what_tasks_log_gets_the_same_form(capsys: pytest.CaptureFixture[str]) -> None:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    root.handlers.clear()
    try:
        Log(Masking(["geheim"])).capture_logging("WARNING")
        logging.getLogger("erp").info("not shown")
        try:
            raise ValueError("geheim")
        except ValueError:
            logging.getLogger("erp").exception("failed with %s", "geheim")
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
    lines = [json.loads(text) for text in capsys.readouterr().out.splitlines()]
    # Python itself logs what it finds at any time, such as what an earlier test left behind.
    (line,) = [line for line in lines if line["logger"] == "erp"]
    assert (line["level"], line["message"]) == ("ERROR", "failed with ***")
    assert "ValueError: ***" in line["traceback"]


@pytest.mark.parametrize(
    ("secret", "text", "expected"),
    [
        pytest.param("geheim", "a geheim b", "a *** b", id="plain"),
        pytest.param('ge"heim', '{"p": "ge\\"heim"}', '{"p": "***"}', id="in-json"),
        pytest.param("ge heim/密", "u=ge%20heim%2F%E5%AF%86", "u=***", id="in-a-url"),
        pytest.param(
            "mysql://u:ge%40heim@db/erp", "access denied for ge@heim", "access denied for ***", id="password-of-a-url"
        ),
        pytest.param("mysql://u:ge/#heim@db/erp", "with ge/#heim", "with ***", id="password-with-marks-of-a-url"),
        pytest.param("mysql://u:ge@heim@db/erp", "with ge@heim", "with ***", id="password-with-an-at-sign"),
        pytest.param("geheim\n", "geheim", "***", id="line-break-at-its-end"),
        pytest.param("mysql://db/erp?user=u&password=ge%40heim", "with ge@heim", "with ***", id="password-in-a-query"),
        pytest.param(
            "https://api/x?charset=utf8mb4&api_key=geheim", "utf8mb4 geheim", "utf8mb4 ***", id="key-in-a-query"
        ),
        pytest.param("yes", "yes", "yes", id="too-short-to-hide"),
        pytest.param("http://[", "http://[", "***", id="no-url-after-all"),
    ],
)
def test_masking(secret: str, text: str, expected: str) -> None:
    assert Masking([secret]).text(text) == expected


def test_masking_of_json_values() -> None:
    masking = Masking.from_environment({"MERP_SECRET_ENV": "PIN, ABSENT", "PIN": "12345"})
    assert masking.value({"12345": [12345, "x12345", True, 1]}) == {"***": ["***", "x***", True, 1]}
