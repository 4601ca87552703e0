"""How runs end on a real cluster: what cannot start, what cannot end, what is taken away, and what is not tried again."""

import json
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from kube import Kube
from operator_process import OperatorProcess
from records_file import dicts

from merp_cluster.cluster import Cluster
from merp_cluster.errors import ClusterError

pytestmark = pytest.mark.cluster

Json = dict[str, Any]
# Nothing listens there, so the refusal is at hand at once.
NO_IMAGE = "127.0.0.1:9/erp/runner:no-such-tag"
ENDED = "scheduler.merp.io/ended"


def scheduled_job(image: str, *, func: str = "echo_args", args: list[Any] | None = None, **spec: Any) -> Json:
    """The ScheduledJob j, not due for years."""
    wanted = {
        "schedule": {"cron": "0 0 1 1 *"},
        "task": {"func": func, "args": args or []},
        "template": {"image": image},
    }
    return {
        "apiVersion": "scheduler.merp.io/v1",
        "kind": "ScheduledJob",
        "metadata": {"name": "j"},
        "spec": wanted | spec,
    }


def with_pod(image: str, **pod: Any) -> Json:
    return {"image": image, "podTemplate": {"spec": pod}}


def ask(kube: Kube, name: str = "once") -> None:
    """Ask for a run."""
    body = {
        "apiVersion": "scheduler.merp.io/v1",
        "kind": "JobRun",
        "metadata": {"name": name},
        "spec": {"scheduledJob": "j"},
    }
    kube.apply(body)


def limit(kube: Kube, seconds: int | None) -> None:
    """Let a run's pod have so long to start, from now on; None is as long as anybody's."""
    kube.kubectl("patch", "sj", "j", "--type=merge", "-p", json.dumps({"spec": {"pendingTimeoutSeconds": seconds}}))


def until_event(kube: Kube, reason: str, named: str) -> None:
    """Wait until Kubernetes has told of that."""

    def told() -> bool:
        return any(found["reason"] == reason and named in found["message"] for found in kube.list("events"))

    kube.until(f"it is told: {reason}: {named}", told)


def verdict(kube: Kube, name: str = "once") -> Json:
    return kube.until(f"{name} has a verdict", lambda: kube.verdict(name))


def run_name(kube: Kube, name: str = "once") -> str:
    def look() -> str | None:
        return ((kube.get("jobruns", name) or {}).get("status") or {}).get("run")

    return kube.until("it is a run", look)


def working(kube: Kube) -> Json:
    """The pod, once its task is at work."""

    def look() -> Json | None:
        return next((pod for pod in kube.list("pods") if pod["status"].get("phase") == "Running"), None)

    return kube.until("its task is at work", look)


def record(process: OperatorProcess, kube: Kube) -> Json:
    """The only record, once it has a verdict."""

    def look() -> Json | None:
        found = dicts(process.database, "SELECT * FROM job_executions WHERE end_time IS NOT NULL")
        return found[0] if len(found) == 1 else None

    found = kube.until("the record", look)
    for name in ("attempt_details", "reason_params", "result"):
        found[name] = None if found[name] is None else json.loads(found[name])
    return found


def waits_for(kube: Kube) -> str:
    """What the condition Waiting says of the run."""
    found = kube.condition("j", "Waiting")
    return "" if found is None or found["status"] != "True" else str(found["message"])


