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
_PULL_REASONS: Final = frozenset(
    {
        "ErrImagePull",
        "ImagePullBackOff",
        "InvalidImageName",
        "ErrImageNeverPull",
        "ImageInspectError",
        "RegistryUnavailable",
        "SignatureValidationFailed",
    }
)
# What the kubelet says of a container whose turn has not come, or that is being made. Every other word names a cause.
_ON_ITS_WAY: Final = frozenset({"", "ContainerCreating", "PodInitializing"})
# What a container waits with that ended before and is started again: in a pod that has not started, a sidecar.
_BACK_OFF: Final = "CrashLoopBackOff"
# What a pod says that its own deadline ended, and what one says that its node ended; all else is the node's refusal.
_BY_ITSELF: Final = "DeadlineExceeded"
_BY_THE_NODE: Final = frozenset({"Evicted", "NodeShutdown", "Terminated", "Shutdown", "Preempting"})
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
        if word == _BACK_OFF:
            return Reason.INIT_FAILED, f"container {entry['name']} does not stay up: {word}: {text}".rstrip(": ")
        if word not in _ON_ITS_WAY:
            return Reason.CONFIG_ERROR, f"{word}: {text}".rstrip(": ")
    sidecar = _starting_sidecar(pod)
    if sidecar is not None:
        return None, f"init container {sidecar} is starting up"
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
    sidecar = _starting_sidecar(pod)
    if sidecar is not None:
        return Reason.INIT_FAILED, f"init container {sidecar} was running, and its startupProbe had not succeeded"
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


def over_at(pod: Json) -> datetime:
    """When a pod was over, as far as it says so."""
    entries = [*_statuses(pod, "init"), *_statuses(pod, "container")]
    ends = [((entry.get("state") or {}).get("terminated") or {}).get("finishedAt") for entry in entries]
    made = parse_rfc3339(pod["metadata"]["creationTimestamp"])
    return max([made, *(parse_rfc3339(at) for at in ends if at)])


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
    by_its_node = _failed_by_its_node(pod)
    if by_its_node is not None:
        return by_its_node
    init = next((entry for entry in _ordinary_init(pod) if _failed(entry)), None)
    if init is not None:
        return _failed_beside(f"init container {init['name']}", init, Reason.INIT_FAILED)
    deleted = bool(pod["metadata"].get("deletionTimestamp"))
    ended = terminated(pod)
    if ended is not None:
        return _ended(pod, ended, deleted)
    reason, message = held_up(pod) if deleted else waiting(pod)
    if deleted:
        return reason or Reason.POD_DELETED, f"its pod was deleted before its container had started: {message}"
    return None if reason is None else (reason, message)


def leaving(pod: Json) -> str:
    """That a pod has to go, and what if it does not: a lost node never says that it has. Empty where it may stay."""
    until = pod["metadata"].get("deletionTimestamp")
    if not until or (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed"):
        return ""
    disruption = condition(pod, "DisruptionTarget")
    cause = "" if disruption is None else f" ({_disrupted(disruption)[1]})"
    node = pod["spec"].get("nodeName")
    lost = f"its node {node} may be lost: delete that node, or the pod by force" if node else "delete it by force"
    return f"its pod was told to end{cause} and has until {until}; if it is still there after that {lost}"


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
        reason, told = _failed_beside(f"container {beside['name']}", beside, Reason.EXIT_CODE)
        return reason, f"{told}, the task's with 0"
    return Reason.POD_DELETED, "its pod was deleted before it could be counted"


def _failed_by_its_node(pod: Json) -> tuple[Reason, str] | None:
    """What the kubelet did to a pod as a whole: it had its time, or it was not taken at all."""
    status = pod.get("status") or {}
    word = status.get("reason")
    if status.get("phase") != "Failed" or not word:
        return None
    if word == _BY_ITSELF:
        limit = pod["spec"].get("activeDeadlineSeconds")
        told = f"its pod's own activeDeadlineSeconds{'' if limit is None else f' of {limit} s'} passed"
        if started_at(pod) is not None:
            return Reason.DEADLINE, f"{told} (template.podTemplate)"
        return Reason.NEVER_STARTED, f"{told} before the container had started: {held_up(pod)[1]}"
    if terminated(pod) is not None or any(map(_failed, _ordinary_init(pod))):
        return None
    return _refused(status)


def _failed_beside(what: str, entry: Json, otherwise: Reason) -> tuple[Reason, str]:
    """Why a container failed that is not the task's; `otherwise` is what its exit code alone means."""
    ended = entry["state"]["terminated"]
    code, word = ended["exitCode"], ended.get("reason")
    if word == "OOMKilled":
        return Reason.OUT_OF_MEMORY, f"{what} was killed for lack of memory (exit code {code})"
    if could_not_start(ended):
        return Reason.CONFIG_ERROR, f"{what}: {word}: {ended.get('message') or ''}".rstrip(": ")
    return otherwise, f"{what} ended with exit code {code}"


def _refused(status: Json) -> tuple[Reason, str]:
    """Why a node did not take a pod that the scheduler had given it, as OutOfcpu, or let it go before it had begun."""
    word, text = status["reason"], status.get("message") or ""
    if word in _BY_THE_NODE:
        return Reason.EVICTED, f"{word}: {text}".rstrip(": ")
    return Reason.UNSCHEDULABLE, f"its node did not take its pod: {word}: {text}".rstrip(": ")


def _starting_sidecar(pod: Json) -> str | None:
    """The sidecar that runs and that the task waits for."""
    plain = {entry["name"] for entry in _ordinary_init(pod)}
    for entry in _statuses(pod, "init"):
        runs = (entry.get("state") or {}).get("running") is not None
        if runs and entry.get("started") is False and entry["name"] not in plain:
            return str(entry["name"])
    return None


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
