"""Waits that take too long, and upstreams that will not run any more: told at once, ended by the timeout."""

from typing import Any

import pytest
from gate_answers import told, waiting
from upstream_runs import up

from merp_crds.reasons import Trigger
from merp_crds.scheduledjob import Dependency
from merp_operator import gate
from merp_operator.gate import Waiting
from merp_operator.upstreams import Upstream

A: dict[str, Any] = {"name": "a"}
B: dict[str, Any] = {"name": "b"}
DAY = {"window": {"period": "Day"}}
RUN = [waiting("02:10")]
SHORT = {"timeoutSeconds": 600}


@pytest.mark.parametrize(
    ("runs", "dependencies", "upstreams", "now", "more", "expected"),
    [
        *(
            pytest.param(
                RUN,
                [A | DAY],
                [] if why == "does not exist" else [up("a", "1T01:00 skipped 01:00", cannot_run=why)],
                now,
                {"policy": SHORT},
                [expected.format(why)],
                id=f"C26-{word}-{why.split()[-1]}",
            )
            for why in ("does not exist", "has ended (endAt 2026-11-30 00:00)", "is paused since 2026-11-29 by ann")
            for word, now, expected in [
                ("told-at-once", "02:10", "d@02:10 waiting for a: {} until 02:20"),
                ("skipped", "02:20", "d@02:10 skipped(DependencyTimeout) waited 10m for a: {}"),
            ]
        ),
        pytest.param(
            RUN,
            [A | DAY | {"condition": "Completed"}],
            [up("a", "02:00 skipped 02:00", next_run="2T02:00")],
            "02:20",
            {"policy": SHORT},
            [
                "d@02:10 skipped(DependencyTimeout) waited 10m for "
                "a of 2026-12-01 (skipped at 02:00; next run 2026-12-02 02:00)"
            ],
            id="C26-a-skipped-run-is-not-completed",
        ),
        pytest.param(
            RUN,
            [A],
            [up("a", "02:00 - 02:00")],
            "2T02:10",
            {"policy": {"onTimeout": "Run"}},
            ["d@02:10 open by waited 1d for a of 2026-12-01 (running since 2026-12-01 02:00)"],
            id="timeout-runs-all-the-same",
        ),
        pytest.param(
            RUN,
            [A],
            [up("a", "02:00 success 02:19")],
            "05:00",
            {"policy": SHORT},
            ["d@02:10 open by a@02:00"],
            id="a-late-look-opens-what-was-met-in-time",
        ),
        pytest.param(
            RUN,
            [A],
            [up("a", "02:00 success 02:21")],
            "05:00",
            {"policy": SHORT},
            ["d@02:10 skipped(DependencyTimeout) waited 10m for a of 2026-12-01 (running since 02:00)"],
            id="a-late-look-ends-what-was-met-too-late",
        ),
        pytest.param(
            [waiting("02:10 03:00")],
            [A],
            [up("a", "02:00")],
            "03:05",
            {"policy": SHORT},
            ["d@02:10 waiting for a of 2026-12-01 (waiting) until 03:10"],
            id="counts-from-when-it-waits",
        ),
        pytest.param(
            [waiting("02:10", Trigger.BACKFILL), waiting("03:10", Trigger.DEPENDENCY)],
            [A],
            [up("a")],
            "04:00",
            {},
            ["d@02:10 open by nothing", "d@03:10 open by nothing"],
            id="backfill-and-dependency-runs-do-not-wait",
        ),
    ],
)
def test_what_becomes_of_long_waits(
    runs: list[Waiting],
    dependencies: list[dict[str, Any]],
    upstreams: list[Upstream],
    now: str,
    more: dict[str, Any],
    expected: list[str],
) -> None:
    assert told(runs, dependencies, upstreams, now, **more) == expected


def test_times_are_in_the_jobs_zone() -> None:
    upstreams = [up("data-sync", "16:30 - 18:04")]
    found = told([waiting("17:00")], [{"name": "data-sync"}], upstreams, "18:10", zone="Asia/Shanghai")
    assert found == ["d@17:00 waiting for data-sync of 2026-12-02 (running since 02:04) until 17:00"]


@pytest.mark.parametrize(
    ("upstreams", "expected"),
    [
        pytest.param([up("a"), up("b")], (), id="does-nothing-all-is-well"),
        pytest.param([up("b", cannot_run="is paused")], ("a: does not exist", "b: is paused"), id="absent-and-paused"),
    ],
)
def test_upstreams_that_will_not_run_are_told(upstreams: list[Upstream], expected: tuple[str, ...]) -> None:
    dependencies = [Dependency.model_validate(entry) for entry in (A, B)]
    assert gate.troubles(dependencies, {upstream.name: upstream for upstream in upstreams}) == expected