@pytest.mark.parametrize(
    ("template", "told", "reason", "named"),
    [
        pytest.param({"image": NO_IMAGE}, "ErrImagePull", "ImagePull", NO_IMAGE, id="C38-image"),
        pytest.param(
            {"env": [{"name": "URL", "valueFrom": {"secretKeyRef": {"name": "erp-database", "key": "url"}}}]},
            "CreateContainerConfigError",
            "ConfigError",
            'secret "erp-database" not found',
            id="C38-secret",
        ),
        pytest.param(
            {"resources": {"requests": {"cpu": "4000"}}},
            "no node takes it",
            "Unschedulable",
            "Insufficient cpu",
            id="C38-room",
        ),
        pytest.param(
            {
                "volumes": [{"name": "rates", "configMap": {"name": "exchange-rates"}}],
                "volumeMounts": [{"name": "rates", "mountPath": "/rates"}],
            },
            "being started",
            "ConfigError",
            'configmap "exchange-rates" not found',
            id="C38-volume",
        ),
    ],
)
def test_c38_what_cannot_start_is_told_and_then_ended(
    kube: Kube,
    operator: OperatorProcess,
    task_image: str,
    template: Json,
    told: str,
    reason: str,
    named: str,
) -> None:
    kube.apply(scheduled_job(task_image, template={"image": task_image} | template))
    ask(kube)
    kube.until("the condition says what it waits for", lambda: told in waits_for(kube))
    if "volumes" in template:
        until_event(kube, "FailedMount", named)
    # Not from the beginning: how soon a busy node says what it lacks is its own affair.
    limit(kube, 8)
    found = verdict(kube)
    assert (found["verdict"], found["reason"]) == ("failed", reason)
    row = record(operator, kube)
    assert row["reason_params"]["message"].startswith("not started within 8 s (pendingTimeoutSeconds): ")
    assert named in row["reason_params"]["message"]
    assert (row["reason"], row["exit_code"], row["attempts"]) == (reason, None, 1)
    # Under Forbid the next run is not held back, and nothing was deleted by hand.
    kube.apply(scheduled_job(task_image))
    limit(kube, None)
    kube.until("the correction arrives", lambda: kube.condition("j", "Ready"))
    ask(kube, "again")
    assert verdict(kube, "again")["verdict"] == "success"


def test_a_run_that_gets_no_pod_is_ended(kube: Kube, operator: OperatorProcess, task_image: str) -> None:
    kube.kubectl("create", "quota", "none", "--hard=pods=0")
    # Before its status is made a quota refuses pods too, and for another reason.
    kube.kubectl("wait", "quota/none", "--for=jsonpath={.status.hard.pods}=0", "--timeout=300s")
    kube.apply(scheduled_job(task_image))
    ask(kube)
    until_event(kube, "FailedCreate", "exceeded quota: none")
    limit(kube, 3)
    found = verdict(kube)
    assert (found["verdict"], found["reason"]) == ("failed", "StartRefused")
    assert "exceeded quota: none" in found["message"]
    assert record(operator, kube)["attempts"] == 0


def test_c38_a_correction_ends_what_waits_for_the_wrong_image(
    kube: Kube, operator: OperatorProcess, task_image: str
) -> None:
    kube.apply(scheduled_job(NO_IMAGE))
    ask(kube)
    kube.until("the condition names the image", lambda: NO_IMAGE in waits_for(kube))
    kube.kubectl("patch", "sj", "j", "--type=merge", "-p", '{"spec":{"description":"an edit of something else"}}')
    kube.until("the edit is seen", lambda: NO_IMAGE in waits_for(kube))
    assert kube.verdict("once") is None
    kube.kubectl("patch", "sj", "j", "--type=merge", "-p", json.dumps({"spec": {"template": {"image": task_image}}}))
    found = verdict(kube)
    assert (found["verdict"], found["reason"]) == ("failed", "ImagePull")
    assert NO_IMAGE in found["message"]
    assert found["message"].endswith("ended because the definition was corrected in the meantime")
    ask(kube, "again")
    assert verdict(kube, "again")["verdict"] == "success"


def test_what_starts_in_time_is_not_touched(kube: Kube, operator: OperatorProcess, task_image: str) -> None:
    kube.apply(scheduled_job(task_image, func="sleep_for", args=[35]))
    ask(kube)
    working(kube)
    # Not from the beginning: how soon a busy node starts a pod is its own affair. It works for longer than that from now on.
    limit(kube, 3)
    kube.until("the limit is seen", lambda: kube.condition("j", "Ready"))
    assert verdict(kube)["verdict"] == "success"
    assert record(operator, kube)["result"] == {"slept": 35}


