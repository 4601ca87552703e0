"""Who has room in a pool and whose turn it is next: a table of pools, and what a pool and its jobs say."""

from typing import Any

import pytest
from cluster_objects import NOW, job, job_pool, scheduled_job
from due_times import at

from merp_crds import names
from merp_crds.common import rfc3339
from merp_crds.jobpool import Admitted, JobPoolStatus
from merp_crds.reasons import Trigger
from merp_crds.scheduledjob import Priority, ScheduledJobSpec
from merp_operator import desired, observe, pool
from merp_operator.desired import Defaults
from merp_operator.pool import Candidate, Decision

Json = dict[str, Any]


def wants(run: str, priority: str = "normal", due: str = "12:00:00", slots: int = 1) -> Candidate:
    """A run that would go on."""
    return Candidate(run, f"uid-{run}", f"job-{run}", Priority(priority), at(due), slots)


def has(run: str, slots: int = 1) -> Admitted:
    """A run with room."""
    return Admitted(run=run, uid=f"uid-{run}", scheduled_job=f"job-{run}", slots=slots)


def told(decision: Decision) -> tuple[str, str, str]:
    """Who has room, who waits and who never gets any, by name."""
    groups: tuple[Any, ...] = (decision.admitted, decision.waiting, decision.too_large)
    admitted, waiting, too_large = (" ".join(entry.run for entry in group) for group in groups)
    return admitted, waiting, too_large


LOW1, LOW2, LOW3 = (
    wants("low-1", "low", "10:00:00"),
    wants("low-2", "low", "10:00:05"),
    wants("low-3", "low", "10:00:06"),
)
NORMAL1 = wants("normal-1", due="10:00:10")
HIGH1, HIGH2 = wants("high-1", "high", "10:00:15"), wants("high-2", "high", "10:00:20")


@pytest.mark.parametrize(
    ("slots", "before", "taking", "candidates", "expected"),
    [
        pytest.param(5, [], [], [], ("", "", ""), id="does-nothing-nobody-asks"),
        pytest.param(2, [has("a"), has("b")], ["a", "b"], [], ("a b", "", ""), id="does-nothing-all-run"),
        pytest.param(1, [has("low-1")], [], [LOW1], ("low-1", "", ""), id="does-nothing-about-to-go"),
        pytest.param(2, [], [], [NORMAL1, HIGH1], ("high-1 normal-1", "", ""), id="room-for-all"),
        pytest.param(
            1,
            [has("low-1")],
            ["low-1"],
            [LOW2, LOW3, NORMAL1, HIGH1, HIGH2],
            ("low-1", "high-1 high-2 normal-1 low-2 low-3", ""),
            id="C22-priority-then-due-time-and-nobody-is-ended",
        ),
        pytest.param(
            1, [has("low-1")], [], [LOW2, NORMAL1, HIGH1, HIGH2], ("high-1", "high-2 normal-1 low-2", ""), id="C22-turn"
        ),
        pytest.param(
            1,
            [],
            [],
            [wants("b", due="10:00:00"), wants("a", due="10:00:00")],
            ("a", "b", ""),
            id="same-moment-by-name",
        ),
        pytest.param(3, [has("a", 2)], ["a"], [wants("b", slots=2), wants("c")], ("a", "b c", ""), id="nobody-passes"),
        pytest.param(
            3, [], [], [wants("big", "high", slots=4), wants("c")], ("c", "", "big"), id="too-large-holds-up-nobody"
        ),
        pytest.param(
            2, [has("a"), has("b"), has("c")], ["a", "b", "c"], [HIGH1], ("a b c", "high-1", ""), id="made-smaller"
        ),
        pytest.param(2, [has("a"), has("b")], ["b"], [HIGH1], ("b high-1", "", ""), id="one-has-ended"),
        pytest.param(1, [has("a")], [], [HIGH1], ("high-1", "", ""), id="promised-and-no-longer-wanted"),
        pytest.param(2, [], ["x", "y", "z"], [HIGH1], ("x y z", "high-1", ""), id="runs-already-count"),
        pytest.param(1, [], ["high-1"], [HIGH1], ("high-1", "", ""), id="let-go-and-not-yet-seen"),
    ],
)
def test_turns(
    slots: int,
    before: list[Admitted],
    taking: list[str],
    candidates: list[Candidate],
    expected: tuple[str, str, str],
) -> None:
    sizes = {entry.run: entry.slots for entry in before}
    runs = {f"uid-{run}": has(run, sizes.get(run, 1)) for run in taking}
    decision = pool.decide(slots, before, runs, candidates, NOW)
    assert told(decision) == expected
    # Whoever decides again from what was decided decides the same.
    assert told(pool.decide(slots, decision.admitted, runs, candidates, NOW)) == expected


@pytest.mark.parametrize(
    ("made_with", "spec", "expected"),
    [
        pytest.param(None, {}, "normal", id="none"),
        pytest.param("merp-high", {}, "high", id="as-it-was-made"),
        pytest.param(None, {"priority": "high"}, "normal", id="edited-since"),
        pytest.param("own", {"priority": "low", "priorityClassName": "own"}, "low", id="a-class-beside-it"),
        pytest.param("own", {}, "normal", id="an-unknown-class"),
    ],
)
def test_a_run_keeps_the_priority_that_it_was_made_with(made_with: str | None, spec: Json, expected: str) -> None:
    body = job()
    body["spec"]["template"]["spec"]["priorityClassName"] = made_with
    read = ScheduledJobSpec.model_validate(scheduled_job(**spec)["spec"])
    assert pool.priority(body, read) == expected


