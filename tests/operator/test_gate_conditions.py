"""Which ends of an upstream open a gate: a table of conditions and verdicts."""

from typing import Any

import pytest
from gate_answers import told, waiting
from upstream_runs import up

from merp_operator.gate import Waiting
from merp_operator.upstreams import Upstream

A: dict[str, Any] = {"name": "a"}
RUN = [waiting("02:10")]


@pytest.mark.parametrize(
    ("runs", "dependencies", "upstreams", "now", "more", "expected"),
    [
        pytest.param([], [A], [up("a", "02:00 success 02:05")], "02:10", {}, [], id="does-nothing-nothing-waits"),
        pytest.param(RUN, [], [], "02:10", {}, ["d@02:10 open by nothing"], id="does-nothing-no-dependencies"),
        pytest.param(
            RUN,
            [A],
            [up("a", "02:00 - 02:04")],
            "02:10",
            {},
            ["d@02:10 waiting for a of 2026-12-01 (running since 02:04) until 02:10"],
            id="does-nothing-the-upstream-still-runs",
        ),
        pytest.param(
            RUN, [A], [up("a", "02:00 success 02:05")], "02:10", {}, ["d@02:10 open by a@02:00"], id="succeeded"
        ),
        *(
            pytest.param(
                RUN,
                [A | {"condition": condition}],
                [up("a", f"02:00 {verdict} 02:05")],
                "02:10",
                {},
                ["d@02:10 open by a@02:00"]
                if opens
                else [f"d@02:10 waiting for a of 2026-12-01 ({word} at 02:05) until 02:10"],
                id=f"{verdict}-is-{'' if opens else 'not-'}{condition}",
            )
            for condition, verdict, word, opens in [
                ("Succeeded", "failed", "failed", False),
                ("Succeeded", "skipped", "skipped", False),
                ("Failed", "failed", "failed", True),
                ("Failed", "timeout", "timed out", True),
                ("Failed", "success", "succeeded", False),
                ("Failed", "cancelled", "cancelled", False),
                ("Failed", "skipped", "skipped", False),
                ("Failed", "missed", "missed", False),
                ("Completed", "success", "succeeded", True),
                ("Completed", "failed", "failed", True),
                ("Completed", "timeout", "timed out", True),
                ("Completed", "cancelled", "cancelled", False),
                ("Completed", "skipped", "skipped", False),
                ("Completed", "missed", "missed", False),
            ]
        ),
    ],
)
def test_which_ends_open_a_gate(
    runs: list[Waiting],
    dependencies: list[dict[str, Any]],
    upstreams: list[Upstream],
    now: str,
    more: dict[str, Any],
    expected: list[str],
) -> None:
    assert told(runs, dependencies, upstreams, now, **more) == expected
