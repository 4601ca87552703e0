"""What becomes of runs that wait for dependencies: a table of upstreams, windows and moments."""

from typing import Any

import pytest
from upstream_runs import at, opened, up

from merp_crds.reasons import Trigger
from merp_crds.scheduledjob import Dependency, DependencyPolicy, Opened
from merp_operator import gate
from merp_operator.gate import Expire, Hold, Open, Waiting
from merp_operator.upstreams import Upstream

A: dict[str, Any] = {"name": "a"}
B: dict[str, Any] = {"name": "b"}
DAY = {"window": {"period": "Day"}}


def waiting(text: str, trigger: Trigger = Trigger.SCHEDULE, reruns: str = "") -> Waiting:
    """A run named by its due time that waits since then, or since another: `02:10 03:00`."""
    due, *since = text.split()
    return Waiting(f"d@{due}", at(due), at(since[0] if since else due), trigger, reruns)


def told(
    runs: list[Waiting],
    dependencies: list[dict[str, Any]],
    upstreams: list[Upstream],
    now: str,
    *,
    entries: list[Opened] | None = None,
    policy: dict[str, Any] | None = None,
    zone: str = "UTC",
) -> list[str]:
    """The answers in words."""
    found = gate.answers(
        runs,
        [Dependency.model_validate(entry) for entry in dependencies],
        None if policy is None else DependencyPolicy.model_validate(policy),
        zone,
        {upstream.name: upstream for upstream in upstreams},
        entries or [],
        at(now),
    )
    words = []
    for answer in found:
        match answer:
            case Open(run, opened_by, sentence):
                words.append(f"{run} open by {', '.join(name for _, name in opened_by) or sentence or 'nothing'}")
            case Hold(run, sentence, until):
                words.append(f"{run} {sentence} until {until:%H:%M}")
            case Expire(run, verdict, reason, sentence):
                words.append(f"{run} {verdict.value}({reason.value}) {sentence}")
    return words


RUN = [waiting("02:10")]
TWO = [waiting("04:10"), waiting("02:10")]
C23 = {"timeoutSeconds": 1800, "onTimeout": "Fail"}
ANY = {"require": "Any"}
SHORT = {"timeoutSeconds": 600}


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
        # Conditions.
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
        # The last run of a due time counts.
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
        # C23: one success opens one gate once.
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
        # Windows.
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
        # All and Any.
        pytest.param(
            RUN,
            [A, B],
            [up("a", "02:00 success 02:05"), up("b", "02:00 - 02:03")],
            "02:10",
            {},
            ["d@02:10 waiting for b of 2026-12-01 (running since 02:03) until 02:10"],
            id="all-names-what-is-missing",
        ),
        pytest.param(
            TWO,
            [A, B],
            [up("a", "02:00 success 02:05"), up("b", "02:00 success 02:03", "04:00 success 04:05")],
            "04:10",
            {},
            [
                "d@02:10 open by a@02:00, b@02:00",
                "d@04:10 waiting for a (nothing makes it due) until 04:10",
            ],
            id="all-uses-one-of-each",
        ),
        pytest.param(
            TWO,
            [A, B],
            [up("a", "02:00 success 02:05"), up("b", "02:30 success 02:33")],
            "04:10",
            {"policy": ANY},
            ["d@02:10 open by a@02:00", "d@04:10 open by b@02:30"],
            id="any-uses-one",
        ),
        pytest.param(
            TWO,
            [A, B],
            [up("a", "02:00 success 02:05"), up("b", "02:00 success 02:33")],
            "04:10",
            {"policy": ANY},
            [
                "d@02:10 open by a@02:00",
                "d@04:10 waiting for a (nothing makes it due) or b (nothing makes it due) until 04:10",
            ],
            id="any-uses-a-due-time-once",
        ),
        # C26: what will not run any more is told at once, and ends by the timeout.
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
        # Timeouts.
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
        # Runs that somebody asked for.
        pytest.param(
            [waiting("02:10", Trigger.BACKFILL), waiting("03:10", Trigger.DEPENDENCY)],
            [A],
            [up("a")],
            "04:00",
            {},
            ["d@02:10 open by nothing", "d@03:10 open by nothing"],
            id="backfill-and-dependency-runs-do-not-wait",
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
def test_what_becomes_of_waiting_runs(
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


def test_the_repeated_hour_is_two_hours() -> None:
    dependency = Dependency.model_validate(A | {"window": {"period": "Hour"}})
    first, second = (at("1T00:30").replace(month=10, day=25, hour=hour) for hour in (0, 1))
    assert not gate.windows.in_window(dependency, first, second, gate.find_zone("Europe/Berlin"))


def test_many_upstreams_are_counted() -> None:
    dependencies = [{"name": name} for name in "abcde"]
    found = told(RUN, dependencies, [], "02:10")
    assert found == [
        "d@02:10 waiting for a: does not exist and b: does not exist and c: does not exist and 2 more until 02:10"
    ]


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
