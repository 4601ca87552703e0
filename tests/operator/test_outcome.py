"""What became of a run: tables of Jobs and pods."""

import json
from typing import Any

import pytest
from cluster_objects import NOW, complete, failed, job, pod

from merp_crds import names
from merp_crds.reasons import Reason, RunState, Verdict
from merp_operator.observe import read_run
from merp_operator.outcome import Outcome, judge, vanished

Json = dict[str, Any]


CANCELLED = {names.ANNOTATION_ENDED: '{"verdict": "cancelled", "reason": "CancelledByUser", "by": "ann"}'}
# What the kubelet tells of a container whose command is not there.
NO_COMMAND = {
    "exitCode": 128,
    "reason": "StartError",
    "message": "exec: no such file",
    "startedAt": "1970-01-01T00:00:00Z",
}
# What the taint manager says of the pods of a node that does not answer any more.
UNREACHABLE = {
    "type": "DisruptionTarget",
    "status": "True",
    "reason": "DeletionByTaintManager",
    "message": "NoExecute taint",
}

POD_DEADLINE: Json = {
    "phase": "Failed",
    "reason": "DeadlineExceeded",
    "message": "Pod was active on the node longer than the specified deadline",
}
NEVER_RAN: Json = {
    "name": "task",
    "state": {"terminated": {"exitCode": 137, "reason": "ContainerStatusUnknown", "startedAt": None}},
}
SECOND_ATTEMPT = "2026-11-25T12:01:39Z"
LEAVING = (
    "its pod was told to end and has until 2026-11-25T12:00:08Z; if it is still there after that its node node1 may be "
    "lost: delete that node, or the pod by force"
)


def outcome_of(the_job: Json, *pods: Json) -> Outcome:
    return judge(read_run("j", the_job, list(pods)))


def refused(reason: str, message: str) -> Json:
    """A pod that the scheduler gave to a node which did not take it."""
    return pod(status={"phase": "Failed", "reason": reason, "message": message, "containerStatuses": []})


def report(**content: Any) -> str:
    return json.dumps({"v": 1, "func": "echo"} | content)


