"""Runs that cannot start, or cannot end: which are ended, when, and as what."""

import json
from datetime import datetime, timedelta
from typing import Any

import pytest
from cluster_objects import complete, failed, job, pod, scheduled_job

from merp_crds import names
from merp_crds.common import parse_rfc3339
from merp_crds.reasons import Reason, Verdict
from merp_operator import attempt, desired, observe, outcome, overdue
from merp_operator.desired import Defaults
from merp_operator.overdue import GRACE, REPORTING, Definition, Ending, Overdue

Json = dict[str, Any]
DEFAULTS = Defaults(image="tasks:1", time_zone="UTC")
# As `job` and `pod` have it.
RELEASED = parse_rfc3339("2026-11-25T12:00:01Z")
TASK_ENDED = parse_rfc3339("2026-11-25T12:00:09Z")
PENDING = timedelta(seconds=900)
BOUND = PENDING + REPORTING
DEFINITION = Definition(PENDING, 1)
NO_TAG = {"reason": "ImagePullBackOff", "message": "no such tag"}
NO_SECRET = {"reason": "CreateContainerConfigError", "message": 'secret "erp" not found'}
STAYS_DOWN = {"reason": "CrashLoopBackOff", "message": "back-off 5m0s"}
NO_ROOM = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "1 Insufficient cpu"}


def decided(the_job: Json, pods: list[Json], now: datetime, definition: Definition = DEFINITION) -> Overdue:
    return overdue.decide(observe.read_run("j", the_job, pods), definition, now)


def starting(*, ready: bool = False, node: bool = True, init: list[Json] | None = None, **volumes: Json) -> Json:
    """A pod whose container is being made."""
    found = pod(waiting={"reason": "ContainerCreating"})
    conditions = [{"type": "PodReadyToStartContainers", "status": str(ready)}]
    found["status"] |= {"conditions": conditions, "initContainerStatuses": init or []}
    found["spec"]["volumes"] = [{"name": kind, kind: source} for kind, source in volumes.items()]
    if not node:
        del found["spec"]["nodeName"]
    return found


def with_proxy(found: Json, state: Json, *, always: bool = False, **more: Any) -> Json:
    """A pod with another container: a plain one, or a native sidecar."""
    kind, key = ("initContainers", "initContainerStatuses") if always else ("containers", "containerStatuses")
    container = {"name": "proxy", "image": "proxy:1"} | ({"restartPolicy": "Always"} if always else {})
    found["spec"][kind] = [*found["spec"].get(kind, []), container]
    told = {"name": "proxy", "image": "proxy:1", "state": state} | more
    found["status"][key] = [told, *found["status"].get(key, [])]
    return found


RUNNING = {"running": {"startedAt": "2026-11-25T12:00:02Z"}}
DONE = {"exitCode": 0, "message": '{"v": 1, "result": 7}'}


@pytest.mark.parametrize(
    ("the_job", "pods"),
    [
        pytest.param(job(), [pod(running=True)], id="C38-started-in-time"),
        pytest.param(
            job(status={"active": 1}),
            [pod("a", terminated={"exitCode": 1}, status={"phase": "Failed"})],
            id="the-next-attempts-pod-is-not-seen-yet",
        ),
        pytest.param(
            job(status={"terminating": 1}),
            [pod("a", terminated={"exitCode": 1}, status={"phase": "Failed"})],
            id="another-attempts-pod-is-on-its-way-out",
        ),
        pytest.param(job(status={"startTime": None}, spec={"suspend": True}), [], id="waits-to-be-released"),
        pytest.param(job(spec={"suspend": True}), [], id="suspended-again"),
        pytest.param(job(status={"startTime": None}), [], id="nobody-has-taken-it-up"),
        pytest.param(job(status={"active": 1}), [], id="its-pod-is-not-seen-yet"),
        pytest.param(job(status={"failed": 1}), [], id="its-pods-are-gone"),
        pytest.param(job(status=complete()), [pod(waiting=NO_TAG)], id="succeeded"),
        pytest.param(job(status=failed("DeadlineExceeded")), [pod(waiting=NO_TAG)], id="C41-its-own-deadline-was-first"),
        pytest.param(
            job(conditions=[{"type": "FailureTarget", "status": "True"}]), [pod(waiting=NO_TAG)], id="is-failing"
        ),
        pytest.param(
            job(annotations={names.ANNOTATION_ENDED: "{}"}), [pod(waiting=NO_TAG)], id="was-ended-by-somebody"
        ),
        pytest.param(job(), [pod(waiting=NO_TAG, deleted=True)], id="C35-its-pod-is-on-its-way-out"),
        pytest.param(
            job(),
            [pod(running=True, status={"conditions": [{"type": "DisruptionTarget", "status": "True"}]})],
            id="C35-its-pod-is-evicted",
        ),
        pytest.param(
            job(),
            [starting(init=[{"name": "fetch", "state": RUNNING}])],
            id="an-init-container-is-at-work",
        ),
        pytest.param(job(), [with_proxy(pod(running=True), RUNNING)], id="C40-both-run"),
        pytest.param(
            job(),
            [with_proxy(pod(terminated=DONE), {"terminated": {"exitCode": 0}})],
            id="C40-both-have-ended",
        ),
        pytest.param(job(), [with_proxy(pod(terminated=DONE), RUNNING, always=True)], id="C40-native-sidecar"),
    ],
)  # fmt: skip
def test_does_nothing_however_late_it_is(the_job: Json, pods: list[Json]) -> None:
    assert decided(the_job, pods, RELEASED + timedelta(days=1)) == Overdue()


