"""C23: which success opens which gate, and that one success opens one gate once."""

from typing import Any

import pytest
from gate_answers import told, waiting
from upstream_runs import opened, up

from merp_operator.gate import Waiting
from merp_operator.upstreams import Upstream

A: dict[str, Any] = {"name": "a"}
TWO = [waiting("04:10"), waiting("02:10")]
C23 = {"timeoutSeconds": 1800, "onTimeout": "Fail"}


@pytest.mark.parametrize(
    ("runs", "dependencies", "upstreams", "now", "more", "expected"),
    [
        pytest.param(
            TWO,
            [A],
            [up("a", "02:00 - 02:00", "04:00 failed 04:02")],
            "02:40",
            {"policy": C23},
            [
                "d@02:10 failed(DependencyTimeout) waited 30m for a of 2026-12-01 02:00 (running since 02:00)",
                "d@04:10 waiting for a of 2026-12-01 02:00 (running since 02:00) until 04:40",
            ],
            id="C23-past-its-thirty-minutes",
        ),
        pytest.param(
            [waiting("04:10")],
            [A],
            [up("a", "02:00 success 04:08", "04:00 failed 04:02")],
            "04:10",
            {"policy": C23},
            ["d@04:10 open by a@02:00"],
            id="C23-the-late-success-opened-nothing-before",
        ),
        pytest.param(
            TWO,
            [A],
            [up("a", "02:00 success 04:08", "04:00 failed 04:02")],
            "04:10",
            {},
            [
                "d@02:10 open by a@02:00",
                "d@04:10 waiting for a of 2026-12-01 04:00 (failed at 04:02) until 04:10",
            ],
            id="C23-the-oldest-waiting-run-has-it",
        ),
        pytest.param(
            [waiting("04:10")],
            [A],
            [up("a", "02:00 success 04:08", "04:00 failed 04:02")],
            "04:40",
            {"policy": C23, "entries": opened("a@02:00 d@02:10")},
            ["d@04:10 failed(DependencyTimeout) waited 30m for a of 2026-12-01 04:00 (failed at 04:02)"],
            id="C23-it-is-never-used-twice",
        ),
        pytest.param(
            [waiting("04:10")],
            [A | {"latest": True}],
            [up("a", "02:00 success 04:08", "04:00 failed 04:02")],
            "04:10",
            {},
            ["d@04:10 waiting for a of 2026-12-01 04:00 (failed at 04:02) until 04:10"],
            id="C23-latest-wants-the-newest-run",
        ),
        pytest.param(
            TWO,
            [A],
            [up("a", "02:00 success 02:30", "04:00 success 04:05")],
            "04:10",
            {},
            ["d@02:10 open by a@02:00", "d@04:10 open by a@04:00"],
            id="each-its-own-after-an-outage",
        ),
        pytest.param(
            [waiting("02:00"), waiting("04:00")],
            [A],
            [up("a", "02:00 failed 02:05", "04:00 success 04:05")],
            "04:10",
            {},
            [
                "d@02:00 waiting for a of 2026-12-01 02:00 (failed at 02:05) until 02:00",
                "d@04:00 open by a@04:00",
            ],
            id="the-same-due-time-is-waited-for",
        ),
        pytest.param(
            [waiting("04:00")],
            [A],
            [up("a", "02:00 success 03:59", next_run="04:00")],
            "04:00",
            {},
            ["d@04:00 waiting for a (next run 04:00) until 04:00"],
            id="the-same-due-time-is-waited-for-before-it-has-a-run",
        ),
        pytest.param(
            [waiting("02:00")],
            [A],
            [up("a", "04:00 success 04:05", known_since="03:30", cron="0 * * * *")],
            "04:10",
            {},
            ["d@02:00 waiting for a (nothing makes it due) until 02:00"],
            id="the-same-due-time-is-waited-for-when-its-run-is-forgotten",
        ),
        pytest.param(
            [waiting("02:10")],
            [A],
            [up("a", "04:00 success 04:05", known_since="03:30", cron="0 * * * *")],
            "04:10",
            {},
            ["d@02:10 open by a@04:00"],
            id="another-due-time-is-not-its-own",
        ),
        pytest.param(
            [waiting("04:10")],
            [A],
            [up("a", "02:00 success 02:05", "02:00#2 success 03:00")],
            "04:10",
            {"entries": opened("a@02:00 d@02:10")},
            ["d@04:10 waiting for a (nothing makes it due) until 04:10"],
            id="a-rerun-of-what-opened-opens-no-second-time",
        ),
    ],
)
def test_which_success_opens_which_gate(
    runs: list[Waiting],
    dependencies: list[dict[str, Any]],
    upstreams: list[Upstream],
    now: str,
    more: dict[str, Any],
    expected: list[str],
) -> None:
    assert told(runs, dependencies, upstreams, now, **more) == expected
