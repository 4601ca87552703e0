"""What the runs of a namespace have come to, for comparing one course of events with another.

Names of runs are hashes of UIDs, so each stands under what it is: `down/first` is the run of down for the JobRun first,
`d(b/1 c/1)` the one of d that these two opened, and `d@due` the one that a clock started, of which there is one a story.
Moments are left out.
"""

import json
from collections import Counter
from pathlib import Path
from typing import Any

from kube import Kube
from records_file import rows

from merp_crds import names

Json = dict[str, Any]
_BY_CLOCK = ("schedule", "catch-up")


def final_state(kube: Kube, database: Path) -> Json:
    """Jobs, ScheduledJobs, JobRuns, pools and records."""
    jobs = kube.list("jobs")
    found = {
        "jobs": [_job(job) for job in jobs],
        "scheduledjobs": [_scheduled_job(item) for item in kube.list("scheduledjobs")],
        "jobruns": [_job_run(item) for item in kube.list("jobruns")],
        "cronjobs": [_cron_job(item) for item in kube.list("cronjobs")],
        "jobpools": [_job_pool(item) for item in kube.list("jobpools")],
        "records": [f"{run} {row}" for run, *row in records(database)],
    }
    text = json.dumps(found)
    for name, alias in (_aliases(kube) | _due_times(jobs)).items():
        text = text.replace(name, alias)
    ordered: Json = _ordered(json.loads(text))
    return ordered


def differences(end: Json, expected: Json) -> list[str]:
    """What is otherwise than expected, entry by entry."""
    return [
        f"{word} {kind}: {json.dumps(entry)}"
        for kind in expected
        for word, mine, others in (("unexpected", end, expected), ("missing", expected, end))
        for entry in mine[kind]
        if entry not in others[kind]
    ]


def opened_twice(kube: Kube) -> list[tuple[str, str, str]]:
    """ScheduledJob, upstream and upstream run, of all that opened more than one run of that job."""
    used = Counter(
        (_owner(job), entry["upstream"], entry["run"])
        for job in kube.list("jobs")
        for entry in _written(job, names.ANNOTATION_OPENED_BY) or []
    )
    return [pair for pair, count in used.items() if count > 1]


def endings(kube: Kube, database: Path) -> frozenset[tuple[str, str, str | None]]:
    """Run, verdict or state, and reason, of every record."""
    aliases = _aliases(kube)
    return frozenset((aliases.get(run, run), status, reason) for run, status, reason, *_ in records(database))


def records(database: Path) -> list[list[Any]]:
    """Every record, without its moments."""
    columns = "run_name, status, reason, trigger, due_time, attempts, opened_by, count, end_time IS NOT NULL"
    return [list(row) for row in rows(database, f"SELECT {columns} FROM job_executions")]


def _ordered(value: Any) -> Any:
    """With every list sorted: the names, by which they were, were hashes."""
    if isinstance(value, dict):
        return {field: _ordered(found) for field, found in value.items()}
    return sorted(map(_ordered, value), key=json.dumps) if isinstance(value, list) else value


def _aliases(kube: Kube) -> dict[str, str]:
    jobs = kube.list("jobs")
    # Its Job may be gone.
    found = {
        item["status"]["run"]: f"{item['spec']['scheduledJob']}/{item['metadata']['name']}"
        for item in kube.list("jobruns")
        if (item.get("status") or {}).get("run")
    }
    found |= {
        job["metadata"]["name"]: f"{_owner(job)}/{job['metadata']['labels'][names.LABEL_JOB_RUN]}"
        for job in jobs
        if names.LABEL_JOB_RUN in job["metadata"]["labels"]
    }
    found |= {job["metadata"]["name"]: f"{_owner(job)}@due" for job in jobs if _trigger(job) in _BY_CLOCK}
    for job in jobs:
        openers = [entry["run"] for entry in _written(job, names.ANNOTATION_OPENED_BY) or []]
        if job["metadata"]["name"] not in found and all(run in found for run in openers):
            found[job["metadata"]["name"]] = f"{_owner(job)}({' '.join(sorted(found[run] for run in openers))})"
    return found


def _due_times(jobs: list[Json]) -> dict[str, str]:
    """The moments that clocks started runs for, as objects and as records write them: each course has its own."""
    moments = [_due(job) for job in jobs if _trigger(job) in _BY_CLOCK]
    written = [moment for moment in moments if moment is not None]
    return {text: "due" for moment in written for text in (moment, moment.replace("T", " ").replace("Z", ".000000"))}


def _trigger(job: Json) -> str:
    trigger: str = job["metadata"]["labels"][names.LABEL_TRIGGER]
    return trigger


def _due(job: Json) -> str | None:
    annotations = job["metadata"]["annotations"]
    found: str | None = annotations.get(names.ANNOTATION_DUE_TIME) or annotations.get(names.ANNOTATION_CRONJOB_TIME)
    return found


def _owner(job: Json) -> str:
    name: str = job["metadata"]["labels"][names.LABEL_SCHEDULED_JOB]
    return name


def _job(job: Json) -> Json:
    ended = _written(job, names.ANNOTATION_ENDED) or {}
    return {
        "name": job["metadata"]["name"],
        "trigger": _trigger(job),
        "due": _due(job),
        "suspended": bool(job["spec"].get("suspend")),
        "ended": f"{ended.get('verdict')}({ended.get('reason')})",
        "opened by": _written(job, names.ANNOTATION_OPENED_BY),
        "conditions": _conditions(job),
    }


def _scheduled_job(item: Json) -> Json:
    status = item.get("status") or {}
    return {
        "name": item["metadata"]["name"],
        "annotations": list(item["metadata"].get("annotations") or {}),
        "recent": [f"{entry['run']} {entry['verdict']}({entry['reason']})" for entry in status.get("recent", [])],
        "active": [f"{entry['run']} {entry['state']}" for entry in status.get("active", [])],
        "opened": status.get("opened", []),
        "unrecorded": status.get("unrecorded", []),
        "conditions": _conditions(item),
    }


def _job_run(item: Json) -> Json:
    status = item.get("status") or {}
    told = {field: status.get(field) for field in ("run", "dueTime", "verdict", "reason")}
    return told | {"name": item["metadata"]["name"], "conditions": _conditions(item)}


def _cron_job(item: Json) -> Json:
    active = [entry["name"] for entry in (item.get("status") or {}).get("active") or []]
    return {"name": item["metadata"]["name"], "suspended": item["spec"]["suspend"], "active": active}


def _job_pool(item: Json) -> Json:
    status = item.get("status") or {}
    admitted = [f"{entry['run']} {entry['slots']}" for entry in status.get("admitted", [])]
    told = {"used": status.get("used"), "waiting": status.get("waitingCount"), "admitted": admitted}
    return told | {"name": item["metadata"]["name"], "conditions": _conditions(item)}


def _conditions(item: Json) -> list[str]:
    conditions = (item.get("status") or {}).get("conditions") or []
    return [f"{entry['type']} {entry['status']} {entry.get('reason', '')}" for entry in conditions]


def _written(job: Json, annotation: str) -> Any:
    text = (job["metadata"].get("annotations") or {}).get(annotation)
    return None if text is None else json.loads(text)
