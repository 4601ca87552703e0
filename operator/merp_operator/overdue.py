"""Runs that cannot start, or cannot end: whether one is to be ended, and as what. Pure."""

import json
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from merp_crds import names
from merp_crds.common import parse_rfc3339
from merp_crds.reasons import Reason, Verdict
from merp_crds.scheduledjob import ScheduledJobSpec
from merp_operator import attempt, desired, endings, outcome, template
from merp_operator.desired import Defaults
from merp_operator.observe import Json, Observed, Run, condition

# A container beside the task's may need a while to send off what it holds, as log shippers do.
GRACE: Final = timedelta(seconds=30)
# A pod that started in time is not touched, though its node needs a moment to say so.
REPORTING: Final = timedelta(seconds=5)
# The Job controller waits longer and longer before it makes the pod of another attempt, and no longer than this.
_LONGEST_BACK_OFF: Final = timedelta(minutes=10)
# The causes that an edit of the definition removes for certain. Room comes and goes by itself.
_CORRECTABLE: Final = frozenset({Reason.IMAGE_PULL, Reason.CONFIG_ERROR})
# What a container's end is told by.
_TERMINATED: Final = ("exitCode", "reason", "message", "startedAt", "finishedAt")
# Events that tell why a pod is not made or not started, and the reason that is; None where it is not that clear.
_TELLING: Final = {
    "FailedMount": Reason.CONFIG_ERROR,
    "FailedAttachVolume": Reason.CONFIG_ERROR,
    "FailedCreatePodSandBox": None,
    "FailedCreate": None,
}
_OVER: Final = ("Complete", "Failed", "SuccessCriteriaMet", "FailureTarget")


@dataclass(frozen=True, slots=True)
class Definition:
    """What the ScheduledJob says now: how long a pod may need to start, and the pod that a new run would get.

    `pod` is None where the definition makes none.
    """

    pending: timedelta
    generation: int
    pod: Json | None = None


@dataclass(frozen=True, slots=True)
class Ending:
    """What a run is ended as; `terminated` is how its task's container had ended, as the kubelet tells it."""

    verdict: Verdict
    reason: Reason
    message: str
    terminated: Json | None = None
    # The object whose Events may name the cause, where no status does: the pod's UID, or the Job's.
    asked: str | None = None

    def written(self, now: datetime) -> Json:
        """What is left on its Job."""
        return endings.written(self.verdict, self.reason, self.message, now, self.terminated)


@dataclass(frozen=True, slots=True)
class Overdue:
    """How a run is to be ended now, or when it will have to be if nothing changes; neither where it is as it should."""

    ending: Ending | None = None
    look_again: datetime | None = None


def definition(observed: Observed, defaults: Defaults) -> Definition:
    """What counts for every run of a ScheduledJob, older ones too: its definition as it is now."""
    spec = observed.spec or ScheduledJobSpec()
    pending = timedelta(seconds=spec.pending_timeout_seconds)
    try:
        pod = None if observed.spec is None else desired.job_spec(observed, spec, defaults)["template"]["spec"]
    except template.TemplateError:
        # What is wrong with it the condition Ready says; nothing is corrected by it.
        pod = None
    return Definition(pending, observed.generation, pod)


def decide(run: Run, wanted: Definition, now: datetime) -> Overdue:
    """What becomes of a run that does not get on."""
    started = (run.job.get("status") or {}).get("startTime")
    if started is None or run.job["spec"].get("suspend") or _is_ending(run.job):
        return Overdue()
    released = parse_rfc3339(started)
    if not run.pods:
        return _without_pod(run, released, wanted, now)
    pod = run.pods[-1]
    if _is_leaving(pod):
        # It is replaced, or the Job says what became of it.
        return _between(run, pod, wanted, now)
    if attempt.started_at(pod) is None and attempt.terminated(pod) is None:
        return _pending(run, pod, released, wanted, now)
    return _lingering(run, pod, now)


def explained(ending: Ending, warnings: list[Json]) -> Ending:
    """An ending with what the newest of the Warning Events says that name its cause."""
    telling = [entry for entry in warnings if entry.get("reason") in _TELLING]
    if not telling:
        return ending
    newest = max(telling, key=lambda entry: str(entry.get("lastTimestamp") or entry.get("eventTime") or ""))
    reason = _TELLING[newest["reason"]] or ending.reason
    return replace(ending, reason=reason, message=f"{ending.message}: {newest['reason']}: {newest.get('message')}")


def _is_ending(job: Json) -> bool:
    ended = names.ANNOTATION_ENDED in (job["metadata"].get("annotations") or {})
    return ended or any(condition(job, kind) is not None for kind in _OVER)