@pytest.mark.parametrize(
    ("the_pod", "reason", "held"),
    [
        pytest.param(pod(waiting=NO_TAG), Reason.IMAGE_PULL, "ImagePullBackOff: runner:1: no such tag", id="C38-image"),
        pytest.param(
            pod(waiting=NO_SECRET),
            Reason.CONFIG_ERROR,
            'CreateContainerConfigError: secret "erp" not found',
            id="C38-secret",
        ),
        pytest.param(
            pod(status={"conditions": [NO_ROOM], "containerStatuses": []}),
            Reason.UNSCHEDULABLE,
            "no node takes it: 1 Insufficient cpu",
            id="C38-room",
        ),
        pytest.param(
            starting(configMap={"name": "rates"}, secret={"secretName": "erp"}, emptyDir={}),
            Reason.UNKNOWN,
            "its volumes (ConfigMap rates, Secret erp) or its network were still being set up, or its image runner:1 pulled",
            id="C38-volumes",
        ),
        pytest.param(
            starting(configMap={"name": "rates", "optional": True}),
            Reason.UNKNOWN,
            "its volumes or its network were still being set up, or its image runner:1 pulled",
            id="nothing-that-could-be-missing",
        ),
        pytest.param(
            starting(ready=True),
            Reason.UNKNOWN,
            "its image runner:1 was still being pulled, or its container made",
            id="C41-slow-pull",
        ),
        pytest.param(starting(node=False), Reason.UNKNOWN, "no scheduler has taken it up", id="no-scheduler"),
        pytest.param(
            with_proxy(starting(ready=True), {"waiting": NO_TAG}),
            Reason.IMAGE_PULL,
            "ImagePullBackOff: proxy:1: no such tag",
            id="C40-the-sidecars-image",
        ),
        pytest.param(
            with_proxy(pod(waiting={"reason": "PodInitializing"}), {"waiting": STAYS_DOWN}, always=True),
            Reason.INIT_FAILED,
            "container proxy does not stay up: CrashLoopBackOff: back-off 5m0s",
            id="the-sidecar-does-not-stay-up",
        ),
        pytest.param(
            with_proxy(pod(waiting={"reason": "PodInitializing"}), RUNNING, always=True, started=False),
            Reason.INIT_FAILED,
            "init container proxy was running, and its startupProbe had not succeeded",
            id="the-sidecar-never-says-that-it-has-started",
        ),
        pytest.param(
            pod(waiting={"reason": "SignatureValidationFailed", "message": "no signature"}),
            Reason.IMAGE_PULL,
            "SignatureValidationFailed: runner:1: no signature",
            id="the-image-is-not-to-be-trusted",
        ),
        pytest.param(
            pod(waiting={"reason": "OfANewerKubelet", "message": "m"}),
            Reason.CONFIG_ERROR,
            "OfANewerKubelet: m",
            id="a-cause-that-is-not-known-yet",
        ),
    ],
)
def test_what_cannot_start_is_ended_with_its_cause(the_pod: Json, reason: Reason, held: str) -> None:
    moment = RELEASED + BOUND
    assert decided(job(), [the_pod], moment - timedelta(seconds=1)) == Overdue(look_again=moment)
    text = f"not started within 900 s (pendingTimeoutSeconds): {held}"
    # Where the pod does not name the cause its Events may.
    asked = the_pod["metadata"]["uid"] if reason is Reason.UNKNOWN else None
    assert decided(job(), [the_pod], moment) == Overdue(Ending(Verdict.FAILED, reason, text, asked=asked))


