"""Which runs of a job go on, wait their turn or end for another: a table of runs and policies."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest
from cluster_objects import complete, job, job_run, scheduled_job
from upstream_runs import at

from merp_crds import names
from merp_crds.common import rfc3339
from merp_crds.scheduledjob import ConcurrencyPolicy, ScheduledJobSpec
from merp_operator import observe, overlap
from merp_operator.gated import is_gated
from merp_operator.observe import Run
from merp_operator.overlap import Unit


def unit(name: str, began: str, ended: str = "", *, due: str = "", **fields: Any) -> Unit:
    """A run that waits, unless it is told to be more."""
    return Unit(name, at(due or began), at(began), ended=at(ended) if ended else None, **fields)


def told(units: list[Unit], policy: str, max_queued: int = 100) -> dict[str, Any]:
    """A decision in words, without what is empty."""
    found = overlap.decide(units, ConcurrencyPolicy(policy), max_queued)
    words: dict[str, Any] = {
        "goes_on": [f"{entry.run} since {entry.since:%H:%M}" for entry in found.goes_on],
        "turns": [f"{entry.run} {entry.sentence}" for entry in found.turns],
        "ends": [f"{entry.run} {entry.verdict.value}({entry.reason.value}) {entry.sentence}" for entry in found.ends],
        "replaces": [f"{entry.run} {entry.verdict.value}({entry.reason.value})" for entry in found.replaces],
        "replacing": list(found.replacing),
    }
    return {key: value for key, value in words.items() if value}


W1, W2, W3 = unit("w1", "02:00"), unit("w2", "02:10"), unit("w3", "02:20")
RUNS = unit("r", "01:00", released=True)
DONE = unit("r", "01:00", "01:30", released=True)
BESIDE = unit("x", "02:05", allowed=True)
OVERLAPS = "was not finished, and overlap is forbidden"
REPLACED = "cancelled(Replaced) replaced by"


@pytest.mark.parametrize(
    ("units", "policy", "expected"),
    [
        *(
            pytest.param([], policy.value, {}, id=f"{policy.value}-does-nothing-no-runs")
            for policy in ConcurrencyPolicy
        ),
        *(
            pytest.param([RUNS], policy.value, {}, id=f"{policy.value}-does-nothing-it-runs")
            for policy in ConcurrencyPolicy
        ),
        *(
            pytest.param([DONE, W1], policy.value, {"goes_on": ["w1 since 02:00"]}, id=f"{policy.value}-alone")
            for policy in ConcurrencyPolicy
        ),
        pytest.param(
            [RUNS, W1, W2], "Allow", {"goes_on": ["w1 since 02:00", "w2 since 02:10"]}, id="Allow-all-of-them"
        ),
        # Forbid
        pytest.param([RUNS, W1], "Forbid", {"ends": [f"w1 skipped(Overlap) r {OVERLAPS}"]}, id="C17-one-runs"),
        pytest.param(
            [W2, W1],
            "Forbid",
            {"goes_on": ["w1 since 02:00"], "ends": [f"w2 skipped(Overlap) w1 {OVERLAPS}"]},
            id="Forbid-a-waiting-one-counts",
        ),
        pytest.param(
            [unit("r", "01:00", "02:14", released=True), W2],
            "Forbid",
            {"ends": [f"w2 skipped(Overlap) r {OVERLAPS}"]},
            id="C17-it-does-not-start-late",
        ),
        pytest.param(
            [unit("r", "01:00", "02:14", released=True), W2, W3],
            "Forbid",
            {"goes_on": ["w3 since 02:20"], "ends": [f"w2 skipped(Overlap) r {OVERLAPS}"]},
            id="C17-the-skipped-one-is-in-nobodys-way",
        ),
        pytest.param(
            [unit("r", "01:00", "02:14", released=True), unit("w2", "02:10", "02:25", passed=True), W3],
            "Forbid",
            {"goes_on": ["w3 since 02:20"]},
            id="Forbid-killed-after-the-skip",
        ),
        pytest.param(
            [RUNS, unit("w1", "02:00", released=True, ending=True, passed=True)],
            "Forbid",
            {},
            id="Forbid-ended-already",
        ),
        pytest.param(
            [unit("r", "01:00", "02:10", released=True), W2],
            "Forbid",
            {"goes_on": ["w2 since 02:10"]},
            id="Forbid-made-as-the-other-ended",
        ),
        pytest.param(
            [unit("w1", "02:00", due="01:59"), unit("r", "02:00", released=True)],
            "Forbid",
            {"ends": [f"w1 skipped(Overlap) r {OVERLAPS}"]},
            id="Forbid-made-in-the-second-of-one-that-was-let-go",
        ),
        pytest.param(
            [W1, unit("m", "02:05", due="1T00:00")],
            "Forbid",
            {"goes_on": ["w1 since 02:00"], "ends": [f"m skipped(Overlap) w1 {OVERLAPS}"]},
            id="Forbid-an-old-due-time-made-later-is-the-newer-run",
        ),
        pytest.param([RUNS, BESIDE], "Forbid", {"goes_on": ["x since 02:05"]}, id="Forbid-asked-to-run-beside"),
        pytest.param(
            [BESIDE, W2],
            "Forbid",
            {"goes_on": ["x since 02:05"], "ends": [f"w2 skipped(Overlap) x {OVERLAPS}"]},
            id="Forbid-what-runs-beside-counts-for-others",
        ),
        # Queue
        pytest.param(
            [RUNS, W2, W1],
            "Queue",
            {"turns": ["w1 waiting its turn: place 1 of 2", "w2 waiting its turn: place 2 of 2"]},
            id="C20-one-at-a-time",
        ),
        pytest.param(
            [DONE, W2, W1, W3],
            "Queue",
            {
                "goes_on": ["w1 since 02:00"],
                "turns": ["w2 waiting its turn: place 1 of 2", "w3 waiting its turn: place 2 of 2"],
            },
            id="C20-oldest-due-time-first",
        ),
        pytest.param(
            [W2, unit("m", "02:15", due="1T00:00")],
            "Queue",
            {"goes_on": ["m since 02:15"], "turns": ["w2 waiting its turn: place 1 of 1"]},
            id="Queue-an-older-due-time-comes-first",
        ),
        pytest.param(
            [unit("r", "01:00", "02:30", released=True), W1],
            "Queue",
            {"goes_on": ["w1 since 02:30"]},
            id="Queue-waits-at-the-gate-from-its-turn-on",
        ),
        pytest.param(
            [RUNS, W1, W2, W3, unit("w4", "02:30")],
            "Queue",
            {
                "turns": ["w1 waiting its turn: place 1 of 2", "w2 waiting its turn: place 2 of 2"],
                "ends": [
                    "w3 skipped(QueueFull) 2 runs were waiting already, which is maxQueued",
                    "w4 skipped(QueueFull) 2 runs were waiting already, which is maxQueued",
                ],
            },
            id="C20-beyond-the-bound-the-newest",
        ),
        pytest.param(
            [unit("r", "01:00", released=True, ending=True), W1],
            "Queue",
            {"turns": ["w1 waiting its turn: place 1 of 1"]},
            id="Queue-one-that-is-ending-is-there",
        ),
        pytest.param(
            [RUNS, BESIDE, W1],
            "Queue",
            {"goes_on": ["x since 02:05"], "turns": ["w1 waiting its turn: place 1 of 1"]},
            id="Queue-asked-to-run-beside",
        ),
        # Replace
        pytest.param(
            [RUNS, W1],
            "Replace",
            {"goes_on": ["w1 since 02:00"], "replaces": ["r cancelled(Replaced)"], "replacing": ["r"]},
            id="Replace-the-running-one",
        ),
        pytest.param(
            [unit("r", "01:00", released=True, ending=True), W1],
            "Replace",
            {"goes_on": ["w1 since 02:00"], "replacing": ["r"]},
            id="Replace-is-not-done-twice",
        ),
        pytest.param(
            [RUNS, W1, W2],
            "Replace",
            {
                "goes_on": ["w2 since 02:10"],
                "ends": [f"w1 {REPLACED} w2"],
                "replaces": ["r cancelled(Replaced)"],
                "replacing": ["r"],
            },
            id="Replace-older-waiting-ones-too",
        ),
        pytest.param(
            [W1, unit("r", "02:10", released=True)],
            "Replace",
            {"ends": [f"w1 {REPLACED} r"]},
            id="Replace-the-newer-one-runs-already",
        ),
        pytest.param(
            [W1, unit("r", "02:10", "02:30", released=True)],
            "Replace",
            {"ends": [f"w1 {REPLACED} r"]},
            id="Replace-the-newer-one-is-over-already",
        ),
        pytest.param(
            [W1, unit("x", "02:10", released=True, allowed=True)],
            "Replace",
            {"goes_on": ["w1 since 02:00"]},
            id="Replace-asked-to-run-beside-replaces-none",
        ),
    ],
)
def test_what_overlap_decides(units: list[Unit], policy: str, expected: dict[str, Any]) -> None:
    assert told(units, policy, max_queued=2) == expected


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        pytest.param({}, False, id="plain"),
        pytest.param({"concurrencyPolicy": "Allow"}, False, id="allow"),
        pytest.param({"concurrencyPolicy": "Queue"}, True, id="queue"),
        pytest.param({"concurrencyPolicy": "Replace"}, True, id="replace"),
        pytest.param({"pool": {"name": "nightly"}}, True, id="pool"),
        pytest.param({"dependsOn": [{"name": "a"}]}, True, id="dependencies"),
    ],
)
def test_what_is_gated(spec: dict[str, Any], expected: bool) -> None:
    assert is_gated(ScheduledJobSpec.model_validate(spec)) is expected


@pytest.mark.parametrize(
    ("policy", "last_end", "expected"),
    [
        pytest.param("Queue", None, ("02:00", "02:00"), id="does-nothing-nothing-is-remembered"),
        pytest.param("Queue", "01:30", ("02:00", "02:00"), id="does-nothing-it-ended-before"),
        pytest.param("Queue", "03:00", ("03:00", "03:00"), id="Queue-its-turn-came-when-that-ended"),
        pytest.param("Replace", "03:00", ("02:00", "03:00"), id="Replace-that-is-what-it-replaced"),
        pytest.param("Forbid", "03:00", ("02:00", "02:00"), id="Forbid-waits-for-none"),
        pytest.param("Allow", "03:00", ("02:00", "02:00"), id="Allow-waits-for-none"),
    ],
)
def test_what_ended_counts_though_its_job_is_gone(policy: str, last_end: str | None, expected: tuple[str, str]) -> None:
    found = overlap.decide([W1], ConcurrencyPolicy(policy), 2, None if last_end is None else at(last_end))
    assert [(f"{entry.since:%H:%M}", f"{entry.clear:%H:%M}") for entry in found.goes_on] == [expected]


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        pytest.param({}, at("02:30"), id="ran"),
        pytest.param({"verdict": "skipped", "reason": "DependencyTimeout"}, at("02:30"), id="waited-too-long"),
        pytest.param({"run": "j-29926800"}, None, id="does-nothing-its-job-is-there"),
        pytest.param({"verdict": "skipped", "reason": "QueueFull"}, None, id="stood-in-nobodys-way"),
        pytest.param({"verdict": "missed", "reason": "Outage"}, None, id="had-no-run"),
        pytest.param({"reason": "StartRefused"}, None, id="was-never-made"),
    ],
)
def test_the_last_end_that_is_remembered(entry: dict[str, Any], expected: datetime | None) -> None:
    ended = {
        "run": "j-1",
        "trigger": "manual",
        "verdict": "failed",
        "reason": "ExitCode",
        "endTime": rfc3339(at("02:30")),
    }
    older = ended | {"run": "j-0", "endTime": rfc3339(at("01:30")), "reason": "QueueFull"}
    body = scheduled_job(status={"recent": [ended | entry, older]})
    assert overlap.last_end(observe.observe(body, None, [(job(), [])], [])) == expected


DUE = {names.ANNOTATION_DUE_TIME: rfc3339(at("02:00"))}


@pytest.mark.parametrize(
    ("fields", "requests", "expected"),
    [
        pytest.param({"spec": {"suspend": True}, "status": {"startTime": None}}, [], {}, id="waits"),
        pytest.param({"spec": {"suspend": True}}, [], {"released": True}, id="suspended-by-hand"),
        pytest.param({}, [], {"released": True}, id="runs"),
        pytest.param({"status": complete()}, [], {"released": True, "ended": True}, id="ended"),
        pytest.param(
            {"annotations": DUE | {names.ANNOTATION_ENDED: json.dumps({"reason": "Overlap"})}},
            [],
            {"released": True, "ending": True, "passed": True},
            id="ended-by-overlap",
        ),
        pytest.param(
            {"annotations": DUE | {names.ANNOTATION_ENDED: json.dumps({"reason": "CancelledByUser"})}},
            [],
            {"released": True, "ending": True},
            id="ended-by-somebody",
        ),
        pytest.param(
            {"annotations": DUE | {names.ANNOTATION_ENDED: "nonsense"}},
            [],
            {"released": True, "ending": True},
            id="ended-unreadably",
        ),
        pytest.param(
            {"annotations": DUE | {names.ANNOTATION_CONCURRENCY: "Allow"}},
            [],
            {"released": True, "allowed": True},
            id="beside-by-annotation",
        ),
        pytest.param(
            {"labels": {names.LABEL_JOB_RUN: "once"}},
            [job_run("once", concurrencyPolicy="Allow")],
            {"released": True, "allowed": True},
            id="beside-by-its-request",
        ),
        pytest.param(
            {"labels": {names.LABEL_JOB_RUN: "once"}},
            [job_run("once")],
            {"released": True},
            id="its-request-says-nothing",
        ),
    ],
)
def test_what_overlap_sees_of_a_run(
    fields: dict[str, Any], requests: list[dict[str, Any]], expected: dict[str, bool]
) -> None:
    name = names.run_name_for_request("j", "uid-once", at("02:00")) if requests else "j-1"
    body = job(name, **({"annotations": DUE} | fields))
    (found,) = overlap.read(observe.observe(scheduled_job(), None, [(body, [])], requests))
    shown = {key: bool(getattr(found, key)) for key in ("released", "ended", "ending", "allowed", "passed")}
    assert {key: value for key, value in shown.items() if value} == expected


class Counted(tuple[Run, ...]):
    """Runs that count how often somebody goes over all of them."""

    passes = 0

    def __iter__(self) -> Iterator[Run]:
        Counted.passes += 1
        return super().__iter__()


def test_many_requests_do_not_make_a_look_at_many_runs_slower_than_both_together() -> None:
    """Three thousand of each would take seconds, in every look."""
    asked = [job_run(f"once-{number}", concurrencyPolicy="Allow") for number in range(50)]
    jobs = [
        job(
            names.run_name_for_request("j", request["metadata"]["uid"], None),
            uid=request["metadata"]["name"],
            annotations=DUE,
            labels={names.LABEL_JOB_RUN: request["metadata"]["name"]},
        )
        for request in asked
    ]
    observed = observe.observe(scheduled_job(), None, [(body, []) for body in jobs], asked)
    found = overlap.read(replace(observed, runs=Counted(observed.runs)))
    assert all(unit.allowed for unit in found)
    assert Counted.passes <= 2
