"""Commands: which may run, that no shell is there, and that nothing of them is left."""

import json
import logging
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from runner_pod import stopping

from merp_runner import Context, ParameterError, TaskFailed
from merp_tasks.commands import _start, run_command

# Programs are what it is about.
pytestmark = pytest.mark.processes

ECHO, SH, SLEEP = (shutil.which(name) or name for name in ("echo", "sh", "sleep"))


@pytest.fixture
def allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MERP_COMMANDS", f"{ECHO}, {SH},{SLEEP}")


@pytest.mark.usefixtures("allowed")
def test_arguments_arrive_as_they_are(context: Context, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    result = run_command(context, [ECHO, "$HOME", "`id`", "a b", "$(NAME)", "*", "库存𠮷; rm -rf /"])
    assert result.pop("seconds") < 10
    assert result == {"exit_code": 0, "output": "$HOME `id` a b $(NAME) * 库存𠮷; rm -rf /\n"}
    # Python itself logs what it finds at any time, such as what an earlier test left behind.
    said = [record.getMessage() for record in caplog.records if record.name == "merp_tasks.command"]
    assert said == ["$HOME `id` a b $(NAME) * 库存𠮷; rm -rf /"]


@pytest.mark.usefixtures("allowed")
@pytest.mark.parametrize(
    ("script", "code", "told"),
    [
        pytest.param("echo before >&2; exit 42", 42, "ended with exit code 42\nbefore\n", id="C34-exit-code"),
        pytest.param("exit 2", 1, "ended with exit code 2\n", id="exit-code-2-is-the-runners"),
        pytest.param("kill -KILL $$", 1, "ended with signal SIGKILL\n", id="signal"),
    ],
)
def test_other_endings_fail(context: Context, script: str, code: int, told: str) -> None:
    with pytest.raises(TaskFailed) as failed:
        run_command(context, [SH, "-c", script])
    assert (failed.value.exit_code, str(failed.value)) == (code, f"{SH} {told}")


@pytest.mark.usefixtures("allowed")
def test_environment(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OF_THE_POD", "1")
    result = run_command(context, [SH, "-c", "echo $OF_THE_POD $OWN"], environment={"OWN": "2"})
    assert result["output"] == "1 2\n"


@pytest.mark.usefixtures("allowed")
def test_only_the_end_of_much_output_is_kept(context: Context) -> None:
    result = run_command(context, [SH, "-c", "i=0; while [ $i -lt 2000 ]; do echo line $i; i=$((i+1)); done"])
    assert result["output"].endswith("line 1999\n")
    assert 1900 < len(result["output"]) <= 2048


@pytest.mark.usefixtures("allowed")
def test_output_that_is_no_text(context: Context) -> None:
    assert run_command(context, [SH, "-c", r"printf '\377\000x'"])["output"] == "\ufffd\0x"


@pytest.mark.usefixtures("allowed")
def test_a_child_that_is_left_behind_is_ended(context: Context, tmp_path: Path) -> None:
    began = time.monotonic()
    run_command(context, [SH, "-c", f"{SLEEP} 600 & echo $! > {tmp_path}/pid"])
    assert time.monotonic() - began < 60
    assert gone(int((tmp_path / "pid").read_text()))


@pytest.mark.usefixtures("allowed")
def test_time_limit_reaches_the_children_too(context: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started = tmp_path / "started"

    def start_and_wait(command: list[str], environment: dict[str, str]) -> "subprocess.Popen[bytes]":
        # The limit is for a program that works, however long it took to come so far.
        process = _start(command, environment)
        assert within(60, started.exists)
        return process

    monkeypatch.setattr("merp_tasks.commands._start", start_and_wait)
    script = f"echo working; {SLEEP} 600 & echo $! > {tmp_path}/pid; echo > {started}; wait"
    with pytest.raises(TaskFailed, match=r"did not end within 0\.5 s and was stopped\nworking"):
        run_command(context, [SH, "-c", script], timeout_seconds=0.5)
    assert gone(int((tmp_path / "pid").read_text()))


def gone(pid: int) -> bool:
    """Whether a process has ended: reaped, or waiting for its parent to notice."""

    def ended() -> bool:
        try:
            return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
        except (FileNotFoundError, ProcessLookupError):
            return True

    return within(60, ended)


def within(seconds: float, what: Callable[[], bool]) -> bool:
    """Whether something comes true: nobody tells of files, and the kernel tells of an end the parent alone."""
    deadline = time.monotonic() + seconds
    while not what():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


@pytest.mark.parametrize(
    ("commands", "command", "told"),
    [
        pytest.param("", [ECHO], "command: run_command is off: the variable MERP_COMMANDS", id="off-by-default"),
        pytest.param(" , ", [ECHO], "command: run_command is off", id="an-empty-list-is-off"),
        pytest.param(SLEEP, [ECHO, "x"], f"command[0]: {ECHO!r} is not allowed: MERP_COMMANDS has {SLEEP}", id="another"),
        pytest.param(ECHO, ["echo", "x"], "command[0]: 'echo' is not allowed", id="no-path"),
        pytest.param(ECHO, [f"/usr/../{ECHO}"], "command[0]: ", id="another-spelling"),
        pytest.param(ECHO, [], "command[0]: '' is not allowed", id="empty"),
        pytest.param("echo", ["echo"], "MERP_COMMANDS: 'echo' is no absolute path", id="list-without-a-path"),
        pytest.param(ECHO, [ECHO, "a\0b"], "command[1]: has a NUL", id="nul"),
        pytest.param("*", [ECHO], f"command[0]: {ECHO!r} is not allowed", id="no-wildcards"),
    ],
)  # fmt: skip
def test_refused(
    context: Context, monkeypatch: pytest.MonkeyPatch, commands: str, command: list[str], told: str
) -> None:
    monkeypatch.setenv("MERP_COMMANDS", commands)
    with pytest.raises(ParameterError) as refused:
        run_command(context, command)
    assert str(refused.value).startswith(told)


@pytest.mark.parametrize(
    "environment",
    [
        pytest.param({"": "x"}, id="no-name"),
        pytest.param({"A=B": "x"}, id="a-name-with-an-equals-sign"),
        pytest.param({"A": "x\0y"}, id="nul"),
    ],
)
def test_variables_that_no_program_can_have(
    context: Context, monkeypatch: pytest.MonkeyPatch, environment: dict[str, str]
) -> None:
    monkeypatch.setenv("MERP_COMMANDS", ECHO)
    with pytest.raises(ParameterError, match=r"environment: .* is no variable's name, or its value has a NUL"):
        run_command(context, [ECHO], environment=environment)


def test_a_program_that_is_not_there(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MERP_COMMANDS", "/absent/program")
    with pytest.raises(TaskFailed, match="/absent/program could not be started: "):
        run_command(context, ["/absent/program"])


def start(tmp_path: Path, script: str, **environment: str) -> "subprocess.Popen[str]":
    """The runner as a process, with the shell as the command."""
    kwargs = json.dumps({"command": [SH, "-c", script]})
    variables = {
        "PATH": os.environ["PATH"],
        "MERP_COMMANDS": SH,
        "MERP_TERMINATION_LOG": str(tmp_path / "termination-log"),
    }
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "merp_runner", "run", "run_command", "--kwargs", kwargs],
        env=variables | environment,
        stdout=subprocess.PIPE,
        encoding="utf-8",
    )


def test_c35_a_stop_ends_the_program_which_may_clean_up(tmp_path: Path) -> None:
    script = f"trap 'echo cleaned up > {tmp_path}/mark; exit 0' TERM; echo $$ began; while :; do {SLEEP} 1; done"
    with start(tmp_path, script) as process:
        assert process.stdout is not None
        started = next(line for line in process.stdout if " began" in line)
        with stopping(process):
            process.stdout.read()
    assert (process.returncode, (tmp_path / "mark").read_text()) == (143, "cleaned up\n")
    assert gone(int(json.loads(started)["message"].split()[0]))


def test_c59_output_is_logged_with_secrets_masked(tmp_path: Path) -> None:
    secret: dict[str, Any] = {"MERP_SECRET_ENV": "ERP_PASSWORD", "ERP_PASSWORD": "geheim/密"}
    with start(tmp_path, 'echo "password $ERP_PASSWORD"; exit 3', **secret) as process:
        assert process.stdout is not None
        output = process.stdout.read()
    message = (tmp_path / "termination-log").read_text()
    assert process.returncode == 3
    assert "geheim" not in output + message
    assert "password ***" in output
    assert "password ***" in message