@pytest.mark.parametrize(
    ("func", "args", "expected", "result"),
    [
        pytest.param("echo_args", ["ok"], ("success", "Completed", 0), {"args": ["ok"], "kwargs": {}}, id="C40-success"),
        pytest.param("fail_with", ["boom"], ("failed", "ExitCode", 1), None, id="C40-failure"),
    ],
)  # fmt: skip
def test_c40_a_container_that_never_ends_does_not_hide_how_the_task_ended(
    kube: Kube,
    operator: OperatorProcess,
    task_image: str,
    func: str,
    args: list[Any],
    expected: tuple[str, str, int],
    result: Json | None,
) -> None:
    proxy = {"name": "proxy", "image": task_image, "command": ["sleep", "infinity"]}
    template = with_pod(task_image, containers=[proxy], terminationGracePeriodSeconds=2)
    kube.apply(
        scheduled_job(task_image, func=func, args=args, template=template, timeoutSeconds=300, retry={"limit": 1})
    )
    ask(kube)
    name = run_name(kube)

    def ended() -> Json | None:
        found = kube.get("jobs", name)
        return found if found is not None and ENDED in (found["metadata"].get("annotations") or {}) else None

    kube.until("the operator ends it", ended)
    # Killed before it could read what the task said; the pod that said it is gone when the next one comes.
    operator.kill()
    kube.until("the pod is gone", lambda: not kube.list("pods"))
    operator.start()
    found = verdict(kube)
    assert (found["verdict"], found["reason"]) == expected[:2]
    assert "container proxy was still running 30 s later" in found["message"]
    row = record(operator, kube)
    assert (row["status"], row["reason"], row["exit_code"]) == expected
    assert (row["result"], row["attempts"]) == (result, 1)
    assert (row["error"] is None) == (result is not None)
    assert result is not None or "RuntimeError: boom" in row["error"]
    assert result is not None or "without another attempt" in row["error"]


def test_c40_a_native_sidecar_keeps_nothing_alive(kube: Kube, operator: OperatorProcess, task_image: str) -> None:
    sidecar = {"name": "proxy", "image": task_image, "command": ["sleep", "infinity"], "restartPolicy": "Always"}
    template = with_pod(task_image, initContainers=[sidecar], terminationGracePeriodSeconds=2)
    kube.apply(scheduled_job(task_image, args=["ok"], template=template))
    ask(kube)
    found = verdict(kube)
    # One that had to be ended says so.
    assert (found["verdict"], found["reason"], found["message"]) == ("success", "Completed", "completed")
    kube.apply(scheduled_job(task_image, func="fail_with", args=["boom"], template=template))
    kube.until("the edit arrives", lambda: kube.condition("j", "Ready"))
    ask(kube, "again")
    found = verdict(kube, "again")
    # How the sidecar was stopped is nobody's business.
    assert (found["verdict"], found["reason"], found["message"]) == ("failed", "ExitCode", "exit code 1")


@pytest.fixture
def silent_registry(cluster: Cluster) -> Iterator[str]:
    """The address of a registry that takes every request and never answers."""
    # The node has a network of its own, so its own loopback leads nowhere.
    with socket.create_server((cluster.layout.host_ip, 0)) as server:
        yield f"{cluster.layout.host_ip}:{server.getsockname()[1]}"


def test_c41_a_timeout_in_the_pull_says_that_the_task_never_started(
    kube: Kube, operator: OperatorProcess, silent_registry: str
) -> None:
    image = f"{silent_registry}/erp/runner:7"
    kube.apply(scheduled_job(image, timeoutSeconds=3600))
    ask(kube)
    kube.until("its pod has a node", lambda: any(pod["spec"].get("nodeName") for pod in kube.list("pods")))
    # Not from the beginning: a busy machine may need longer until there is a pod that waits for its image.
    kube.kubectl("patch", "job", run_name(kube), "--type=merge", "-p", '{"spec":{"activeDeadlineSeconds":5}}')
    found = verdict(kube)
    assert (found["verdict"], found["reason"]) == ("timeout", "DeadlineBeforeStart")
    assert found["message"] == (
        "its 5 s passed before the container had started: its volumes or its network were still being set up,"
        f" or its image {image} pulled"
    )
    assert record(operator, kube)["exit_code"] is None


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        pytest.param({"timeoutSeconds": 0}, "timeoutSeconds", id="C41-B"),
        pytest.param({"timeoutSeconds": -1}, "timeoutSeconds", id="C41-C"),
        pytest.param({"timeoutSeconds": "60"}, "timeoutSeconds", id="C41-text"),
        pytest.param({"timeoutSeconds": 1.5}, "timeoutSeconds", id="C41-fraction"),
        pytest.param({"pendingTimeoutSeconds": 0}, "pendingTimeoutSeconds", id="pending-0"),
        pytest.param({"retry": {"limit": 3, "noRetryExitCodes": [42, 3, 42, 0]}}, "noRetryExitCodes", id="C34-A-0"),
        pytest.param({"retry": {"noRetryExitCodes": [256]}}, "noRetryExitCodes", id="C34-256"),
    ],
)
def test_what_is_refused_at_the_door(kube: Kube, definitions: None, spec: Json, field: str) -> None:
    with pytest.raises(ClusterError, match=field):
        kube.apply(scheduled_job("runner:1", **spec))
    assert kube.list("scheduledjobs") == []


