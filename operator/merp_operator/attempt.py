"""One attempt of a run: what its pod says of it. Pure."""

import signal
from datetime import datetime
from typing import Final

from merp_crds.common import parse_rfc3339
from merp_crds.reasons import Reason
from merp_operator.observe import Json, condition

# The name of the task's container; any other one of the pod is beside it.
TASK: Final = "task"
# A shell's way to tell that signal N ended a process is exit code 128 + N.
_SIGNAL_BASE: Final = 128
# Linux has no more; what is above (255, as `exit -1` and ssh give it) a program chose itself.
_LAST_SIGNAL: Final = 64
_PULL_REASONS: Final = frozenset({"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"})
_CONFIG_REASONS: Final = frozenset({"CreateContainerConfigError", "CreateContainerError", "RunContainerError"})
# What ends a container whose process the runtime could not make; its start is then told to be 1970.
_START_FAILED: Final = frozenset({"StartError", "ContainerCannotRun"})
# What the kubelet writes of a container that it had nothing to tell of when the pod went.
_NOTHING_KNOWN: Final = "ContainerStatusUnknown"
# What it adds where it once saw the container run, as on a node that came back.
_ONCE_RAN: Final = "used to be Running"
# What a pod says of how far it had come before it began to go.
_PROGRESS: Final = frozenset({"PodScheduled", "PodReadyToStartContainers"})


def started_at(pod: Json) -> datetime | None:
    """When the task's container started; None if it never did."""
    entry = _task_status(pod)
    if entry is None:
        return None
    state = entry.get("state") or {}
    at = (state.get("running") or state.get("terminated") or {}).get("startedAt")
    return parse_rfc3339(at) if at and not could_not_start(state.get("terminated")) else None


def could_not_start(ended: Json | None) -> bool:
    """Whether a container ended because its process could not be made: what it says is then the runtime's word."""
    return ended is not None and ended.get("reason") in _START_FAILED


def terminated(pod: Json | None) -> Json | None:
    """How the task's container ended, as the kubelet tells it; None if it has not, or never started."""
    entry = None if pod is None else _task_status(pod)
    if entry is None:
        return None
    ended: Json | None = (entry.get("state") or {}).get("terminated")
    return None if ended is not None and _never_ran(ended) else ended


def waiting(pod: Json) -> tuple[Reason | None, str]:
    """What a pod that has not started waits for."""
    for entry in [*_statuses(pod, "init"), *_statuses(pod, "container")]:
        held = (entry.get("state") or {}).get("waiting") or {}
        word, text = held.get("reason", ""), held.get("message") or ""
        if word in _PULL_REASONS:
            return Reason.IMAGE_PULL, f"{word}: {entry.get('image') or _image(pod)}: {text}".rstrip(": ")
        if word in _CONFIG_REASONS:
            return Reason.CONFIG_ERROR, f"{word}: {text}".rstrip(": ")
    for entry in (pod.get("status") or {}).get("conditions") or []:
        if entry["type"] == "PodScheduled" and entry["status"] == "False":
            return Reason.UNSCHEDULABLE, f"no node takes it: {entry.get('message') or entry.get('reason')}"
    return None, "its container is being started"


def held_up(pod: Json) -> tuple[Reason | None, str]:
    """The same of a pod that has had time enough: where Kubernetes names no cause, how far the pod had come."""
    reason, message = waiting(pod)
    if reason is not None:
        return reason, message
    if not pod["spec"].get("nodeName"):
        return None, "no scheduler has taken it up"
    ended = ((_task_status(pod) or {}).get("state") or {}).get("terminated")
    if ended and could_not_start(ended):
        return _ended(pod, ended, deleted=False)
    if ended:
        return None, "what it waited for is not known any more"
    image = (_task_status(pod) or {}).get("image") or _image(pod)
    if condition(pod, "PodReadyToStartContainers") is not None:
        return None, f"its image {image} was still being pulled, or its container made"
    # The kubelet says nothing new of a pod during its first pull, so that this looks like a volume that is missing.
    mounted = _mounted(pod)
    volumes = f" ({', '.join(mounted)})" if mounted else ""
    return None, f"its volumes{volumes} or its network were still being set up, or its image {image} pulled"


