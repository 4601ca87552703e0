"""Reruns: the last finished run of a due time counts, and what was opened once is not held again."""

from typing import Any

import pytest
from gate_answers import told, waiting
from upstream_runs import opened, up

from merp_crds.reasons import Trigger
from merp_operator.gate import Waiting
from merp_operator.upstreams import Upstream

A: dict[str, Any] = {"name": "a"}
DAY = {"window": {"period": "Day"}}
RUN = [waiting("02:10")]


@pytest.mark.parametrize(
    ("runs", "dependencies", "upstreams", "now", "more", "expected"),
    [
        pytest.param(
            RUN,
            [A],
            [up("a", "02:00 failed 02:05", "02:00#2 success 02:20")],
            "02:30",
            {},
            ["d@02:10 open by a@02:00#2"],
            id="a-rerun-heals",
        ),
        pytest.param(
            RUN,
            [A | DAY],
            [up("a", "02:00 success 02:05", "02:00#2 failed 02:20")],
            "02:30",
            {},
            ["d@02:10 waiting for a of 2026-12-01 (failed at 02:20) until 02:10"],
            id="a-rerun-that-fails-counts-too",
        ),
        pytest.param(
            RUN,
            [A],
            [up("a", "02:00 success 02:20", "02:00#2 failed 02:05")],
            "02:30",
            {},
            ["d@02:10 open by a@02:00"],
            id="the-last-is-the-one-that-ended-last",
        ),
        pytest.param(
            RUN,
            [A | DAY],
            [up("a", "02:00 success 02:05", "02:00#2 skipped 02:20", "02:00#3 - 02:25")],
            "02:30",
            {},
            ["d@02:10 open by a@02:00"],
            id="a-rerun-that-did-not-run-or-still-runs-changes-nothing",
        ),
        pytest.param(
            RUN,
            [A],
            [up("a", "02:00 failed 02:05", "02:00#2 - 02:25")],
            "02:30",
            {},
            ["d@02:10 waiting for a of 2026-12-01 (running since 02:25) until 02:10"],
            id="a-rerun-under-way-is-told",
        ),
        pytest.param(
            [waiting("02:10", Trigger.RETRY, reruns="d1")],
            [A],
            [up("a", "02:00 success 02:05")],
            "04:00",
            {"entries": opened("a@02:00 d1")},
            ["d@02:10 open by a@02:00"],
            id="the-rerun-of-a-run-that-was-opened-is-open",
        ),
        pytest.param(
            [waiting("02:10 04:00", Trigger.RETRY, reruns="d1")],
            [A],
            [up("a", "02:00 failed 02:05")],
            "04:00",
            {},
            ["d@02:10 waiting for a of 2026-12-01 (failed at 02:05) until 04:00"],
            id="the-rerun-of-a-run-that-was-not-opened-waits",
        ),
    ],
)
def test_what_reruns_open(
    runs: list[Waiting],
    dependencies: list[dict[str, Any]],
    upstreams: list[Upstream],
    now: str,
    more: dict[str, Any],
    expected: list[str],
) -> None:
    assert told(runs, dependencies, upstreams, now, **more) == expected
