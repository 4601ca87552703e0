"""Windows: which due times of an upstream count for a run."""

from typing import Any

import pytest
from gate_answers import told, waiting
from upstream_runs import at, opened, up

from merp_crds.reasons import Trigger
from merp_crds.scheduledjob import Dependency
from merp_operator import gate
from merp_operator.gate import Waiting
from merp_operator.upstreams import Upstream, UpstreamRun

A: dict[str, Any] = {"name": "a"}
DAY = {"window": {"period": "Day"}}
TWO = [waiting("04:10"), waiting("02:10")]


@pytest.mark.parametrize(
    ("runs", "dependencies", "upstreams", "now", "more", "expected"),
    [
        pytest.param(
            [waiting("10:17", Trigger.MANUAL)],
            [A | {"window": {"within": "24h"}}],
            [up("a", "09:00 success 09:01")],
            "10:17",
            {},
            ["d@10:17 open by a@09:00"],
            id="C25-within-a-day",
        ),
        pytest.param(
            [waiting("2T09:05", Trigger.MANUAL)],
            [A | {"window": {"within": "24h"}}],
            [up("a", "09:00 success 09:01")],
            "2T09:05",
            {},
            ["d@2T09:05 waiting for a (nothing makes it due) until 09:05"],
            id="C25-five-minutes-too-old",
        ),
        pytest.param(
            [waiting("2T09:05", Trigger.MANUAL)],
            [A | {"window": {"within": "24h"}}],
            [up("a", "09:00 success 09:01", "2T09:30 success 2T09:31")],
            "2T09:31",
            {},
            ["d@2T09:05 open by a@2T09:30"],
            id="C25-opens-when-it-succeeds-again",
        ),
        pytest.param(
            TWO,
            [A | {"window": {"within": "24h"}}],
            [up("a", "01:00 success 01:01")],
            "04:10",
            {"entries": opened("a@01:00 d@01:10")},
            ["d@02:10 open by a@01:00", "d@04:10 open by a@01:00"],
            id="within-is-not-used-up",
        ),
        *(
            pytest.param(
                [waiting(own)],
                [A | {"window": {"period": period}}],
                [up("a", f"{due} success {due}")],
                own,
                {"zone": "Asia/Shanghai"},
                [
                    f"d@{own} open by a@{due}"
                    if same
                    else f"d@{own} waiting for a (nothing makes it due) until {own[-5:]}"
                ],
                id=f"{'the-same' if same else 'another'}-{period}",
            )
            for period, due, own, same in [
                ("Hour", "02:00", "02:59", True),
                ("Hour", "01:59", "02:00", False),
                # Shanghai's day begins at 16:00 UTC, its week on Sunday the 6th at 16:00, its month on 31 December.
                ("Day", "16:00", "2T15:59", True),
                ("Day", "15:59", "16:00", False),
                ("Week", "6T16:00", "13T15:59", True),
                ("Week", "6T15:59", "6T16:00", False),
                ("Month", "1T00:00", "31T15:59", True),
                ("Month", "31T15:59", "31T16:00", False),
            ]
        ),
        pytest.param(
            [waiting("23:00")],
            [A | DAY | {"latest": True}],
            [up("a", "02:00 success 02:05", "04:00 - 04:00", "2T02:00 success 2T02:05")],
            "23:00",
            {},
            ["d@23:00 waiting for a of 2026-12-01 04:00 (running since 04:00) until 23:00"],
            id="latest-of-the-window-still-runs",
        ),
        pytest.param(
            [waiting("23:00")],
            [A | DAY | {"latest": True}],
            [up("a", "02:00 success 02:05", "04:00 skipped 04:00")],
            "23:00",
            {},
            ["d@23:00 open by a@02:00"],
            id="latest-passes-over-what-never-ran",
        ),
    ],
)
def test_which_due_times_count(
    runs: list[Waiting],
    dependencies: list[dict[str, Any]],
    upstreams: list[Upstream],
    now: str,
    more: dict[str, Any],
    expected: list[str],
) -> None:
    assert told(runs, dependencies, upstreams, now, **more) == expected


def test_the_repeated_hour_is_two_hours() -> None:
    dependency = Dependency.model_validate(A | {"window": {"period": "Hour"}})
    first, second = (at("1T00:30").replace(month=10, day=25, hour=hour) for hour in (0, 1))
    runs = gate.windows.Standing({first: UpstreamRun("a-1", first)})
    assert not runs.in_window(dependency, second, gate.find_zone("Europe/Berlin"))
    assert runs.in_window(dependency, first, gate.find_zone("Europe/Berlin")) == [first]