@pytest.mark.parametrize(
    ("the_job", "pods", "expected"),
    [
        pytest.param(job(status={}), [], (RunState.WAITING, None, "waiting for its pod"), id="no-pod-yet"),
        pytest.param(
            job(spec={"suspend": True}, status={"startTime": None}),
            [],
            (RunState.WAITING, None, "waiting to be released"),
            id="suspended",
        ),
        pytest.param(
            job(spec={"suspend": True}),
            [],
            (
                RunState.WAITING,
                None,
                "its Job was suspended by hand: it begins anew when somebody takes that back",
            ),
            id="suspended-by-hand",
        ),
        pytest.param(job(), [pod(running=True)], (RunState.RUNNING, None, ""), id="runs"),
        pytest.param(
            job(),
            [pod(waiting={"reason": "ImagePullBackOff", "message": "Back-off pulling"})],
            (RunState.WAITING, Reason.IMAGE_PULL, "ImagePullBackOff: runner:1: Back-off pulling"),
            id="C38-image-names-itself",
        ),
        pytest.param(
            job(),
            [pod(waiting={"reason": "CreateContainerConfigError", "message": 'secret "erp" not found'})],
            (RunState.WAITING, Reason.CONFIG_ERROR, 'CreateContainerConfigError: secret "erp" not found'),
            id="C38-secret-missing",
        ),
        pytest.param(
            job(),
            [
                pod(
                    status={
                        "conditions": [
                            {
                                "type": "PodScheduled",
                                "status": "False",
                                "reason": "Unschedulable",
                                "message": "0/1 nodes",
                            }
                        ],
                        "containerStatuses": [],
                    }
                )
            ],
            (RunState.WAITING, Reason.UNSCHEDULABLE, "no node takes it: 0/1 nodes"),
            id="C38-unschedulable",
        ),
        pytest.param(
            job(status=complete()),
            [pod(terminated={"exitCode": 0})],
            (Verdict.SUCCESS, Reason.COMPLETED, "completed"),
            id="success",
        ),
        pytest.param(
            job(status=complete()), [], (Verdict.SUCCESS, Reason.COMPLETED, "completed"), id="success-pod-gone"
        ),
        pytest.param(
            job(status=failed("BackoffLimitExceeded")),
            [pod(terminated={"exitCode": 3})],
            (Verdict.FAILED, Reason.EXIT_CODE, "exit code 3"),
            id="exit-code",
        ),
        pytest.param(
            job(status=failed("BackoffLimitExceeded")),
            [pod(terminated={"exitCode": 137, "reason": "OOMKilled"}, memory="64Mi")],
            (Verdict.FAILED, Reason.OUT_OF_MEMORY, "killed for lack of memory (limit 64Mi)"),
            id="out-of-memory-names-the-limit",
        ),
        pytest.param(
            job(status=failed("BackoffLimitExceeded")),
            [pod(terminated={"exitCode": 143}, deleted=True)],
            (Verdict.FAILED, Reason.POD_DELETED, "its pod was deleted while it ran (exit code 143)"),
            id="C35-pod-deleted",
        ),
        pytest.param(
            job(status=failed("BackoffLimitExceeded")),
            [pod(terminated={"exitCode": 139})],
            (Verdict.FAILED, Reason.SIGNAL, "ended by SIGSEGV (exit code 139)"),
            id="signal",
        ),
        pytest.param(
            job(status=failed("BackoffLimitExceeded")),
            [pod(terminated={"exitCode": 192})],
            (Verdict.FAILED, Reason.SIGNAL, "ended by SIGRTMAX (exit code 192)"),
            id="the-last-signal",
        ),
        pytest.param(
            job(status=failed("BackoffLimitExceeded")),
            [pod(terminated={"exitCode": 255})],
            (Verdict.FAILED, Reason.EXIT_CODE, "exit code 255"),
            id="no-signal-but-what-exit-minus-one-gives",
        ),
        pytest.param(
            job(status=failed("BackoffLimitExceeded")),
            [pod(terminated=NO_COMMAND)],
            (Verdict.FAILED, Reason.CONFIG_ERROR, "StartError: exec: no such file"),
            id="command-is-not-in-the-image",
        ),
        pytest.param(
            job(status=failed("DeadlineExceeded"), spec={"activeDeadlineSeconds": 30}),
            [pod(terminated=NO_COMMAND)],
            (
                Verdict.TIMEOUT,
                Reason.NEVER_STARTED,
                "its 30 s passed before the container had started: StartError: exec: no such file",
            ),
            id="command-is-not-in-the-image-until-its-time-was-over",
        ),
        pytest.param(
            job(status=failed("BackoffLimitExceeded")),
            [
                pod(
                    terminated={"exitCode": 143},
                    status={
                        "conditions": [
                            {
                                "type": "DisruptionTarget",
                                "status": "True",
                                "reason": "PreemptionByScheduler",
                                "message": "made room",
                            }
                        ]
                    },
                )
            ],
            (Verdict.FAILED, Reason.PREEMPTED, "PreemptionByScheduler: made room"),
            id="preempted",
        ),
        pytest.param(
            job(status=failed("BackoffLimitExceeded")),
            [pod(status={"reason": "Evicted", "message": "low on memory", "containerStatuses": []})],
            (Verdict.FAILED, Reason.EVICTED, "evicted: low on memory"),
            id="evicted",
        ),
        pytest.param(
            job(status=failed("BackoffLimitExceeded")),
            [pod(terminated={"exitCode": 143}, status=POD_DEADLINE)],
            (Verdict.TIMEOUT, Reason.DEADLINE, "its pod's own activeDeadlineSeconds passed (template.podTemplate)"),
            id="its-pods-own-deadline",
        ),
        pytest.param(
            job(status=failed("PodFailurePolicy")),
            [pod(terminated={"exitCode": 143}, status=POD_DEADLINE)],
            (Verdict.TIMEOUT, Reason.DEADLINE, "its pod's own activeDeadlineSeconds passed (template.podTemplate)"),
            id="its-pods-own-deadline-and-no-retry",
        ),
        pytest.param(
            job(status=failed("BackoffLimitExceeded")),
            [pod(waiting={"reason": "ErrImagePull", "message": "no such tag"}, status=POD_DEADLINE)],
            (
                Verdict.TIMEOUT,
                Reason.NEVER_STARTED,
                "its pod's own activeDeadlineSeconds passed before the container had started: "
                "ErrImagePull: runner:1: no such tag",
            ),
            id="its-pods-own-deadline-before-start",
        ),
        *(
            pytest.param(
                job(status=failed("BackoffLimitExceeded", "Job has reached the specified backoff limit")),
                [pod(status={"phase": "Failed", "reason": word, "message": text, "containerStatuses": statuses})],
                (Verdict.FAILED, Reason.UNSCHEDULABLE, f"its node did not take its pod: {word}: {text}"),
                id=f"refused-by-its-node-{word}-{len(statuses)}",
            )
            for statuses in ([], [NEVER_RAN])
            for word, text in (
                ("OutOfcpu", "Pod was rejected: Node didn't have enough resource: cpu, requested: 2"),
                ("NodeAffinity", "Pod was rejected: Predicate NodeAffinity failed"),
                ("UnexpectedAdmissionError", "Allocate failed due to no healthy devices present"),
            )
        ),
        pytest.param(
            job(status=failed("BackoffLimitExceeded")),
            [pod(status={"initContainerStatuses": [{"name": "fetch", "state": {"terminated": {"exitCode": 4}}}]})],
            (Verdict.FAILED, Reason.INIT_FAILED, "init container fetch ended with exit code 4"),
            id="init-container",
        ),
        pytest.param(
            job(status=failed("BackoffLimitExceeded")),
            [
                pod(
                    status={
                        "initContainerStatuses": [
                            {"name": "fetch", "state": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}}
                        ]
                    }
                )
            ],
            (
                Verdict.FAILED,
                Reason.OUT_OF_MEMORY,
                "init container fetch was killed for lack of memory (exit code 137)",
            ),
            id="init-container-out-of-memory",
        ),
        pytest.param(
            job(status=failed("BackoffLimitExceeded")),
            [pod(status={"initContainerStatuses": [{"name": "fetch", "state": {"terminated": NO_COMMAND}}]})],
            (Verdict.FAILED, Reason.CONFIG_ERROR, "init container fetch: StartError: exec: no such file"),
            id="init-container-without-its-command",
        ),
        pytest.param(
            job(status=failed("BackoffLimitExceeded", "Job has reached the specified backoff limit")),
            [refused("NodeShutdown", "Pod was rejected as the node is shutting down.")],
            (
                Verdict.FAILED,
                Reason.EVICTED,
                "NodeShutdown: Pod was rejected as the node is shutting down.",
            ),
            id="refused-by-a-node-that-shuts-down",
        ),
        pytest.param(
            job(status=failed("PodFailurePolicy", "Container task failed with exit code 42 matching FailJob rule")),
            [],
            (Verdict.FAILED, Reason.NOT_RETRIED, "Container task failed with exit code 42 matching FailJob rule"),
            id="C34-not-retried-and-its-pod-is-gone",
        ),
        pytest.param(
            job(),
            [pod(running=True, deleted=True, status={"conditions": [UNREACHABLE]})],
            (
                RunState.RUNNING,
                None,
                LEAVING.replace("end and", "end (DeletionByTaintManager: NoExecute taint) and"),
            ),
            id="on-a-node-that-does-not-answer",
        ),
        pytest.param(
            job(status=failed("BackoffLimitExceeded", "Job has reached the specified backoff limit")),
            [],
            (Verdict.FAILED, Reason.UNKNOWN, "Job has reached the specified backoff limit"),
            id="pod-gone",
        ),
        pytest.param(
            job(status=failed("PodFailurePolicy")),
            [pod(terminated={"exitCode": 2})],
            (Verdict.FAILED, Reason.BAD_PARAMETERS, "exit code 2; not retried by rule"),
            id="bad-parameters",
        ),
        pytest.param(
            job(status=failed("PodFailurePolicy")),
            [pod(terminated={"exitCode": 42})],
            (Verdict.FAILED, Reason.NOT_RETRIED, "exit code 42; not retried by rule"),
            id="C34-not-retried",
        ),
        pytest.param(
            job(status=failed("DeadlineExceeded"), spec={"activeDeadlineSeconds": 20}),
            [pod(terminated={"exitCode": 143})],
            (
                Verdict.TIMEOUT,
                Reason.DEADLINE,
                "not finished within 20 s, 2 s of which passed before the container had started",
            ),
            id="C29-timeout",
        ),
        pytest.param(
            job(status=failed("DeadlineExceeded"), spec={"activeDeadlineSeconds": 5}),
            [pod(waiting={"reason": "ErrImagePull", "message": "no such tag"})],
            (
                Verdict.TIMEOUT,
                Reason.NEVER_STARTED,
                "its 5 s passed before the container had started: ErrImagePull: runner:1: no such tag",
            ),
            id="C41-timeout-before-start",
        ),
        pytest.param(
            job(status=failed("DeadlineExceeded"), spec={"activeDeadlineSeconds": 120}),
            [
                pod("a", terminated={"exitCode": 1}),
                pod("b", terminated={"exitCode": 143, "startedAt": "2026-11-25T12:01:40Z"}, created=SECOND_ATTEMPT),
            ],
            (
                Verdict.TIMEOUT,
                Reason.DEADLINE,
                "not finished within 120 s, 2 s of which passed before the container had started",
            ),
            id="C41-timeout-of-a-second-attempt",
        ),
        pytest.param(
            job(status=failed("DeadlineExceeded"), spec={"activeDeadlineSeconds": 120}),
            [
                pod("a", terminated={"exitCode": 1}),
                pod("b", waiting={"reason": "ErrImagePull", "message": "no such tag"}, created=SECOND_ATTEMPT),
            ],
            (
                Verdict.TIMEOUT,
                Reason.DEADLINE,
                "not finished within 120 s, 2 s of which passed before the container had started; "
                "its last attempt had not started: ErrImagePull: runner:1: no such tag",
            ),
            id="C41-timeout-before-a-second-attempt-starts",
        ),
        pytest.param(
            job(status=failed("DeadlineExceeded") | {"failed": 2}, spec={"activeDeadlineSeconds": 600}),
            [pod("b", terminated={"exitCode": 143}, created="2026-11-25T12:05:00Z")],
            (Verdict.TIMEOUT, Reason.DEADLINE, "not finished within 600 s"),
            id="an-attempt-before-the-last-one-and-its-pod-is-gone",
        ),
        pytest.param(
            job(status=failed("DeadlineExceeded"), spec={"activeDeadlineSeconds": 5}),
            [],
            (Verdict.TIMEOUT, Reason.DEADLINE, "not finished within 5 s; its pod is gone"),
            id="C29-timeout-that-nobody-saw",
        ),
        pytest.param(
            job(status=failed("DeadlineExceeded") | {"failed": 0}, spec={"activeDeadlineSeconds": 5}),
            [],
            (Verdict.TIMEOUT, Reason.NEVER_STARTED, "its 5 s passed before the container had started"),
            id="C41-no-pod-was-ever-made",
        ),
        pytest.param(
            job(
                status=failed("DeadlineExceeded"),
                annotations=CANCELLED,
            ),
            [],
            (Verdict.CANCELLED, Reason.CANCELLED_BY_USER, "cancelled by ann"),
            id="C37-ended-by-somebody",
        ),
        pytest.param(
            job(annotations=CANCELLED),
            [pod(running=True)],
            (RunState.RUNNING, None, "being ended: cancelled by ann"),
            id="C37-its-pod-is-not-gone-yet",
        ),
        pytest.param(
            job(),
            [pod(running=True, deleted=True)],
            (RunState.RUNNING, None, LEAVING),
            id="its-pod-has-to-go",
        ),
        pytest.param(
            job(),
            [pod(waiting={"reason": "ContainerCreating"}, deleted=True)],
            (RunState.WAITING, None, f"its container is being started; {LEAVING}"),
            id="its-pod-has-to-go-before-it-started",
        ),
        pytest.param(
            job(annotations=CANCELLED),
            [pod(running=True, deleted=True)],
            (RunState.RUNNING, None, f"being ended: cancelled by ann; {LEAVING}"),
            id="C37-its-pod-has-to-go",
        ),
        pytest.param(
            job(status=failed("DeadlineExceeded"), spec={"activeDeadlineSeconds": 5}),
            [
                pod(
                    terminated={"exitCode": 137, "reason": "ContainerStatusUnknown", "startedAt": None},
                    deleted=True,
                )
            ],
            (
                Verdict.TIMEOUT,
                Reason.NEVER_STARTED,
                "its 5 s passed before the container had started: what it waited for is not known any more",
            ),
            id="C41-nobody-saw-what-it-waited-for",
        ),
        pytest.param(
            job(status=failed("BackoffLimitExceeded")),
            [pod(waiting={"reason": "ErrImagePull", "message": "no such tag"}, deleted=True)],
            (
                Verdict.FAILED,
                Reason.IMAGE_PULL,
                "its pod was deleted before its container had started: ErrImagePull: runner:1: no such tag",
            ),
            id="C35-deleted-while-it-waited",
        ),
        pytest.param(
            job(status=failed("BackoffLimitExceeded")),
            [
                pod(
                    status={
                        "containerStatuses": [
                            {"name": "proxy", "state": {"terminated": {"exitCode": 1}}},
                            {"name": "task", "state": {"terminated": {"exitCode": 0}}},
                        ]
                    }
                )
            ],
            (Verdict.FAILED, Reason.EXIT_CODE, "container proxy ended with exit code 1, the task's with 0"),
            id="C40-the-other-container-failed",
        ),
        pytest.param(
            job(status=failed("BackoffLimitExceeded")),
            [
                pod(
                    status={
                        "containerStatuses": [
                            {"name": "proxy", "state": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}},
                            {"name": "task", "state": {"terminated": {"exitCode": 0}}},
                        ]
                    }
                )
            ],
            (
                Verdict.FAILED,
                Reason.OUT_OF_MEMORY,
                "container proxy was killed for lack of memory (exit code 137), the task's with 0",
            ),
            id="C40-the-other-container-out-of-memory",
        ),
        pytest.param(
            job(
                status=failed("DeadlineExceeded"),
                annotations={
                    names.ANNOTATION_ENDED: json.dumps(
                        {"verdict": "failed", "reason": "ImagePull", "message": "m" * 5000, "terminated": "nonsense"}
                    )
                },
            ),
            [],
            (Verdict.FAILED, Reason.IMAGE_PULL, "m" * 1024),
            id="C38-ended-with-a-message-of-bounded-length",
        ),
        pytest.param(
            job(
                status=failed("DeadlineExceeded"),
                annotations={names.ANNOTATION_ENDED: "nonsense"},
                spec={"activeDeadlineSeconds": 5},
            ),
            [],
            (Verdict.TIMEOUT, Reason.DEADLINE, "not finished within 5 s; its pod is gone"),
            id="nonsense-in-the-annotation-is-ignored",
        ),
        pytest.param(
            job(
                status=failed("DeadlineExceeded"),
                annotations={names.ANNOTATION_ENDED: "[" * 5000},
                spec={"activeDeadlineSeconds": 5},
            ),
            [],
            (Verdict.TIMEOUT, Reason.DEADLINE, "not finished within 5 s; its pod is gone"),
            id="so-is-what-is-nested-too-deeply",
        ),
    ],
)
def test_state_or_verdict(the_job: Json, pods: list[Json], expected: tuple[object, object, str]) -> None:
    outcome = outcome_of(the_job, *pods)
    assert (outcome.status, outcome.reason, outcome.message) == expected


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        pytest.param(report(result={"rows": 3, "名": "库"}), '{"rows": 3, "名": "库"}', id="runners-result"),
        pytest.param(report(result=None), "null", id="result-null"),
        pytest.param(report(), None, id="no-result"),
        pytest.param("plain text", '"plain text"', id="another-images-text"),
        pytest.param("", None, id="nothing-said"),
        pytest.param(
            '{"v": 1, "result": {"a": [1',
            '"{\\"v\\": 1, \\"result\\": {\\"a\\": [1"',
            id="C31-cut-json-is-text-not-fact",
        ),
    ],
)
def test_result_of_a_success(message: str, expected: str | None) -> None:
    outcome = outcome_of(job(status=complete()), pod(terminated={"exitCode": 0, "message": message}))
    assert (outcome.status, outcome.result, outcome.error) == (Verdict.SUCCESS, expected, None)


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        pytest.param(
            report(error={"type": "ValueError", "message": "boom", "traceback": "Traceback…"}),
            "exit code 1\nValueError: boom\nTraceback…",
            id="runners-error",
        ),
        pytest.param("last line of the log", "exit code 1\nlast line of the log", id="another-images-text"),
        pytest.param("", "exit code 1", id="nothing-said"),
    ],
)
def test_error_of_a_failure(message: str, expected: str) -> None:
    outcome = outcome_of(
        job(status=failed("BackoffLimitExceeded")), pod(terminated={"exitCode": 1, "message": message})
    )
    assert (outcome.result, outcome.error) == (None, expected)


