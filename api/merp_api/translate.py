"""REST ⇄ custom resource. Pure: objects in, objects out.

The custom resource knows more than REST. What REST does not name is kept, and a field that a client sends back as it
got it changes nothing: a default that was only shown is not written down by that.
"""

import hashlib
import json
from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from merp_api.schemas import JobType
from merp_crds.common import Model, parse_rfc3339, rfc3339
from merp_crds.jobrun import Backfill, BackfillOnly
from merp_crds.names import ANNOTATION_TEMPLATE, API_VERSION
from merp_crds.parameters import shallow
from merp_crds.scheduledjob import (
    CalendarReference,
    ConcurrencyPolicy,
    DependencyCondition,
    DependencyPolicy,
    Missed,
    PoolReference,
    Priority,
    ScheduledJobSpec,
)

Json = dict[str, Any]

_TIMINGS: Final = {
    JobType.CRON: ("cron", "cron_expression"),
    JobType.INTERVAL: ("intervalSeconds", "interval_seconds"),
    JobType.DATE: ("at", "run_date"),
}
TIMING_FIELDS: Final = {job_type: field for job_type, (_, field) in _TIMINGS.items()}
# What the seed's contract has: a PUT without one of these sets it to its default. Everything else it leaves alone.
SEED_DEFAULTS: Final[Json] = {"args": [], "kwargs": {}, "description": None}
_SCHEDULE_FIELDS: Final = frozenset({"job_type", "time_zone", "calendar", *TIMING_FIELDS.values()})
# Fields of the spec, and of its parts, that have another name in REST and nothing else.
_FIELDS: Final = {
    "name": "displayName",
    "description": "description",
    "priority": "priority",
    "concurrency_policy": "concurrencyPolicy",
    "timeout_seconds": "timeoutSeconds",
    "max_queued": "maxQueued",
    "pending_timeout_seconds": "pendingTimeoutSeconds",
}
_WITHIN: Final = {
    "retry_limit": ("retry", "limit"),
    "no_retry_exit_codes": ("retry", "noRetryExitCodes"),
    "image": ("template", "image"),
}
# Parts that REST shows whole: the first two always, with their defaults, a pool where there is one.
_PARTS: Final[dict[str, tuple[str, type[Model]]]] = {
    "dependency_policy": ("dependencyPolicy", DependencyPolicy),
    "missed": ("missed", Missed),
    "pool": ("pool", PoolReference),
}
PART_FIELDS: Final = frozenset({*_PARTS, "calendar"})
# Hexadecimal digits that tell one template from another.
_DIGEST: Final = 12
_MAX_QUEUED: Final = ScheduledJobSpec.model_fields["max_queued"].default
_PENDING_SECONDS: Final = ScheduledJobSpec.model_fields["pending_timeout_seconds"].default


def contract(job: Json, default_zone: str) -> Json:
    """The fields of a ScheduledJob that clients may write, with REST's names and defaults filled in.

    `run_date` is an aware datetime; `time_zone` is None for a job without a schedule.
    """
    spec: Json = job.get("spec") or {}
    schedule: Json = spec.get("schedule") or {}
    task: Json = spec.get("task") or {}
    retry: Json = spec.get("retry") or {}
    at = schedule.get("at")
    return {
        "template": template_name(job),
        "name": spec.get("displayName") or job["metadata"]["name"],
        "job_type": _job_type(spec),
        "func": task.get("func"),
        "cron_expression": schedule.get("cron"),
        "interval_seconds": schedule.get("intervalSeconds"),
        "run_date": None if at is None else _readable(at),
        "args": shallow(task.get("args") or []),
        "kwargs": shallow(task.get("kwargs") or {}),
        "description": spec.get("description"),
        "time_zone": (schedule.get("timeZone") or default_zone) if schedule else None,
        "priority": spec.get("priority") or Priority.NORMAL.value,
        "depends_on": [_dependency_to_rest(entry) for entry in spec.get("dependsOn") or []],
        "concurrency_policy": spec.get("concurrencyPolicy") or ConcurrencyPolicy.FORBID.value,
        "timeout_seconds": spec.get("timeoutSeconds"),
        "retry_limit": retry.get("limit") or 0,
        "image": (spec.get("template") or {}).get("image"),
        "pool": _part_to_rest(PoolReference, spec["pool"]) if spec.get("pool") else None,
        "dependency_policy": _part_to_rest(DependencyPolicy, spec.get("dependencyPolicy") or {}),
        "max_queued": spec.get("maxQueued") or _MAX_QUEUED,
        "no_retry_exit_codes": retry.get("noRetryExitCodes"),
        "pending_timeout_seconds": spec.get("pendingTimeoutSeconds") or _PENDING_SECONDS,
        "missed": _part_to_rest(Missed, spec.get("missed") or {}),
        "calendar": _part_to_rest(CalendarReference, schedule["calendar"]) if schedule.get("calendar") else None,
        "connections": spec.get("connections") or [],
    }