def test_c34_repeats_and_their_order_do_not_matter(kube: Kube, operator: OperatorProcess, task_image: str) -> None:
    kube.apply(
        scheduled_job(
            task_image, func="fail_with", args=["no", 42], retry={"limit": 3, "noRetryExitCodes": [42, 3, 42]}
        )
    )
    ask(kube)
    found = verdict(kube)
    assert (found["verdict"], found["reason"]) == ("failed", "NotRetriedByRule")
    assert found["message"] == "exit code 42; not retried by rule"
    row = record(operator, kube)
    assert (row["exit_code"], row["attempts"]) == (42, 1)


def test_c34_another_restart_policy_is_told(kube: Kube, operator: OperatorProcess, task_image: str) -> None:
    template = with_pod(task_image, restartPolicy="OnFailure")
    kube.apply(scheduled_job(task_image, template=template, retry={"limit": 3, "noRetryExitCodes": [3, 42]}))

    def told() -> Json | None:
        found = kube.condition("j", "Ready")
        return found if found is not None and found["status"] == "False" else None

    found = kube.until("the condition says so", told)
    assert found["reason"] == "InvalidTemplate"
    assert found["message"].startswith("template.podTemplate.spec.restartPolicy: OnFailure")
    assert kube.list("cronjobs") == []


def test_c35_a_deleted_pod_is_a_failed_attempt(kube: Kube, operator: OperatorProcess, task_image: str) -> None:
    kube.apply(scheduled_job(task_image, func="sleep_for", args=[600]))
    ask(kube)
    kube.kubectl("delete", "pod", working(kube)["metadata"]["name"], "--wait=false")
    found = verdict(kube)
    assert (found["verdict"], found["reason"]) == ("failed", "PodDeleted")
    row = record(operator, kube)
    assert (row["attempts"], row["result"]) == (1, None)
    assert "its pod was deleted while it ran" in row["error"]


def test_c35_with_a_retry_it_is_tried_again_under_the_same_record(
    kube: Kube, operator: OperatorProcess, task_image: str
) -> None:
    kube.apply(scheduled_job(task_image, func="sleep_for", args=[30], retry={"limit": 1}))
    ask(kube)
    kube.kubectl("delete", "pod", working(kube)["metadata"]["name"], "--wait=false")
    assert verdict(kube)["verdict"] == "success"
    row = record(operator, kube)
    assert (row["attempts"], row["result"]) == (2, {"slept": 30})
    assert [entry.get("reason") for entry in row["attempt_details"]] == ["PodDeleted", None]


def evict(kube: Kube, pod: Json) -> None:
    """As `kubectl drain` does it."""
    path = f"/api/v1/namespaces/{kube.namespace}/pods/{pod['metadata']['name']}/eviction"
    body = {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": pod["metadata"]["name"], "namespace": kube.namespace},
    }
    kube.kubectl("create", "--raw", path, "-f", "-", stdin=json.dumps(body))


@pytest.mark.parametrize("limit", [0, 1])
def test_c35_an_evicted_pod_does_not_use_up_a_retry(
    kube: Kube, operator: OperatorProcess, task_image: str, limit: int
) -> None:
    kube.apply(scheduled_job(task_image, func="sleep_for", args=[30], retry={"limit": limit}))
    ask(kube)
    evict(kube, working(kube))
    assert verdict(kube)["verdict"] == "success"
    row = record(operator, kube)
    assert (row["attempts"], row["result"]) == (2, {"slept": 30})
    assert [entry.get("reason") for entry in row["attempt_details"]] == ["Evicted", None]


def test_c35_a_drained_node_gives_the_run_back(kube: Kube, operator: OperatorProcess, task_image: str) -> None:
    """The only node there is: until it is back the run waits, and says for what."""
    kube.apply(scheduled_job(task_image, func="sleep_for", args=[30], pendingTimeoutSeconds=1200))
    ask(kube)
    node = working(kube)["spec"]["nodeName"]
    selector = "scheduler.merp.io/scheduled-job=j"
    try:
        kube.kubectl("drain", node, f"--pod-selector={selector}", "--timeout=300s")
        kube.until("the condition says that there is no node", lambda: "no node takes it" in waits_for(kube))
    finally:
        kube.kubectl("uncordon", node)
    assert verdict(kube)["verdict"] == "success"
    assert record(operator, kube)["attempts"] == 2
