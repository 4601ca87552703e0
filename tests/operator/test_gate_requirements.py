"""All and Any: how many of its upstreams a run waits for."""

from dataclasses import replace
from typing import Any

import pytest
from gate_answers import told, waiting
from upstream_runs import up

from merp_operator.gate import Waiting
from merp_operator.upstreams import Upstream

A: dict[str, Any] = {"name": "a"}
B: dict[str, Any] = {"name": "b"}
RUN = [waiting("02:10")]
TWO = [waiting("04:10"), waiting("02:10")]
ANY = {"require": "Any"}


@pytest.mark.parametrize(
    ("runs", "dependencies", "upstreams", "now", "more", "expected"),
    [
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
    ],
)
def test_how_many_upstreams_are_enough(
    runs: list[Waiting],
    dependencies: list[dict[str, Any]],
    upstreams: list[Upstream],
    now: str,
    more: dict[str, Any],
    expected: list[str],
) -> None:
    assert told(runs, dependencies, upstreams, now, **more) == expected


def test_many_upstreams_are_counted() -> None:
    dependencies = [{"name": name} for name in "abcde"]
    found = told(RUN, dependencies, [], "02:10")
    assert found == [
        "d@02:10 waiting for a: does not exist and b: does not exist and c: does not exist and 2 more until 02:10"
    ]


@pytest.mark.parametrize(
    ("opened_by", "more", "expected"),
    [
        pytest.param("", {}, "d@02:10 waiting for a (nothing makes it due)", id="does-nothing-never-opened"),
        pytest.param("ab", {}, "d@02:10 open by nothing", id="all-were-met"),
        pytest.param("abc", {}, "d@02:10 open by nothing", id="one-of-them-is-no-longer-asked-for"),
        pytest.param("b", {}, "d@02:10 waiting for a (nothing makes it due)", id="one-is-asked-for-since"),
        pytest.param("b", {"policy": ANY}, "d@02:10 open by nothing", id="any-was-met"),
        pytest.param("c", {"policy": ANY}, "d@02:10 waiting for a (nothing makes it due)", id="another-any-since"),
    ],
)
def test_what_was_opened_stays_open_while_it_waits_for_room(
    opened_by: str, more: dict[str, Any], expected: str
) -> None:
    """Nobody knows any more of the runs that opened it, and the upstream's last one has failed."""
    run = replace(waiting("02:10"), opened_by=tuple((upstream, f"{upstream}@02:00") for upstream in opened_by))
    upstreams = [up("a"), up("b", "02:05 failed 02:06")]
    [answer] = told([run], [A | {"window": {"period": "Day"}}, B | {"latest": True}], upstreams, "03:00", **more)
    assert answer.startswith(expected)
