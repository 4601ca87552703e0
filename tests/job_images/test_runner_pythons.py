"""The runner on every Python from 3.9 on that this machine has: users' images bring their own."""

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import pytest
from pythons import interpreters
from runner_pod import TIMEOUT, Pod

pytestmark = pytest.mark.processes

PYTHONS: Final = [pytest.param(path, id=Path(path).name) for path in interpreters()]


def call(python: str, pod: Pod, *arguments: str) -> "subprocess.CompletedProcess[str]":
    # -S: none of that Python's packages; without -P, which began with 3.11.
    return subprocess.run(
        [python, "-S", "-W", "error", "-m", "merp_runner", *arguments],
        env=pod.variables(),
        cwd="/",
        capture_output=True,
        encoding="utf-8",
        timeout=TIMEOUT,
        check=False,
    )


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize(
    ("func", "args", "kwargs", "code", "expected"),
    [
        pytest.param(
            "echo_args",
            ["仓库𠮷", "✅"],
            {"a": None},
            0,
            {"args": ["仓库𠮷", "✅"], "kwargs": {"a": None}},
            id="C43-echo",
        ),
        pytest.param(
            "odd_result",
            [],
            {},
            0,
            {"total": "12.30", "day": "2026-12-01", "ids": [1, 3], "rate": "NaN", "raw": "\\xff", "7": "k"},
            id="C32-odd-result",
        ),
        pytest.param("sleep_async", [0], {}, 0, {"slept": 0}, id="async"),
        pytest.param("fail_with", ["no stock", None], {}, 1, "no stock", id="optional-parameter"),
        pytest.param(
            "fail_with", ["no stock", "1"], {}, 2, 'exit_code: expected a whole number or null, got "1"', id="wrong"
        ),
    ],
)
def test_runs(
    pod: Pod, python: str, func: str, args: list[Any], kwargs: Mapping[str, Any], code: int, expected: Any
) -> None:
    pod.write(func, args, kwargs)
    ended = call(python, pod)
    message = json.loads((pod.folder / "termination-log").read_bytes())
    told = message["result"] if code == 0 else message["error"]["message"]
    assert (ended.returncode, told, ended.stderr) == (code, expected, "")


@pytest.mark.parametrize("python", PYTHONS)
def test_due_time_and_zone(pod: Pod, python: str) -> None:
    pod.write("context_of", **{"due-time": "2026-11-30T16:00:00Z", "time-zone": "Asia/Shanghai"})
    assert call(python, pod).returncode == 0
    result = json.loads((pod.folder / "termination-log").read_bytes())["result"]
    assert (result["due_time"], result["business_date"]) == ("2026-11-30T16:00:00+00:00", "2026-12-01")


@pytest.mark.parametrize("python", PYTHONS)
def test_catalogue_is_the_same(pod: Pod, python: str) -> None:
    here = call(interpreters()[-1], pod, "catalogue")
    there = call(python, pod, "catalogue")
    assert (there.returncode, json.loads(there.stdout)) == (0, json.loads(here.stdout))