def with_fields(job: Json, fields: Mapping[str, Any], default_zone: str) -> Json:
    """The spec of `job` with REST's `fields` in it; those that it shows already stay as they are written.

    `fields` has values as `contract` gives them; None means the default.
    """
    shown = contract(job, default_zone)
    changed = {field: value for field, value in fields.items() if not same(value, shown[field])}
    spec = dict(job.get("spec") or {})
    for field in _FIELDS.keys() & changed.keys():
        _set(spec, _FIELDS[field], changed[field])
    for field in _WITHIN.keys() & changed.keys():
        part, key = _WITHIN[field]
        _set_within(spec, part, key, changed[field])
    for field in _PARTS.keys() & changed.keys():
        key, model = _PARTS[field]
        _set(spec, key, _part_to_spec(model, spec.get(key), shown[field], changed[field]))
    for field in ("func", "args", "kwargs"):
        if field in changed:
            _set_within(spec, "task", field, changed[field] or None)
    if "connections" in changed:
        _set(spec, "connections", changed["connections"] or None)
    if "depends_on" in changed:
        entries = [_dependency_to_spec(entry) for entry in changed["depends_on"] or []]
        _set(spec, "dependsOn", _kept_entries(spec, shown, changed["depends_on"], entries) or None)
    if changed.keys() & _SCHEDULE_FIELDS:
        _set(spec, "schedule", _schedule(spec.get("schedule") or {}, shown, changed))
    return spec


def same(one: Any, other: Any) -> bool:
    """Whether two values are the same JSON: `true` equals 1 to Python, and not to a task; 1.0 is 1 to both. Pure."""
    if one is other:
        return True
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(value, other[key]) for key, value in one.items())
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    return isinstance(one, bool) is isinstance(other, bool) and bool(one == other)


def template_name(job: Json) -> str | None:
    """The approved template that a job's was copied from; None for one of its own, also if it was changed since."""
    written = (job["metadata"].get("annotations") or {}).get(ANNOTATION_TEMPLATE)
    if written is None:
        return None
    name, _, digest = str(written).partition("@")
    return name if digest == _template_digest((job.get("spec") or {}).get("template") or {}) else None


def with_template(job: Json, name: str | None, content: Json) -> Json:
    """The job with an approved template instead of its own, and a note of which; None is none, with the image as it is.

    The image is what clients may write beside it: it does not make another template of it.
    """
    annotations = dict(job["metadata"].get("annotations") or {})
    _set(annotations, ANNOTATION_TEMPLATE, None if name is None else f"{name}@{_template_digest(content)}")
    spec = dict(job.get("spec") or {})
    image = (spec.get("template") or {}).get("image")
    made = content if name is not None else {} if image is None else {"image": image}
    _set(spec, "template", made or None)
    return job | {"metadata": job["metadata"] | {"annotations": annotations}, "spec": spec}


def _template_digest(template: Json) -> str:
    own = {key: value for key, value in template.items() if key != "image"}
    canonical = json.dumps(own, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:_DIGEST]


def new_job(
    name: str,
    namespace: str,
    fields: Mapping[str, Any],
    annotations: Mapping[str, str],
    zone: str,
    template: Json | None = None,
) -> Json:
    """A ScheduledJob that has just these fields. `template` is the content of the approved one that they name."""
    empty: Json = {"metadata": {"name": name, "namespace": namespace, "annotations": dict(annotations)}, "spec": {}}
    if template is not None:
        empty = with_template(empty, fields["template"], template)
    spec = with_fields(empty, fields, zone)
    return {"apiVersion": API_VERSION, "kind": "ScheduledJob", "metadata": empty["metadata"], "spec": spec}


def new_run(
    name: str,
    job: Json,
    *,
    args: Any,
    kwargs: Any,
    due_time: datetime | None,
    policy: str | None,
    annotations: Json,
    again: str | None = None,
) -> Json:
    """A JobRun that asks for one run of a ScheduledJob, and goes when that goes. `again` is the run that it repeats."""
    spec: Json = {}
    _set(spec, "args", args)
    _set(spec, "kwargs", kwargs)
    _set(spec, "dueTime", None if due_time is None else rfc3339(due_time))
    _set(spec, "concurrencyPolicy", policy)
    _set(spec, "run", again)
    return _run(name, job, spec, annotations)


def new_backfill(name: str, job: Json, *, start: datetime, end: datetime, annotations: Json) -> Json:
    """A JobRun that asks for the due times in (start, end] which have no success yet."""
    asked = Backfill(start=start, end=end, only=BackfillOnly.MISSING).as_json()
    # The rest is as the schema has it, now and in later versions.
    return _run(name, job, {"backfill": {key: asked[key] for key in ("start", "end", "only")}}, annotations)


