"""The runs of a job without a schedule: a table of upstreams, windows and what opened something before."""

from datetime import datetime
from typing import Any

import cluster_objects
import pytest
from upstream_runs import at, opened, up

from merp_crds import names
from merp_crds.scheduledjob import Accounted, Dependency, DependencyPolicy, Opened, Require
from merp_operator import newlymet, observe
from merp_operator import opened as keeping
from merp_operator.newlymet import DependencyRun
from merp_operator.upstreams import Upstream

A: dict[str, Any] = {"name": "a"}
B: dict[str, Any] = {"name": "b"}
C: dict[str, Any] = {"name": "c"}
DAY = {"window": {"period": "Day"}}
WITHIN = {"window": {"within": "24h"}}
ANY = {"require": "Any"}


def made(
    dependencies: list[dict[str, Any]],
    upstreams: list[Upstream],
    entries: list[Opened] | None = None,
    policy: dict[str, Any] | None = None,
    since: str = "00:00",
) -> tuple[DependencyRun, ...]:
    return newlymet.newly_met(
        [Dependency.model_validate(entry) for entry in dependencies],
        None if policy is None else DependencyPolicy.model_validate(policy),
        "UTC",
        {upstream.name: upstream for upstream in upstreams},
        entries or [],
        at(since),
    )


def words(runs: tuple[DependencyRun, ...]) -> list[str]:
    return [f"{run.due_time:%-dT%H:%M} by {' '.join(name for _, name in run.opened_by)}" for run in runs]


MINUTES = [f"02:0{minute} success 02:0{minute}" for minute in range(1, 10)] + ["02:10 success 02:10"]


