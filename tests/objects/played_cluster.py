"""An API server in memory, whose writes can be refused one by one and after any of which the operator can be killed.

A real cluster cannot be made to stop between two writes. The native clock and the garbage collector are played too;
nothing passes by itself: a test sets `now`.
"""

import copy
import itertools
import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from merp_crds import names
from merp_crds.common import rfc3339
from merp_kube import paths
from merp_kube.client import ApiError
from merp_kube.paths import Resource
from merp_operator.own import Key

Json = dict[str, Any]
KEY: Key = ("ns", "j")


class Killed(Exception):
    """The process ends here."""


class PlayedCluster:
    """The API server: `Cluster` with objects in memory. It keeps a list of what was read and what was written.

    `faults` are raised by the write of that name instead of doing it. `lifetime` is how many more writes the process
    lives for; the next one kills it. `now` is the server's time as the operator has it; where its machine's clock was
    set, the next answer to a read says that it is `answers_at`.
    """

    def __init__(self, now: datetime) -> None:
        self.now = now
        self.scheduled_jobs: dict[Key, Json] = {}
        self.jobs: dict[Key, Json] = {}
        self.cron_jobs: dict[Key, Json] = {}
        self.job_pools: dict[Key, Json] = {}
        self.job_runs: dict[Key, Json] = {}
        self.reads: list[str] = []
        # What was written, and the name of the object.
        self.writes: list[tuple[str, str]] = []
        # Names of Jobs that went with their owner.
        self.collected: list[str] = []
        self.faults: dict[str, Exception] = {}
        self.lifetime: int | None = None
        self.answers_at: datetime | None = None
        self._numbers = itertools.count(100)

    # What the tests do to it.

    def put(self, kind: dict[Key, Json], item: Json) -> Json:
        """An object as it is written: with a version and, where it is new, an identity."""
        item = copy.deepcopy(item)
        metadata = item["metadata"]
        number = next(self._numbers)
        metadata.setdefault("uid", f"uid-{number}")
        metadata.setdefault("creationTimestamp", rfc3339(self.now))
        metadata["resourceVersion"] = str(number)
        item.setdefault("status", {})
        kind[metadata["namespace"], metadata["name"]] = item
        return copy.deepcopy(item)

    def finish(self, name: str, at: datetime) -> None:
        """A Job's success."""
        job = self.jobs[KEY[0], name]
        condition = {"type": "Complete", "status": "True", "lastTransitionTime": rfc3339(at), "reason": "Completed"}
        self.put(self.jobs, job | {"status": {"conditions": [condition], "completionTime": rfc3339(at)}})

    def start_natively(self, due: datetime, *, booked: bool = True) -> str:
        """What the CronJob controller does for a due time, now: a Job, and after that its books. Returns the run."""
        cron_job = self.cron_jobs[KEY]
        template, name = cron_job["spec"]["jobTemplate"], names.run_name_for_due_time(KEY[1], due)
        owner = {"kind": "CronJob", "name": KEY[1], "uid": cron_job["metadata"]["uid"], "controller": True}
        metadata = {
            "name": name,
            "namespace": KEY[0],
            "labels": template["metadata"]["labels"],
            "annotations": template["metadata"]["annotations"] | {names.ANNOTATION_CRONJOB_TIME: rfc3339(due)},
            "ownerReferences": [owner],
        }
        self.put(self.jobs, {"metadata": metadata, "spec": template["spec"]})
        if booked:
            status = cron_job["status"] | {"lastScheduleTime": rfc3339(due)}
            self.put(self.cron_jobs, cron_job | {"status": status})
        return name

    def written(self, what: str) -> list[str]:
        """The names of the objects that were written so."""
        return [name for kind, name in self.writes if kind == what]

    # What the operator calls; see `Cluster`.

    async def scheduled_job(self, namespace: str, name: str) -> Json | None:
        return self._read("scheduled_job", self.scheduled_jobs.get((namespace, name)))

    async def job(self, namespace: str, name: str) -> Json | None:
        return self._read("job", self.jobs.get((namespace, name)))

    async def cron_job(self, namespace: str, name: str) -> Json | None:
        return self._read("cron_job", self.cron_jobs.get((namespace, name)))

    async def job_run(self, namespace: str, name: str) -> Json | None:
        return self._read("job_run", self.job_runs.get((namespace, name)))

    async def jobs_of(self, namespace: str, uid: str) -> list[Json]:
        self._read("jobs_of", None)
        jobs = [job for (where, _), job in self.jobs.items() if where == namespace]
        mine = [job for job in jobs if job["metadata"]["labels"].get(names.LABEL_SCHEDULED_JOB_UID) == uid]
        return copy.deepcopy(mine)

    async def apply_cron_job(self, cron_job: Json) -> Json:
        self._write("apply_cron_job", cron_job)
        old = self.cron_jobs.get(_key(cron_job))
        if old is None:
            return self.put(self.cron_jobs, cron_job | {"metadata": cron_job["metadata"] | {"generation": 1}})
        known = {field: old["metadata"][field] for field in ("uid", "creationTimestamp")}
        known["generation"] = old["metadata"]["generation"] + 1
        item = cron_job | {"metadata": cron_job["metadata"] | known, "status": old["status"]}
        return self.put(self.cron_jobs, item)

    async def suspend_cron_job(self, cron_job: Json) -> Json:
        self._write("suspend_cron_job", cron_job)
        item = self._unchanged(self.cron_jobs, cron_job)
        return self.put(self.cron_jobs, item | {"spec": item["spec"] | {"suspend": True}})

    async def delete_cron_job(self, namespace: str, name: str, uid: str) -> None:
        self._write("delete_cron_job", self.cron_jobs[namespace, name])
        if self.cron_jobs[namespace, name]["metadata"]["uid"] == uid:
            del self.cron_jobs[namespace, name]
            self._collect()

    async def keep_books(self, cron_job: Json, active: Iterable[Json], last_schedule_time: datetime | None) -> Json:
        self._write("keep_books", cron_job)
        item = self._unchanged(self.cron_jobs, cron_job)
        status = item["status"] | {"active": [*(item["status"].get("active") or []), *active]}
        if last_schedule_time is not None:
            status["lastScheduleTime"] = rfc3339(last_schedule_time)
        return self.put(self.cron_jobs, item | {"status": status})

    async def create_job(self, job: Json, *, dry_run: bool = False) -> bool:
        if dry_run:
            self._read("dry_run", None)
            return True
        self._write("create_job", job)
        if _key(job) in self.jobs:
            return False
        self.put(self.jobs, job)
        self._collect()
        return True

    async def hand_over(self, job: Json, controller: Json) -> None:
        self._write("hand_over", job)
        item = self._unchanged(self.jobs, job)
        self.put(self.jobs, item | {"metadata": item["metadata"] | {"ownerReferences": [controller]}})

    async def release(self, job: Json, opened_by: str | None) -> None:
        self._write("release", job)
        item = copy.deepcopy(self._unchanged(self.jobs, job))
        item["spec"]["suspend"] = False
        if opened_by is not None:
            item["metadata"].setdefault("annotations", {})[names.ANNOTATION_OPENED_BY] = opened_by
        self.put(self.jobs, item)

    async def write_wait(self, job: Json, opened_by: str | None, since: datetime | None) -> None:
        self._write("write_wait", job)
        item = copy.deepcopy(self._unchanged(self.jobs, job))
        told = {names.ANNOTATION_OPENED_BY: opened_by, names.ANNOTATION_ROOM_SINCE: since and rfc3339(since)}
        item["metadata"].setdefault("annotations", {}).update({key: text for key, text in told.items() if text})
        self.put(self.jobs, item)

    async def end_run(self, job: Json, ending: Json) -> None:
        self._write("end_run", job)
        item = copy.deepcopy(self._unchanged(self.jobs, job))
        item["spec"] |= {"suspend": False, "activeDeadlineSeconds": 0}
        item["metadata"].setdefault("annotations", {})[names.ANNOTATION_ENDED] = json.dumps(ending)
        self.put(self.jobs, item)

    async def remove_annotations(self, item: Json, annotations: Mapping[str, str]) -> Json:
        self._write("remove_annotations", item)
        found = copy.deepcopy(self._unchanged(self.scheduled_jobs, item))
        present = found["metadata"]["annotations"]
        found["metadata"]["annotations"] = {
            name: value for name, value in present.items() if annotations.get(name) != value
        }
        return self.put(self.scheduled_jobs, found)

    async def delete_job(self, namespace: str, name: str, uid: str) -> None:
        self._write("delete_job", self.jobs[namespace, name])
        del self.jobs[namespace, name]

    async def write_status(self, resource: Resource, item: Json, status: Json) -> Json:
        self._write("write_status", item)
        kind = {paths.JOB_POOL: self.job_pools, paths.JOB_RUN: self.job_runs}.get(resource, self.scheduled_jobs)
        return self.put(kind, self._unchanged(kind, item) | {"status": status})

    async def create_event(self, event: Json) -> None:
        self._write("create_event", event | {"metadata": event["metadata"] | {"name": event["reason"]}})

    def _read(self, what: str, item: Json | None) -> Json | None:
        self.reads.append(what)
        self.now = self.answers_at or self.now
        return copy.deepcopy(item)

    def _write(self, what: str, item: Json) -> None:
        if self.lifetime == 0:
            raise Killed
        if self.lifetime is not None:
            self.lifetime -= 1
        self.writes.append((what, item["metadata"]["name"]))
        if what in self.faults:
            raise self.faults[what]

    @staticmethod
    def _unchanged(kind: dict[Key, Json], item: Json) -> Json:
        found = kind[_key(item)]
        if found["metadata"]["resourceVersion"] != item["metadata"]["resourceVersion"]:
            raise ApiError(409, {"reason": "Conflict", "message": "the object has been modified"})
        return found

    def _collect(self) -> None:
        """The garbage collector: what has owners, none of which is there, goes."""
        present = {item["metadata"]["uid"] for item in (*self.cron_jobs.values(), *self.scheduled_jobs.values())}
        for key, job in list(self.jobs.items()):
            owners = job["metadata"].get("ownerReferences") or []
            if owners and not any(owner["uid"] in present for owner in owners):
                del self.jobs[key]
                self.collected.append(key[1])


def _key(item: Json) -> Key:
    return item["metadata"]["namespace"], item["metadata"]["name"]