def _is_leaving(pod: Json) -> bool:
    over = (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")
    return over or bool(pod["metadata"].get("deletionTimestamp")) or condition(pod, "DisruptionTarget") is not None


def _without_pod(run: Run, released: datetime, wanted: Definition, now: datetime) -> Overdue:
    status = run.job.get("status") or {}
    if any(status.get(count) for count in ("active", "terminating", "failed", "succeeded")):
        # There is a pod that is not seen, or there was one: nothing is known of a wait.
        return Overdue()
    ending = Ending(
        Verdict.FAILED,
        Reason.START_REFUSED,
        f"no pod was made for it within {_bound(wanted)}",
        asked=run.uid,
    )
    return _from(released + wanted.pending + REPORTING, ending, now)


def _between(run: Run, pod: Json, wanted: Definition, now: datetime) -> Overdue:
    """The attempt of a pod is over, and the Job is not: the next one's pod is due within the longest back-off."""
    status = run.job.get("status") or {}
    if (pod.get("status") or {}).get("phase") != "Failed" or any(
        status.get(count) for count in ("active", "terminating")
    ):
        return Overdue()
    ending = Ending(
        Verdict.FAILED,
        Reason.START_REFUSED,
        f"no pod was made for its next attempt within {_bound(wanted)} after the longest back-off",
        asked=run.uid,
    )
    return _from(attempt.over_at(pod) + _LONGEST_BACK_OFF + wanted.pending + REPORTING, ending, now)


def _pending(run: Run, pod: Json, released: datetime, wanted: Definition, now: datetime) -> Overdue:
    """A pod whose task has not started: it has its time from when it was made, which for the first is the release."""
    if attempt.working_init(pod):
        return Overdue()
    reason, held = attempt.waiting(pod)
    if reason in _CORRECTABLE and _is_corrected(run, wanted):
        return Overdue(
            Ending(Verdict.FAILED, reason, f"{held}; ended because the definition was corrected in the meantime")
        )
    created = parse_rfc3339(pod["metadata"]["creationTimestamp"])
    since = max(released, created, attempt.init_ended_at(pod) or created)
    reason, held = attempt.held_up(pod)
    text = f"not started within {_bound(wanted)}: {held}"
    asked = pod["metadata"]["uid"] if reason is None else None
    ending = Ending(Verdict.FAILED, reason or Reason.UNKNOWN, text, asked=asked)
    return _from(since + wanted.pending + REPORTING, ending, now)


def _lingering(run: Run, pod: Json, now: datetime) -> Overdue:
    """A pod whose task is at work, or has ended while another container keeps the pod alive."""
    terminated, others = attempt.terminated(pod), attempt.companions(pod)
    if terminated is None or not others:
        return Overdue()
    ended = terminated.get("finishedAt") or pod["metadata"]["creationTimestamp"]
    kept = {key: terminated[key] for key in _TERMINATED if terminated.get(key) is not None}
    held = f"{', '.join(others)} {int(GRACE.total_seconds())} s later, so the run was ended"
    if terminated["exitCode"] == 0:
        ending = Ending(Verdict.SUCCESS, Reason.COMPLETED, f"completed; {held}", kept)
    else:
        reason, told = attempt.diagnose(pod) or (Reason.UNKNOWN, "failed")
        if reason is Reason.EXIT_CODE and outcome.bad_parameters(run):
            reason = Reason.BAD_PARAMETERS
        last = " without another attempt" if run.job["spec"].get("backoffLimit") else ""
        ending = Ending(Verdict.FAILED, reason, f"{told}; {held}{last}", kept)
    return _from(parse_rfc3339(ended) + GRACE, ending, now)


def _from(moment: datetime, ending: Ending, now: datetime) -> Overdue:
    return Overdue(ending=ending) if now >= moment else Overdue(look_again=moment)


def _bound(wanted: Definition) -> str:
    return f"{int(wanted.pending.total_seconds())} s (pendingTimeoutSeconds)"


def _is_corrected(run: Run, wanted: Definition) -> bool:
    """Whether a new run would be made of other things than this one.

    An edit of something else leaves alone a run that still waits for the same image and the same Secrets.
    """
    written = (run.job["metadata"].get("annotations") or {}).get(names.ANNOTATION_GENERATION, "")
    if not written.isdecimal() or int(written) >= wanted.generation or wanted.pod is None:
        return False
    return _ingredients(run.job["spec"]["template"]["spec"]) != _ingredients(wanted.pod)


def _ingredients(pod: Json) -> str:
    """All that a node needs to make a pod's containers. Only fields to which the API server adds nothing."""
    told = {
        "containers": [_container(entry) for entry in _by_name(pod.get("containers"))],
        "initContainers": [_container(entry) for entry in _by_name(pod.get("initContainers"))],
        "imagePullSecrets": pod.get("imagePullSecrets") or [],
        "serviceAccountName": pod.get("serviceAccountName"),
        "securityContext": pod.get("securityContext") or {},
    }
    return json.dumps(told, sort_keys=True)


def _container(entry: Json) -> Json:
    sources = [variable.get("valueFrom") or {} for variable in entry.get("env") or []]
    return {
        "name": entry["name"],
        "image": entry.get("image"),
        "neverPulled": entry.get("imagePullPolicy") == "Never",
        "env": [source for source in sources if "secretKeyRef" in source or "configMapKeyRef" in source],
        "envFrom": entry.get("envFrom") or [],
        "securityContext": entry.get("securityContext") or {},
    }


def _by_name(entries: list[Json] | None) -> list[Json]:
    return sorted(entries or [], key=lambda entry: str(entry["name"]))