def _run(name: str, job: Json, spec: Json, annotations: Json) -> Json:
    owner = job["metadata"]
    return {
        "apiVersion": API_VERSION,
        "kind": "JobRun",
        "metadata": {
            "name": name,
            "namespace": owner["namespace"],
            "annotations": annotations,
            "ownerReferences": [
                {
                    "apiVersion": API_VERSION,
                    "kind": "ScheduledJob",
                    "name": owner["name"],
                    "uid": owner["uid"],
                    "controller": False,
                    "blockOwnerDeletion": False,
                }
            ],
        },
        "spec": {"scheduledJob": owner["name"]} | spec,
    }


def _readable(at: str) -> datetime | None:
    """A moment of a manifest; None for what the API server takes and no clock knows, such as an offset of 99 hours."""
    try:
        return parse_rfc3339(at)
    except ValueError:
        return None


def _job_type(spec: Json) -> str:
    schedule = spec.get("schedule") or {}
    for job_type, (key, _) in _TIMINGS.items():
        if schedule.get(key) is not None:
            return job_type.value
    return (JobType.DEPENDENCY if spec.get("dependsOn") else JobType.MANUAL).value


def _schedule(schedule: Json, shown: Json, changed: Json) -> Json | None:
    """The schedule of the wanted type; what REST does not know of it (startAt, dst …) is kept."""
    wanted = shown | changed
    timing = _TIMINGS.get(JobType(wanted["job_type"]))
    if timing is None:
        return None
    made = {key: value for key, value in schedule.items() if key not in {other for other, _ in _TIMINGS.values()}}
    key, field = timing
    value = wanted[field]
    # The seconds of a moment are all that Kubernetes keeps.
    made[key] = rfc3339(value) if isinstance(value, datetime) else value
    if "time_zone" in changed:
        _set(made, "timeZone", wanted["time_zone"])
    if "calendar" in changed:
        written = schedule.get("calendar")
        _set(made, "calendar", _part_to_spec(CalendarReference, written, shown["calendar"], wanted["calendar"]))
    return made


def _part_to_rest(model: type[Model], written: Json) -> Json:
    """A part of the spec under REST's names, with the defaults of what is not written."""
    return {name: written.get(key, default) for name, key, default in _keys(model)}


def _part_to_spec(model: type[Model], written: Json | None, shown: Json | None, wanted: Json | None) -> Json | None:
    """A part as REST wants it; what it wants as it is shown stays as it is written, and defaults are not written."""
    if wanted is None:
        return None
    made = dict(written or {})
    for name, key, default in _keys(model):
        if shown is None or wanted[name] != shown[name]:
            _set(made, key, None if wanted[name] == default else wanted[name])
    return made or None


def _keys(model: type[Model]) -> list[tuple[str, str, Any]]:
    """REST's name, the custom resource's key, and the default (None: it has none) of each field."""
    found = []
    for name, field in model.model_fields.items():
        default = None if field.is_required() else field.default
        found.append((name, field.alias or name, default.value if isinstance(default, StrEnum) else default))
    return found


def _dependency_to_rest(entry: Json) -> Json:
    window = entry.get("window") or {}
    if window.get("within") is not None:
        shown: Json = {"within": window["within"]}
    elif window.get("period") is not None:
        shown = {"period": window["period"]}
    else:
        shown = {"since_last_run": True}
    return {
        "id": entry["name"],
        "condition": entry.get("condition") or DependencyCondition.SUCCEEDED.value,
        "window": shown,
        "latest": bool(entry.get("latest")),
    }


def _dependency_to_spec(entry: Json) -> Json:
    made: Json = {"name": entry["id"]}
    if entry["condition"] != DependencyCondition.SUCCEEDED:
        made["condition"] = entry["condition"]
    if "since_last_run" not in entry["window"]:
        made["window"] = dict(entry["window"])
    if entry["latest"]:
        made["latest"] = True
    return made


def _kept_entries(spec: Json, shown: Json, wanted: list[Json] | None, made: list[Json]) -> list[Json]:
    """Entries that a client sent back as it got them stay as they are written."""
    before = {
        entry["id"]: (entry, raw) for entry, raw in zip(shown["depends_on"], spec.get("dependsOn") or [], strict=True)
    }
    kept = []
    for entry, fresh in zip(wanted or [], made, strict=True):
        old = before.get(entry["id"])
        kept.append(old[1] if old is not None and old[0] == entry else fresh)
    return kept


def _set(target: Json, key: str, value: Any) -> None:
    if value is None:
        target.pop(key, None)
    else:
        target[key] = value


def _set_within(spec: Json, part: str, key: str, value: Any) -> None:
    """Set a key of a part of the spec, without touching the object that was read."""
    inner = dict(spec.get(part) or {})
    _set(inner, key, value)
    _set(spec, part, inner or None)