@pytest.mark.parametrize(
    ("dependencies", "upstreams", "more", "expected"),
    [
        pytest.param([], [up("a", *MINUTES)], {}, [], id="does-nothing-no-dependencies"),
        pytest.param([A], [], {}, [], id="does-nothing-no-upstream"),
        pytest.param([A], [up("a", "02:00 - 02:00", "01:00 failed 01:05")], {}, [], id="does-nothing-not-met"),
        pytest.param(
            [A],
            [up("a", "02:00 success 02:05")],
            {"entries": opened("a@02:00 d1")},
            [],
            id="does-nothing-opened-before",
        ),
        pytest.param(
            [A],
            [up("a", *MINUTES)],
            {},
            [f"1T02:{minute:02} by a@02:{minute:02}" for minute in range(1, 11)],
            id="C28-ten-successes-are-ten-runs",
        ),
        pytest.param(
            [A],
            [up("a", *MINUTES)],
            {"entries": opened(*(f"a@02:0{minute} d{minute}" for minute in range(1, 9)))},
            ["1T02:09 by a@02:09", "1T02:10 by a@02:10"],
            id="C28-a-restart-repeats-none",
        ),
        pytest.param(
            [A | {"condition": "Failed"}], [up("a", *MINUTES)], {}, [], id="C28-a-failed-attempt-is-not-a-failed-run"
        ),
        pytest.param(
            [A],
            [up("a", "02:00 success 02:05", "03:00 success 03:05")],
            {"since": "02:30"},
            ["1T03:00 by a@03:00"],
            id="what-was-before-is-not-caught-up",
        ),
        pytest.param(
            [A],
            [up("a", "02:00 success 02:05")],
            {"since": "02:05"},
            ["1T02:00 by a@02:00"],
            id="what-ended-in-its-very-second-is-new",
        ),
        pytest.param(
            [A],
            [up("a", "02:00 success 02:05")],
            {"since": "02:05:00.9"},
            ["1T02:00 by a@02:00"],
            id="and-within-a-second-nobody-knows",
        ),
        pytest.param([A], [up("a", "02:00 success 02:05")], {"since": "02:05:01"}, [], id="a-second-later-it-is-not"),
        pytest.param(
            [A],
            [up("a", "02:00 failed 02:05", "02:00#2 success 03:05")],
            {},
            ["1T02:00 by a@02:00#2"],
            id="a-rerun-heals",
        ),
        pytest.param(
            [A],
            [up("a", "02:00 success 02:05", "02:00#2 success 03:05")],
            {"entries": opened("a@02:00 d1")},
            [],
            id="a-rerun-of-what-opened-opens-nothing",
        ),
        pytest.param(
            [A | {"latest": True}],
            [up("a", *MINUTES)],
            {},
            ["1T02:10 by a@02:10"],
            id="latest-is-the-newest-alone",
        ),
        # All of several.
        pytest.param(
            [A, B],
            [up("a", "02:00 success 02:05", "03:00 success 03:05"), up("b", "02:00 success 02:06", "03:00 - 03:00")],
            {},
            ["1T02:00 by a@02:00 b@02:00"],
            id="all-pairs-equal-due-times",
        ),
        pytest.param(
            [A, B],
            [
                up("a", "02:00 success 02:05", "03:00 failed 03:05"),
                up("b", "02:00 failed 02:06", "03:00 success 03:09"),
            ],
            {},
            [],
            id="all-does-not-mix-due-times",
        ),
        pytest.param(
            [A, B],
            [
                up("a", "02:00 success 02:05", "03:00 failed 03:05", "03:00#2 success 05:00"),
                up("b", "02:00 failed 02:06", "02:00#2 success 05:01", "03:00 success 03:09"),
            ],
            {},
            ["1T02:00 by a@02:00 b@02:00#2", "1T03:00 by a@03:00#2 b@03:00"],
            id="all-heals-each-due-time",
        ),
        pytest.param(
            [A, B],
            [up("a", "02:00 success 02:05"), up("b", "01:30 success 01:35", next_run="02:00")],
            {},
            [],
            id="all-waits-for-a-due-time-that-has-no-run-yet",
        ),
        pytest.param(
            [A, B],
            [
                up("a", "01:00 success 01:05", "2T01:00 success 2T01:05"),
                up("b", "02:00 success 02:05", "2T02:00 failed 2T02:05"),
            ],
            {},
            ["1T02:00 by a@01:00 b@02:00"],
            id="all-of-other-due-times-pairs-the-oldest",
        ),
        pytest.param(
            [A, B],
            [
                up("a", "01:00 success 01:05", "02:00 success 02:05", "03:00 success 03:05"),
                up("b", "02:00 success 02:09"),
            ],
            {},
            ["1T02:00 by a@02:00 b@02:00"],
            id="all-hourly-and-daily-meet-where-equal",
        ),
        pytest.param(
            [A, B],
            [
                up("a", "01:00 success 01:05", "04:00 success 04:05"),
                up("b", "05:00 success 05:05", known_since="03:00"),
            ],
            {},
            ["1T05:00 by a@04:00 b@05:00"],
            id="all-leaves-what-the-other-may-have-forgotten",
        ),
        pytest.param(
            [A, B, C],
            [
                up("a", "02:00 success 02:05", "2T02:00 success 2T02:05"),
                up("b", "02:00 failed 02:05", "2T02:00 success 2T02:05"),
                up("c", "01:00 success 01:05", "2T01:00 success 2T01:05"),
            ],
            {},
            ["2T02:00 by a@2T02:00 b@2T02:00 c@01:00"],
            id="all-of-three-two-of-which-belong-together",
        ),
        pytest.param(
            [A, B],
            [up("a", "02:00 success 02:05"), up("b", "02:00 success 03:05")],
            {"since": "02:30"},
            ["1T02:00 by a@02:00 b@02:00"],
            id="all-is-newly-met-when-the-last-is",
        ),
        pytest.param(
            [A, B],
            [up("a", "01:00 success 01:05"), up("b", "02:00 success 02:05")],
            {"since": "01:30"},
            [],
            id="all-of-other-due-times-both-have-to-be-new",
        ),
        # Any.
        pytest.param(
            [A, B],
            [up("a", "02:00 success 02:05"), up("b", "01:00 success 01:06", "03:00 failed 03:00")],
            {"policy": ANY},
            ["1T01:00 by b@01:00", "1T02:00 by a@02:00"],
            id="any-each-makes-a-run",
        ),
        pytest.param(
            [A, B],
            [up("a", "02:00 success 02:05"), up("b", "02:00 success 02:06")],
            {"policy": ANY},
            ["1T02:00 by a@02:00 b@02:00"],
            id="any-one-due-time-is-one-run",
        ),
        pytest.param(
            [A, B],
            [up("a", "02:00 success 02:05"), up("b", "02:00 success 02:06")],
            {"policy": ANY, "entries": opened("a@02:00 d1")},
            [],
            id="any-the-second-comes-late",
        ),
        # Windows other than sinceLastRun.
        pytest.param(
            [A, B | WITHIN],
            [up("a", "02:00 success 02:05", "03:00 success 03:05"), up("b", "01:00 success 01:05")],
            {"entries": opened("b@01:00 d0")},
            ["1T02:00 by a@02:00 b@01:00", "1T03:00 by a@03:00 b@01:00"],
            id="within-is-a-guard-that-is-not-used-up",
        ),
        pytest.param(
            [A, B | WITHIN], [up("a", "2T02:00 success 2T02:05"), up("b", "01:00 success 01:05")], {}, [], id="guarded"
        ),
        pytest.param(
            [A, B | DAY],
            [up("a", "02:00 success 02:05"), up("b", "03:00 success 03:05")],
            {},
            ["1T03:00 by a@02:00 b@03:00"],
            id="a-guard-that-comes-later-gives-the-due-time",
        ),
        pytest.param(
            [A | DAY, B | DAY],
            [up("a", "01:00 success 01:05", "2T01:00 success 2T01:05"), up("b", "02:00 success 02:05")],
            {},
            ["1T02:00 by a@01:00 b@02:00"],
            id="once-a-day-when-both-are-met",
        ),
        pytest.param(
            [A | DAY, B | DAY],
            [up("a", "01:00 success 01:05", "05:00 success 05:05"), up("b", "02:00 success 02:05")],
            {"entries": opened("a@01:00 d1", "b@02:00 d1")},
            ["1T05:00 by a@05:00 b@02:00"],
            id="a-further-run-in-the-window-is-new",
        ),
    ],
)
def test_runs_of_newly_met_dependencies(
    dependencies: list[dict[str, Any]], upstreams: list[Upstream], more: dict[str, Any], expected: list[str]
) -> None:
    assert words(made(dependencies, upstreams, **more)) == expected