@pytest.mark.parametrize(
    ("the_job", "pods", "since"),
    [
        pytest.param(job(), [pod(waiting=NO_TAG)], RELEASED, id="the-release"),
        pytest.param(
            job(status={"startTime": "2026-11-25T14:00:00Z"}),
            [pod(waiting=NO_TAG, created="2026-11-25T14:00:00Z")],
            parse_rfc3339("2026-11-25T14:00:00Z"),
            id="not-the-wait-before-the-release",
        ),
        pytest.param(
            job(status={"failed": 1}),
            [
                pod("a", terminated={"exitCode": 1}, status={"phase": "Failed"}),
                pod("b", waiting=NO_TAG, created="2026-11-25T13:00:00Z"),
            ],
            parse_rfc3339("2026-11-25T13:00:00Z"),
            id="a-later-attempts-pod",
        ),
        pytest.param(
            job(),
            [
                starting(
                    init=[{"name": "fetch", "state": {"terminated": {"exitCode": 0, "finishedAt": "2026-11-25T12:20:00Z"}}}]
                )
            ],
            parse_rfc3339("2026-11-25T12:20:00Z"),
            id="the-init-containers-end",
        ),
        pytest.param(job(), [], RELEASED, id="no-pod-can-be-made"),
    ],
)  # fmt: skip
def test_from_when_it_counts(the_job: Json, pods: list[Json], since: datetime) -> None:
    assert decided(the_job, pods, since + BOUND - timedelta(seconds=1)) == Overdue(look_again=since + BOUND)
    assert decided(the_job, pods, since + BOUND).ending is not None


def test_a_run_that_gets_no_pod_asks_its_jobs_events() -> None:
    text = "no pod was made for it within 900 s (pendingTimeoutSeconds)"
    expected = Ending(Verdict.FAILED, Reason.START_REFUSED, text, asked="job-1")
    assert decided(job(), [], RELEASED + BOUND) == Overdue(expected)


@pytest.mark.parametrize(
    ("the_pod", "over"),
    [
        pytest.param(pod(terminated={"exitCode": 1}, status={"phase": "Failed"}), TASK_ENDED, id="failed"),
        pytest.param(
            pod(status={"phase": "Failed", "reason": "OutOfcpu", "containerStatuses": []}), RELEASED, id="refused-by-its-node"
        ),
    ],
)  # fmt: skip
def test_a_run_that_gets_no_pod_for_another_attempt_is_ended(the_pod: Json, over: datetime) -> None:
    between, moment = job(status={"failed": 1}), over + timedelta(minutes=10) + BOUND
    assert decided(between, [the_pod], moment - timedelta(seconds=1)) == Overdue(look_again=moment)
    text = "no pod was made for its next attempt within 900 s (pendingTimeoutSeconds) after the longest back-off"
    expected = Ending(Verdict.FAILED, Reason.START_REFUSED, text, asked="job-1")
    assert decided(between, [the_pod], moment) == Overdue(expected)


def warning(reason: str, second: int, message: str = "m") -> Json:
    return {"reason": reason, "message": message, "lastTimestamp": f"2026-11-25T12:00:{second:02}Z"}


@pytest.mark.parametrize(
    ("warnings", "expected"),
    [
        pytest.param([], (Reason.UNKNOWN, "late"), id="does-nothing-without-events"),
        pytest.param([warning("BackOff", 1)], (Reason.UNKNOWN, "late"), id="does-nothing-for-other-events"),
        pytest.param(
            [warning("FailedMount", 2, 'configmap "rates" not found'), warning("FailedMount", 1, "old")],
            (Reason.CONFIG_ERROR, 'late: FailedMount: configmap "rates" not found'),
            id="C38-the-newest-names-the-volume",
        ),
        pytest.param(
            [warning("FailedCreatePodSandBox", 1)],
            (Reason.UNKNOWN, "late: FailedCreatePodSandBox: m"),
            id="the-nodes-network-is-not-the-users-configuration",
        ),
    ],
)
def test_events_name_the_cause_that_no_status_names(warnings: list[Json], expected: tuple[Reason, str]) -> None:
    found = overdue.explained(Ending(Verdict.FAILED, Reason.UNKNOWN, "late"), warnings)
    assert (found.reason, found.message) == expected


