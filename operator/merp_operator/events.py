"""Every Event that the operator tells, and when: only where something changed."""

import hashlib
from datetime import datetime
from typing import Final

from merp_crds import names
from merp_crds.common import rfc3339
from merp_crds.reasons import Verdict
from merp_crds.scheduledjob import VerdictEntry
from merp_operator.observe import Json

_COMPONENT: Final = "merp-operator"
# What the API server takes of an Event's message.
_MESSAGE_LENGTH: Final = 1024
# Verdicts that somebody should look at.
WARNINGS: Final = frozenset({Verdict.FAILED, Verdict.TIMEOUT, Verdict.MISSED})


def turned(item: Json, before: Json, after: Json, now: datetime) -> list[Json]:
    """The Events of a status that became `after`: of each condition that turned."""
    told: list[Json] = []
    known = {entry["type"]: entry for entry in before.get("conditions") or []}
    for entry in after.get("conditions") or []:
        old = known.get(entry["type"])
        if entry["type"] == "Ready" and _turned(old, entry):
            kind = "Normal" if entry["status"] == "True" else "Warning"
            reason = "Ready" if entry["status"] == "True" else entry["reason"]
            told.append(_event(item, kind, reason, entry["message"], now, since=_since(entry)))
        if entry["type"] == "Paused" and old is not None and _turned(old, entry):
            reason = "Paused" if entry["status"] == "True" else "Resumed"
            told.append(_event(item, "Normal", reason, entry["message"], now, since=_since(entry)))
        if entry["type"] == "OnSchedule" and entry["status"] == "False" and _turned(old, entry):
            # The verdict of a missed due time is told by itself.
            told += (
                [] if entry["reason"] == "Missed" else [_event(item, "Warning", entry["reason"], entry["message"], now)]
            )
    return told


def verdict(item: Json, entry: VerdictEntry, now: datetime) -> Json:
    """The Event of a verdict."""
    kind = "Warning" if entry.verdict in WARNINGS else "Normal"
    due = "no due time" if entry.due_time is None else rfc3339(entry.due_time)
    text = f"run {entry.run} of {due}: {entry.verdict.value} ({entry.reason.value})"
    if entry.message:
        text = f"{text}: {entry.message}"
    return _event(item, kind, f"Run{entry.verdict.value.capitalize()}", text, now)


def nothing_to_cancel(item: Json, name: str, now: datetime) -> Json:
    """The Event of a cancellation that names no run, or one that is over."""
    text = f"{names.ANNOTATION_CANCEL_PREFIX}{name}: there is no unfinished run and no JobRun of that name"
    return _event(item, "Warning", "NothingToCancel", f"{text}: nothing was cancelled", now)


def broken_catalogue(config_map: Json, problem: str, now: datetime) -> Json:
    """The Event of a ConfigMap that says it holds a catalogue, and holds none that can be used."""
    text = f"{problem}: the jobs of its image are not checked before they run"
    event = _event(config_map, "Warning", "InvalidCatalogue", text, now)
    event["involvedObject"] |= {"apiVersion": "v1", "kind": "ConfigMap"}
    return event


def _turned(old: Json | None, new: Json) -> bool:
    return old is None or (old["status"], old["reason"], old["message"]) != (
        new["status"],
        new["reason"],
        new["message"],
    )


def _since(condition: Json) -> str:
    return str(condition.get("lastTransitionTime", ""))


def _event(item: Json, kind: str, reason: str, message: str, now: datetime, *, since: str = "") -> Json:
    metadata = item["metadata"]
    # One name for one happening: a repeat after a restart collides instead of being told twice. What somebody turns to
    # and fro, as a pause, happens each time.
    content = f"{metadata['uid']}\n{metadata.get('generation')}\n{reason}\n{message}\n{since}"
    digest = hashlib.sha256(content.encode()).hexdigest()[:16]
    moment = rfc3339(now)
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": f"{metadata['name']}.{digest}", "namespace": metadata["namespace"]},
        "involvedObject": {
            "apiVersion": names.API_VERSION,
            "kind": "ScheduledJob",
            "name": metadata["name"],
            "namespace": metadata["namespace"],
            "uid": metadata["uid"],
        },
        "type": kind,
        "reason": reason,
        "message": message[:_MESSAGE_LENGTH],
        "source": {"component": _COMPONENT},
        "reportingComponent": _COMPONENT,
        "reportingInstance": _COMPONENT,
        "firstTimestamp": moment,
        "lastTimestamp": moment,
        "count": 1,
    }