def test_c29_a_failed_job_has_an_end_though_it_has_no_completion_time() -> None:
    outcome = outcome_of(job(status=failed("BackoffLimitExceeded")), pod(terminated={"exitCode": 1}))
    assert outcome.end_time is not None
    assert outcome.end_time.isoformat() == "2026-11-25T12:00:09+00:00"
    assert outcome.end_time > outcome.start_time


@pytest.mark.parametrize(
    ("the_job", "end"),
    [
        pytest.param(job(status=failed("BackoffLimitExceeded")), "12:00:09", id="failed-with-its-container"),
        pytest.param(
            job(status=failed("DeadlineExceeded"), annotations=CANCELLED),
            "12:00:20",
            id="C37-cancelled-after-an-attempt",
        ),
        pytest.param(
            job(status=failed("DeadlineExceeded"), spec={"activeDeadlineSeconds": 20}),
            "12:00:20",
            id="C29-its-time-was-over-after-an-attempt",
        ),
        pytest.param(
            job(
                status=failed("DeadlineExceeded"),
                annotations={
                    names.ANNOTATION_ENDED: json.dumps(
                        {"verdict": "success", "reason": "Completed", "terminated": {"exitCode": 0}}
                    )
                },
            ),
            "12:00:09",
            id="ended-because-its-container-had",
        ),
    ],
)
def test_when_a_run_ended(the_job: Json, end: str) -> None:
    outcome = outcome_of(the_job, pod(terminated={"exitCode": 1}))
    assert outcome.end_time is not None
    assert outcome.end_time.strftime("%H:%M:%S") == end