@pytest.mark.parametrize(
    ("terminated", "state", "limit", "expected"),
    [
        pytest.param(
            DONE,
            RUNNING,
            0,
            (Verdict.SUCCESS, Reason.COMPLETED, "completed; container proxy was still running 30 s later, so the run was ended"),
            id="success",
        ),
        pytest.param(
            DONE,
            {"waiting": NO_TAG},
            0,
            (Verdict.SUCCESS, Reason.COMPLETED, "completed; container proxy had not started (ImagePullBackOff) 30 s later, so the run was ended"),
            id="it-never-started",
        ),
        pytest.param(
            {"exitCode": 3},
            RUNNING,
            0,
            (Verdict.FAILED, Reason.EXIT_CODE, "exit code 3; container proxy was still running 30 s later, so the run was ended"),
            id="exit-code",
        ),
        pytest.param(
            {"exitCode": 3},
            RUNNING,
            2,
            (Verdict.FAILED, Reason.EXIT_CODE, "exit code 3; container proxy was still running 30 s later, so the run was ended without another attempt"),
            id="no-further-attempt",
        ),
        pytest.param(
            {"exitCode": 2},
            RUNNING,
            0,
            (Verdict.FAILED, Reason.BAD_PARAMETERS, "exit code 2; container proxy was still running 30 s later, so the run was ended"),
            id="parameters",
        ),
        pytest.param(
            {"exitCode": 137, "reason": "OOMKilled"},
            RUNNING,
            0,
            (Verdict.FAILED, Reason.OUT_OF_MEMORY, "killed for lack of memory; container proxy was still running 30 s later, so the run was ended"),
            id="out-of-memory",
        ),
    ],
)  # fmt: skip
def test_c40_what_cannot_end_is_ended_as_the_task_did(
    terminated: Json, state: Json, limit: int, expected: tuple[Verdict, Reason, str]
) -> None:
    the_job, the_pod = job(spec={"backoffLimit": limit}), with_proxy(pod(terminated=terminated), state)
    moment = TASK_ENDED + GRACE
    assert decided(the_job, [the_pod], moment - timedelta(seconds=1)) == Overdue(look_again=moment)
    ending = decided(the_job, [the_pod], moment).ending
    assert ending is not None
    assert (ending.verdict, ending.reason, ending.message) == expected


@pytest.mark.parametrize("pod_is_gone", [False, True], ids=["the-pod-is-there", "the-pod-is-gone-with-its-operator"])
def test_c40_the_ended_run_has_its_tasks_result(pod_is_gone: bool) -> None:
    the_pod = with_proxy(pod(terminated=DONE), RUNNING)
    now = TASK_ENDED + GRACE
    ending = decided(job(), [the_pod], now).ending
    assert ending is not None
    ended = job(
        annotations={names.ANNOTATION_ENDED: json.dumps(ending.written(now))}, status=failed("DeadlineExceeded")
    )
    found = outcome.judge(observe.read_run("j", ended, [] if pod_is_gone else [the_pod]))
    assert (found.status, found.reason, found.result, found.exit_code, found.end_time) == (
        Verdict.SUCCESS, Reason.COMPLETED, "7", 0, TASK_ENDED,
    )  # fmt: skip
    assert found.message == ending.message
    assert outcome.succeeded(observe.read_run("j", ended, []))


BAD_IMAGE = {"template": {"image": "runner:no-such-tag"}}


def made_of(body: Json, generation: str = "1") -> Json:
    """A Job of that definition, as the API server shows it: with what it adds."""
    seen = observe.observe(body, None, [], [])
    assert seen.spec is not None
    rendered = desired.job_spec(seen, seen.spec, DEFAULTS)
    container = rendered["template"]["spec"]["containers"][0]
    container |= {"terminationMessagePath": "/dev/termination-log", "resources": {}}
    rendered["template"]["spec"] |= {"dnsPolicy": "ClusterFirst", "schedulerName": "default-scheduler"}
    return job(annotations={names.ANNOTATION_GENERATION: generation}, spec=rendered)


def definition_of(body: Json, generation: int) -> Definition:
    body["metadata"]["generation"] = generation
    return overdue.definition(observe.observe(body, None, [], []), DEFAULTS)