def working_init(pod: Json) -> bool:
    """Whether an init container that has to end is at work: the pod has started, though the task has not."""
    return any((entry.get("state") or {}).get("running") for entry in _ordinary_init(pod))


def init_ended_at(pod: Json) -> datetime | None:
    """When the last init container that had to end did so."""
    ends = [((entry.get("state") or {}).get("terminated") or {}).get("finishedAt") for entry in _ordinary_init(pod)]
    return max((parse_rfc3339(at) for at in ends if at), default=None)


def companions(pod: Json) -> list[str]:
    """Plain containers beside the task's that have not ended, each with what it does."""
    if all(entry["name"] != TASK for entry in pod["spec"].get("containers") or []):
        return []
    told = []
    for entry in _statuses(pod, "container"):
        state = entry.get("state") or {}
        if entry["name"] == TASK or state.get("terminated"):
            continue
        held = (state.get("waiting") or {}).get("reason")
        told.append(f"container {entry['name']} {'was still running' if held is None else f'had not started ({held})'}")
    return told


def diagnose(pod: Json) -> tuple[Reason, str] | None:
    """Why a pod failed: what Kubernetes did to it first, then how its container ended."""
    status = pod.get("status") or {}
    if status.get("reason") == "Evicted":
        return Reason.EVICTED, f"evicted: {status.get('message') or 'the node ran short'}"
    disruption = condition(pod, "DisruptionTarget")
    if disruption is not None:
        return _disrupted(disruption)
    init = next((entry for entry in _ordinary_init(pod) if _failed(entry)), None)
    if init is not None:
        return Reason.INIT_FAILED, f"init container {init['name']} ended with exit code {_code(init)}"
    deleted = bool(pod["metadata"].get("deletionTimestamp"))
    ended = terminated(pod)
    if ended is not None:
        return _ended(pod, ended, deleted)
    reason, message = held_up(pod) if deleted else waiting(pod)
    if deleted:
        return reason or Reason.POD_DELETED, f"its pod was deleted before its container had started: {message}"
    return None if reason is None else (reason, message)


def has_failed(pod: Json) -> bool:
    """Whether the task's container worked and failed, or is being ended: what it said last may tell why."""
    ended = terminated(pod)
    if ended is not None:
        return bool(ended["exitCode"] != 0)
    return started_at(pod) is not None and bool(pod["metadata"].get("deletionTimestamp"))


def details(pod: Json) -> Json:
    """What a record keeps of one attempt."""
    ended = terminated(pod)
    began = started_at(pod)
    reason = None if ended is not None and ended["exitCode"] == 0 else diagnose(pod)
    told = {
        "pod": pod["metadata"]["name"],
        "node": pod["spec"].get("nodeName"),
        "startedAt": None if began is None else began.isoformat(),
        "finishedAt": None if ended is None else ended.get("finishedAt"),
        "exitCode": None if ended is None else ended["exitCode"],
        "signal": None if ended is None else _signal_of(ended["exitCode"]),
        "reason": None if reason is None else reason[0].value,
        "message": None if reason is None else reason[1],
    }
    return {key: value for key, value in told.items() if value is not None}


def remembering(known: Json | None, pod: Json) -> Json:
    """A pod as it is now, with what it said before it began to go.

    A pod that is deleted before its container started forgets what held it up: the kubelet writes ContainerCreating
    over it, and in the end exit code 137 of a container that never was.
    """
    if known is None or not pod["metadata"].get("deletionTimestamp"):
        return pod
    if started_at(pod) is not None or started_at(known) is not None:
        return pod
    before, now = known.get("status") or {}, pod.get("status") or {}
    conditions = [entry for entry in before.get("conditions") or [] if entry["type"] in _PROGRESS]
    conditions += [entry for entry in now.get("conditions") or [] if entry["type"] not in _PROGRESS]
    kept = {key: before[key] for key in ("initContainerStatuses", "containerStatuses") if key in before}
    return pod | {"status": now | kept | {"conditions": conditions}}