def test_a_run_has_one_name_whoever_looks() -> None:
    upstreams = [up("a", "02:00 success 02:05"), up("b", "02:00 success 02:05")]
    assert {run.name("d") for run in made([A, B], upstreams)} == {run.name("d") for run in made([B, A], upstreams)}
    alone, both = made([A, B], upstreams[1:], policy=ANY), made([A, B], upstreams, policy=ANY)
    assert alone[0].name("d") == both[0].name("d")
    assert alone[0].name("d") != made([B], upstreams)[0].name("d")


@pytest.mark.parametrize(
    ("before", "changes", "until"),
    [
        pytest.param("same", {}, at("02:00"), id="does-nothing-nothing-changed"),
        pytest.param(None, {}, at("01:00"), id="from-its-creation"),
        pytest.param(None, {"generation": 2}, at("05:00"), id="edited-before-anybody-looked"),
        pytest.param(None, {"suspended": True}, at("05:00"), id="paused-before-anybody-looked"),
        pytest.param("same", {"suspended": True}, at("05:00"), id="paused"),
        pytest.param("paused", {}, at("05:00"), id="resumed"),
        pytest.param("same", {"dependencies": [A]}, at("05:00"), id="edited"),
        pytest.param("same", {"dependencies": [B, A]}, at("02:00"), id="the-order-does-not-matter"),
        pytest.param("same", {"policy": ANY}, at("05:00"), id="any-instead-of-all"),
        pytest.param("same", {"policy": {"timeoutSeconds": 60}}, at("02:00"), id="the-timeout-does-not-matter"),
        pytest.param("same", {"now": at("01:30"), "suspended": True}, at("02:00"), id="never-earlier"),
    ],
)
def test_from_when_on_they_are_newly_met(before: str | None, changes: dict[str, Any], until: datetime) -> None:
    def account(
        known: Accounted | None,
        dependencies: list[dict[str, Any]] = [A, B],  # noqa: B006  (read only)
        policy: dict[str, Any] | None = None,
        **fields: Any,
    ) -> Accounted:
        asked = {"suspended": False, "created": at("01:00"), "generation": 1, "now": at("05:00")} | fields
        return newlymet.accounted(
            known,
            [Dependency.model_validate(entry) for entry in dependencies],
            None if policy is None else DependencyPolicy.model_validate(policy),
            **asked,
        )

    first = None
    if before is not None:
        first = account(None, suspended=before == "paused").model_copy(update={"until": at("02:00")})
    found = account(first, **changes)
    assert found.until == until
    assert account(found, **changes) == found