def test_attempts_are_counted_and_told_each() -> None:
    first = pod("a", terminated={"exitCode": 1}, created="2026-11-25T12:00:01Z")
    second = pod("b", terminated={"exitCode": 0}, created="2026-11-25T12:00:05Z")
    outcome = outcome_of(job(status=complete() | {"failed": 1}), second, first)
    assert outcome.attempts == 2
    assert [(entry["pod"], entry["exitCode"], entry.get("reason")) for entry in outcome.attempt_details] == [
        ("a", 1, "ExitCode"),
        ("b", 0, None),
    ]
    assert (outcome.node, outcome.image, outcome.waited_seconds) == ("node1", "runner:1", 1.0)


@pytest.mark.parametrize(
    ("the_job", "owner_gone", "expected"),
    [
        pytest.param(job(), False, (Verdict.CANCELLED, Reason.JOB_DELETED), id="C19-deleted-by-hand"),
        pytest.param(job(), True, (Verdict.CANCELLED, Reason.SCHEDULED_JOB_DELETED), id="C50-with-its-scheduled-job"),
        pytest.param(job(status=complete()), True, (Verdict.SUCCESS, Reason.COMPLETED), id="finished-before"),
        pytest.param(
            job(annotations={names.ANNOTATION_ENDED: '{"verdict": "failed", "reason": "ImagePull"}'}),
            True,
            (Verdict.FAILED, Reason.IMAGE_PULL),
            id="C38-ended-before",
        ),
    ],
)
def test_a_job_that_is_gone(the_job: Json, owner_gone: bool, expected: tuple[object, object]) -> None:
    outcome = vanished(read_run("j", the_job, []), owner_gone=owner_gone, now=NOW)
    assert (outcome.status, outcome.reason) == expected
    assert outcome.end_time is not None


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        pytest.param(None, Reason.INIT_FAILED, id="an-init-container-that-has-to-end"),
        pytest.param("Always", Reason.EXIT_CODE, id="C40-a-native-sidecar-ends-with-its-pod"),
    ],
)
def test_which_containers_exit_code_counts(policy: str | None, expected: Reason) -> None:
    the_pod = pod(terminated={"exitCode": 1})
    the_pod["spec"]["initContainers"] = [{"name": "proxy"} | ({} if policy is None else {"restartPolicy": policy})]
    the_pod["status"]["initContainerStatuses"] = [{"name": "proxy", "state": {"terminated": {"exitCode": 143}}}]
    assert outcome_of(job(status=failed("BackoffLimitExceeded")), the_pod).reason is expected