def _signal_of(code: int) -> int | None:
    return code - _SIGNAL_BASE if _SIGNAL_BASE < code <= _SIGNAL_BASE + _LAST_SIGNAL else None


def _ended(pod: Json, ended: Json, deleted: bool) -> tuple[Reason, str]:
    """Why a pod failed whose task's container has ended."""
    code = ended["exitCode"]
    if ended.get("reason") == "OOMKilled":
        limit = _memory_limit(pod)
        return Reason.OUT_OF_MEMORY, f"killed for lack of memory{f' (limit {limit})' if limit else ''}"
    if could_not_start(ended):
        return Reason.CONFIG_ERROR, f"{ended['reason']}: {ended.get('message') or ''}".rstrip(": ")
    if deleted:
        return Reason.POD_DELETED, f"its pod was deleted while it ran (exit code {code})"
    number = _signal_of(code)
    if number is not None:
        return Reason.SIGNAL, f"ended by {_signal_name(number)} (exit code {code})"
    if code != 0:
        return Reason.EXIT_CODE, f"exit code {code}"
    beside = next((entry for entry in _statuses(pod, "container") if _failed(entry)), None)
    if beside is not None:
        return Reason.EXIT_CODE, f"container {beside['name']} ended with exit code {_code(beside)}, the task's with 0"
    return Reason.POD_DELETED, "its pod was deleted before it could be counted"


def _disrupted(disruption: Json) -> tuple[Reason, str]:
    reasons = {"PreemptionByScheduler": Reason.PREEMPTED, "DeletionByPodGC": Reason.NODE_LOST}
    cause = disruption.get("reason", "")
    return reasons.get(cause, Reason.EVICTED), f"{cause}: {disruption.get('message') or 'the pod had to go'}"


def _never_ran(ended: Json) -> bool:
    unknown = ended.get("reason") == _NOTHING_KNOWN and not ended.get("startedAt")
    return unknown and _ONCE_RAN not in (ended.get("message") or "")


def _statuses(pod: Json, kind: str) -> list[Json]:
    key = "initContainerStatuses" if kind == "init" else "containerStatuses"
    return (pod.get("status") or {}).get(key) or []


def _ordinary_init(pod: Json) -> list[Json]:
    """Of init containers that have to end; one that is restarted always is a sidecar, and ends with the pod."""
    sidecars = {
        entry["name"] for entry in pod["spec"].get("initContainers") or [] if entry.get("restartPolicy") == "Always"
    }
    return [entry for entry in _statuses(pod, "init") if entry["name"] not in sidecars]


def _task_status(pod: Json) -> Json | None:
    statuses = _statuses(pod, "container")
    return next((entry for entry in statuses if entry["name"] == TASK), statuses[0] if statuses else None)


def _code(entry: Json) -> int | None:
    code: int | None = ((entry.get("state") or {}).get("terminated") or {}).get("exitCode")
    return code


def _failed(entry: Json) -> bool:
    return _code(entry) not in (None, 0)


def _image(pod: Json) -> str:
    containers = pod["spec"].get("containers") or [{}]
    chosen = next((entry for entry in containers if entry.get("name") == TASK), containers[0])
    return str(chosen.get("image", ""))


def _mounted(pod: Json) -> list[str]:
    """The Secrets, ConfigMaps and claims that have to be there before the pod can start."""
    found = []
    for volume in pod["spec"].get("volumes") or []:
        secret, config = volume.get("secret") or {}, volume.get("configMap") or {}
        claim = volume.get("persistentVolumeClaim") or {}
        if secret and not secret.get("optional"):
            found.append(f"Secret {secret.get('secretName')}")
        if config and not config.get("optional"):
            found.append(f"ConfigMap {config.get('name')}")
        if claim:
            found.append(f"PersistentVolumeClaim {claim.get('claimName')}")
    return found


def _memory_limit(pod: Json) -> str | None:
    for entry in pod["spec"].get("containers") or []:
        if entry["name"] == TASK:
            limit: str | None = ((entry.get("resources") or {}).get("limits") or {}).get("memory")
            return limit
    return None


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