@pytest.mark.parametrize(
    ("before", "texts", "upstreams", "require", "expected"),
    [
        pytest.param([], [], [up("a", "02:00 success 02:05")], Require.ALL, [], id="does-nothing"),
        pytest.param(
            ["a@02:00 d1"], [], [up("a", "02:00 success 02:05")], Require.ALL, ["a@02:00 d1"], id="kept-while-visible"
        ),
        pytest.param(["a@01:00 d1"], [], [up("a", "02:00 success 02:05")], Require.ALL, [], id="let-go-when-not"),
        pytest.param(["a@01:00 d1"], [], [], Require.ALL, [], id="no-upstream-any-more"),
        pytest.param(
            ["a@01:00 d1"],
            ['[{"upstream":"a","run":"a@02:00"},{"upstream":"b","run":"b@02:00"}]'],
            [up("a", "01:00 success 01:05", "02:00 success 02:05"), up("b", "02:00 success 02:05")],
            Require.ALL,
            ["a@01:00 d1", "a@02:00 own-0", "b@02:00 own-0"],
            id="folded-from-the-run",
        ),
        pytest.param(
            [],
            ["not json", '{"upstream":"a"}', '["a"]', '[{"upstream":"a"}]', '[{"run":3}]', "null"],
            [up("a", "02:00 success 02:05")],
            Require.ALL,
            [],
            id="what-cannot-be-read",
        ),
        pytest.param(
            ["a@02:00 d1"],
            [],
            [up("a", "02:00 success 02:05", "02:00#2 - 03:00", "03:00 success 03:00")],
            Require.ALL,
            ["a@02:00 d1", "a@02:00#2 d1"],
            id="a-rerun-of-it-is-it",
        ),
        pytest.param(
            ["a@02:00 d1"],
            [],
            [up("a", "02:00 success 02:05"), up("b", "02:00 - 02:00")],
            Require.ALL,
            ["a@02:00 d1"],
            id="all-each-for-itself",
        ),
        pytest.param(
            ["a@02:00 d1"],
            [],
            [up("a", "02:00 success 02:05"), up("b", "02:00 - 02:00")],
            Require.ANY,
            ["a@02:00 d1", "b@02:00 d1"],
            id="any-a-due-time-over-all",
        ),
    ],
)
def test_what_the_status_keeps_of_what_opened(
    before: list[str], texts: list[str], upstreams: list[Upstream], require: Require, expected: list[str]
) -> None:
    runs = [own_run(f"own-{number}", text) for number, text in enumerate(texts)]
    found = keeping.fold(opened(*before), runs, {upstream.name: upstream for upstream in upstreams}, require)
    assert [f"{entry.run} {entry.opened}" for entry in found] == expected


def own_run(name: str, text: str) -> Any:
    body = cluster_objects.job(name, annotations={names.ANNOTATION_OPENED_BY: text})
    return observe.read_run("d", body, [])


def test_the_annotation_is_read_as_it_was_written() -> None:
    opened_by = (("a", "a-1"), ("b", "b-r-0123456789"))
    body = cluster_objects.job(annotations={names.ANNOTATION_OPENED_BY: keeping.annotation(opened_by)})
    assert keeping.opened_by(body) == opened_by
    assert keeping.opened_by(cluster_objects.job()) == ()


def test_the_list_is_bounded_and_what_it_let_go_stays_used() -> None:
    many = [f"{day}T{hour:02}:{minute:02}" for day in range(1, 30) for hour in range(24) for minute in (0, 30)]
    upstream = up("a", *(f"{due} success {due}" for due in many))
    found = keeping.fold(opened(*(f"a@{due} d1" for due in many)), [], {"a": upstream}, Require.ALL)
    assert [entry.run for entry in found] == [f"a@{due}" for due in many[-512:]]
    assert made([A], [upstream], found) == ()