OWN_CLASS: Json = {"priorityClassName": "own"}


@pytest.mark.parametrize(
    ("made_from", "edited_to"),
    [
        pytest.param({"priority": "high"}, {"priority": "high"}, id="does-nothing-no-edit"),
        pytest.param({"priority": "high"}, {"priority": "low"}, id="another-priority"),
        pytest.param({"priority": "high"} | OWN_CLASS, {"priority": "low"} | OWN_CLASS, id="beside-a-class"),
        pytest.param({"priority": "high"} | OWN_CLASS, {"priority": "high"}, id="beside-a-class-no-longer-named"),
        pytest.param(
            {"priority": "high", "template": {"podTemplate": {"spec": OWN_CLASS}}},
            {"priority": "high", "template": {"podTemplate": {"spec": OWN_CLASS}}},
            id="with-a-class-in-the-pod-template",
        ),
    ],
)
def test_no_edit_changes_whose_turn_a_run_is_that_was_made(made_from: Json, edited_to: Json) -> None:
    body = scheduled_job(pool={"name": "nightly"}, **made_from)
    observed = observe.observe(body, None, [], [])
    assert observed.spec is not None
    made = desired.run(
        observed,
        observed.spec,
        Defaults(image="i:1", time_zone="UTC"),
        name="j-1",
        trigger=Trigger.MANUAL,
        due_time=NOW,
    )
    edited = ScheduledJobSpec.model_validate(scheduled_job(**edited_to)["spec"])
    assert pool.priority(made, edited) == Priority.HIGH


def test_a_priority_that_somebody_wrote_and_that_is_none_says_nothing() -> None:
    body = job(annotations={names.ANNOTATION_PRIORITY: "urgent"})
    assert pool.priority(body, ScheduledJobSpec()) == Priority.NORMAL


@pytest.mark.parametrize(
    ("slots", "asked", "place", "expected"),
    [
        pytest.param(5, 2, (3, 7), "2 slots of pool nightly: place 3 of 7", id="place"),
        pytest.param(5, 1, (1, 1), "1 slot of pool nightly: place 1 of 1", id="one"),
        pytest.param(5, 1, None, "1 slot of pool nightly", id="no-place-yet"),
        pytest.param(5, 9, None, "9 slots of pool nightly, which has 5", id="too-large"),
        pytest.param(None, 1, None, "pool nightly, which does not exist", id="unknown"),
    ],
)
def test_what_a_run_waits_for(slots: int | None, asked: int, place: tuple[int, int] | None, expected: str) -> None:
    assert pool.sentence("nightly", slots, asked, place) == expected


@pytest.mark.parametrize(
    ("slots", "asked", "expected"),
    [
        pytest.param(5, 5, None, id="does-nothing-there-is-room"),
        pytest.param(
            None, 1, ("PoolNotFound", "pool: there is no JobPool nightly: create it, or name another"), id="unknown"
        ),
        pytest.param(
            5,
            6,
            (
                "PoolTooSmall",
                "pool.slots: 6 are more than the 5 of JobPool nightly: ask for fewer, or make it larger",
            ),
            id="too-many",
        ),
    ],
)
def test_what_can_never_have_room_is_told(slots: int | None, asked: int, expected: tuple[str, str] | None) -> None:
    assert pool.trouble("nightly", slots, asked) == expected


def test_the_status_lists_the_head_of_the_queue_and_counts_the_rest() -> None:
    waiting = [wants(f"r{number:02}", "high", slots=2) for number in range(30)]
    decision = pool.decide(3, [has("a", 2)], {"uid-a": has("a", 2)}, waiting, NOW)
    status = pool.status(job_pool(slots=3), decision, NOW)
    assert (status["used"], status["waitingCount"], len(status["waiting"])) == (2, 30, 20)
    assert status["admitted"] == [{"run": "a", "uid": "uid-a", "scheduledJob": "job-a", "slots": 2}]
    assert status["waiting"][0] == {
        "run": "r00",
        "scheduledJob": "job-r00",
        "priority": "high",
        "dueTime": rfc3339(at("12:00:00")),
        "slots": 2,
    }
    assert [(entry["type"], entry["status"], entry["reason"]) for entry in status["conditions"]] == [
        ("Ready", "True", "Valid")
    ]
    # A second pass writes nothing, whenever it comes.
    assert pool.status(job_pool(slots=3, status=status), decision, at("13:00:00")) == status


def test_a_pool_that_is_too_small_names_whom_it_is_too_small_for() -> None:
    asked = [wants(f"big-{number}", slots=9) for number in range(5)]
    status = pool.status(job_pool(slots=3), pool.decide(3, [], {}, asked, NOW), NOW)
    [ready] = status["conditions"]
    assert (ready["status"], ready["reason"]) == ("False", "PoolTooSmall")
    assert ready["message"] == (
        "spec.slots: 3 is less than what these ask for, so they wait for good: "
        "big-0 (9), big-1 (9), big-2 (9) and 2 more"
    )


def test_a_status_of_other_words_is_read_as_none() -> None:
    assert pool.read_status(job_pool(status={"admitted": [{"run": 7}]})) == JobPoolStatus()
    assert pool.read_spec({"spec": {"slots": "many"}}) is None