@pytest.mark.parametrize(
    ("now", "generation", "waiting", "ended"),
    [
        pytest.param(scheduled_job(template={"image": "runner:1"}), 2, NO_TAG, True, id="C38-another-image"),
        pytest.param(scheduled_job(template={"image": "runner:1"}), 2, NO_SECRET, True, id="config-and-another-image"),
        pytest.param(
            scheduled_job(template={"image": "runner:no-such-tag", "imagePullSecrets": [{"name": "registry"}]}),
            2,
            NO_TAG,
            True,
            id="a-pull-secret",
        ),
        pytest.param(
            scheduled_job(template={"image": "runner:no-such-tag", "envFrom": [{"secretRef": {"name": "erp"}}]}),
            2,
            NO_SECRET,
            True,
            id="C38-another-secret",
        ),
        pytest.param(scheduled_job(**BAD_IMAGE), 1, NO_TAG, False, id="does-nothing-where-nothing-was-edited"),
        pytest.param(
            scheduled_job(**BAD_IMAGE, suspend=True), 2, NO_TAG, False, id="does-nothing-for-an-edit-of-something-else"
        ),
        pytest.param(
            scheduled_job(template={"image": "runner:1"}),
            2,
            {"reason": "ContainerCreating"},
            False,
            id="does-nothing-while-it-starts",
        ),
        pytest.param(
            scheduled_job(template={"image": "runner:1", "podTemplate": {"spec": {"restartPolicy": "Always"}}}),
            2,
            NO_TAG,
            False,
            id="does-nothing-where-the-new-one-cannot-be-carried-out",
        ),
        pytest.param(scheduled_job(task=4), 2, NO_TAG, False, id="does-nothing-where-the-new-one-cannot-be-read"),
    ],
)
def test_c38_a_correction_ends_what_waits_for_what_it_corrected(
    now: Json, generation: int, waiting: Json, ended: bool
) -> None:
    the_job = made_of(scheduled_job(**BAD_IMAGE))
    found = decided(the_job, [pod(waiting=waiting)], RELEASED, definition_of(now, generation))
    if not ended:
        assert found == Overdue(look_again=RELEASED + BOUND)
        return
    assert found.ending is not None
    assert found.ending.verdict is Verdict.FAILED
    assert found.ending.reason in (Reason.IMAGE_PULL, Reason.CONFIG_ERROR)
    assert found.ending.message.endswith("; ended because the definition was corrected in the meantime")


def test_an_unreadable_definition_has_the_default_bound() -> None:
    assert definition_of(scheduled_job(task=4, pendingTimeoutSeconds=5), 3) == Definition(PENDING, 3)


@pytest.mark.parametrize(
    ("state", "status", "expected"),
    [
        pytest.param({"waiting": NO_TAG}, "True", (Reason.IMAGE_PULL, "ImagePullBackOff: runner:1: no such tag"), id="C41-image"),
        pytest.param(
            {"waiting": {"reason": "ContainerCreating"}},
            "True",
            (None, "its image runner:1 was still being pulled, or its container made"),
            id="C41-slow-pull",
        ),
    ],
)  # fmt: skip
def test_c41_a_pod_that_goes_remembers_what_held_it_up(
    state: Json, status: str, expected: tuple[Reason | None, str]
) -> None:
    """In the order in which the kubelet writes it."""
    unknown = {
        "terminated": {"exitCode": 137, "reason": "ContainerStatusUnknown", "startedAt": None, "finishedAt": None}
    }
    known: Json | None = None
    for deleted, shown, ready in (
        (False, state, status),
        (True, state, status),
        (True, {"waiting": {"reason": "ContainerCreating"}}, "False"),
        (True, unknown, "False"),
    ):
        seen = pod(deleted=deleted)
        seen["status"]["containerStatuses"][0]["state"] = shown
        seen["status"]["conditions"] = [{"type": "PodReadyToStartContainers", "status": ready}]
        known = attempt.remembering(known, seen)
    assert known is not None
    assert (attempt.terminated(known), attempt.held_up(known)) == (None, expected)


@pytest.mark.parametrize(
    "known",
    [
        pytest.param(None, id="first-seen-so"),
        pytest.param(pod(running=True), id="it-ran"),
    ],
)
def test_a_pod_that_has_nothing_to_remember_is_as_it_is(known: Json | None) -> None:
    gone = pod(terminated={"exitCode": 143}, deleted=True)
    assert attempt.remembering(known, gone) is gone
