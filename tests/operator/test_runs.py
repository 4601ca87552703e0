"""A run is read and judged once: it is the same object in every picture until its Job or one of its pods changes."""

from collections.abc import Mapping
from typing import Any

import pytest
from cluster_objects import complete, job, pod, scheduled_job

from merp_crds.common import rfc3339
from merp_crds.reasons import Trigger
from merp_operator import observe, outcome
from merp_operator.observe import Run

Json = dict[str, Any]

JOB = job()
POD = pod(running=True)
OTHER_POD = pod("j-29926800-b", running=True, created="2026-11-25T12:00:02Z")


def picture(body: Json, pods: list[Json], known: Mapping[str, Run]) -> dict[str, Run]:
    return {run.uid: run for run in observe.observe(scheduled_job(), None, [(body, pods)], [], known=known).runs}


@pytest.mark.parametrize(
    ("body", "pods", "same"),
    [
        pytest.param(JOB, [POD, OTHER_POD], True, id="nothing-has-changed"),
        pytest.param(JOB, [OTHER_POD, POD], True, id="its-pods-in-another-order"),
        pytest.param(job(status=complete()), [POD, OTHER_POD], False, id="its-job-has-changed"),
        pytest.param(JOB, [POD, pod("j-29926800-b")], False, id="a-pod-has-changed"),
        pytest.param(JOB, [POD], False, id="a-pod-is-gone"),
        pytest.param(JOB, [POD, OTHER_POD, pod("c")], False, id="there-is-another-pod"),
        pytest.param(JOB, [], False, id="all-pods-are-gone"),
    ],
)
def test_a_run_stays_the_same_object_while_it_does_not_change(body: Json, pods: list[Json], same: bool) -> None:
    known = picture(JOB, [POD, OTHER_POD], {})
    found = picture(body, pods, known)
    assert (found["job-1"] is known["job-1"]) == same
    assert found == picture(body, pods, {})


def test_a_run_of_another_job_of_its_name_is_another_run() -> None:
    known = picture(JOB, [], {})
    assert list(picture(job(uid="job-2"), [], known)) == ["job-2"]


def test_a_run_is_judged_once() -> None:
    run = picture(JOB, [POD], {})["job-1"]
    assert outcome.judge(run) is outcome.judge(run)
    assert not run.finished
    # What was worked out of one goes over to no other.
    ended = picture(job(status=complete()), [POD], {"job-1": run})["job-1"]
    assert (ended.finished, outcome.judge(ended).ended, outcome.judge(run).ended) == (True, True, False)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        pytest.param("j-2", "2026-11-25T12:00:00Z", id="a-number"),
        pytest.param("j-20261125", "2026-11-25T12:00:00Z", id="a-date"),
        pytest.param("j-by-ann", "2026-11-25T12:00:00Z", id="a-word"),
        pytest.param("j-29926802", "2026-11-25T12:00:00Z", id="a-time-to-come"),
        pytest.param("j-29925360", "2026-11-24T12:00:00Z", id="in-the-place-of-yesterdays"),
    ],
)
def test_a_run_by_hand_is_of_the_moment_it_was_made_whatever_number_ends_its_name(name: str, expected: str) -> None:
    """As `kubectl create job --from=cronjob/j` makes it."""
    by_hand = job(name, annotations={"cronjob.kubernetes.io/instantiate": "manual"})
    run = observe.read_run("j", by_hand, [])
    assert (rfc3339(run.due_time), run.trigger) == (expected, Trigger.MANUAL)