@pytest.mark.parametrize(
    "terminated",
    [
        pytest.param({"exitCode": 0, "finishedAt": "yesterday"}, id="an-end-that-is-no-time"),
        pytest.param({"exitCode": 0, "finishedAt": 5}, id="an-end-that-is-no-text"),
        pytest.param({"exitCode": 0, "message": 5}, id="a-message-that-is-no-text"),
        pytest.param({"exitCode": 10**30}, id="an-exit-code-that-no-record-holds"),
    ],
)
def test_what_somebody_wrote_of_a_container_is_not_taken_for_what_the_kubelet_told(terminated: Json) -> None:
    """Whoever may patch Jobs can write that, and a run that cannot be judged would hold up all runs of its job."""
    told = json.dumps({"verdict": "failed", "reason": "ImagePull", "terminated": terminated})
    outcome = outcome_of(job(status=failed("DeadlineExceeded"), annotations={names.ANNOTATION_ENDED: told}))
    assert (outcome.status, outcome.reason, outcome.exit_code) == (Verdict.FAILED, Reason.IMAGE_PULL, None)


@pytest.mark.parametrize("depth", [500, 980, 1000, 4096])
def test_what_is_nested_too_deeply_is_text(depth: int) -> None:
    """An image without our runner may say anything."""
    message = "[" * (depth // 2) + "]" * (depth // 2) if depth < 4096 else "[" * depth
    outcome = outcome_of(job(status=complete()), pod(terminated={"exitCode": 0, "message": message}))
    assert outcome.status is Verdict.SUCCESS
    failure = outcome_of(
        job(status=failed("BackoffLimitExceeded")), pod(terminated={"exitCode": 1, "message": message})
    )
    assert (failure.status, failure.error) == (Verdict.FAILED, f"exit code 1\n{message}")


@pytest.mark.parametrize("depth", range(700, 1000, 20))
def test_a_result_that_is_nested_deeply_is_read_or_it_is_none(depth: int) -> None:
    message = f'{{"v": 1, "result": {"[" * depth}{"]" * depth}}}'
    assert outcome_of(job(status=complete()), pod(terminated={"exitCode": 0, "message": message})).ended


def test_no_run_ends_before_it_started() -> None:
    """The clock of its node is behind."""
    ended = pod(terminated={"exitCode": 1, "finishedAt": "2026-11-25T11:00:00Z"})
    outcome = outcome_of(job(status=failed("BackoffLimitExceeded")), ended)
    assert outcome.end_time == outcome.start_time


@pytest.mark.parametrize(
    ("status", "pods"),
    [
        pytest.param(complete(), [], id="success"),
        pytest.param(failed("BackoffLimitExceeded"), [], id="failure-pod-gone"),
        pytest.param(failed("BackoffLimitExceeded"), [pod(terminated={"exitCode": 1})], id="failure"),
        pytest.param(failed("DeadlineExceeded"), [pod(running=True)], id="timeout"),
    ],
)
def test_no_run_ends_before_it_started_by_another_clock(status: Json, pods: list[Json]) -> None:
    """Start and end may be told by two controller managers, one after the other, whose clocks differ."""
    outcome = outcome_of(job(status={"startTime": "2026-11-25T12:01:00Z"} | status), *pods)
    assert outcome.ended
    assert outcome.end_time == outcome.start_time


def test_a_container_that_could_not_start_has_no_start_and_says_nothing_itself() -> None:
    ending = outcome_of(job(status=failed("BackoffLimitExceeded")), pod(terminated=NO_COMMAND))
    assert ending.error == "StartError: exec: no such file"
    [told] = ending.attempt_details
    assert "startedAt" not in told
    assert (told["exitCode"], told["reason"]) == (128, "ConfigError")
