"""Pausing a job and resuming it: a note on the ScheduledJob, and the wait until the operator has acted on it."""

import json
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from merp_api import audit, problems
from merp_api.catch_ups import CatchUps, CaughtUp, pause_span
from merp_api.cluster import Cluster
from merp_api.identity import Caller
from merp_api.jobs import Jobs, body_time, retried
from merp_api.pause_notes import is_over, pause_in_force, pause_note, resume_in_force
from merp_api.problems import FieldError, Problem
from merp_api.rules import read_body
from merp_api.schemas import CatchUp, PauseBody
from merp_api.translate import Json
from merp_crds.common import rfc3339
from merp_crds.names import ANNOTATION_PAUSED, FIELD_MANAGER_API
from merp_kube.client import ApiError, Unreachable


@dataclass(frozen=True, slots=True)
class Resumed:
    """A job without its pause, whether that is in force already, and what catches up with the pause."""

    job: Json
    in_force: bool
    catch_up: CaughtUp | None = None


class Pauses:
    """Pauses of jobs, each call with the caller's own rights."""

    def __init__(self, cluster: Cluster, jobs: Jobs, catch_ups: CatchUps, *, pause_seconds: float) -> None:
        self._cluster = cluster
        self._jobs = jobs
        self._catch_ups = catch_ups
        self._pause_seconds = pause_seconds

    async def pause(
        self, caller: Caller, namespace: str, name: str, data: Any, *, wait: bool = True, rehearsal: bool = False
    ) -> tuple[Json, bool]:
        """The paused job, and whether the pause is in force already. A pause that is there stays, unless it is over.

        Without `wait` nobody waits for the operator. A rehearsal changes nothing, and is refused where this would be.
        """
        body = read_body(PauseBody, data)
        job = await retried(lambda: self._pause(caller, namespace, name, body, rehearsal))
        return await self._wait(caller, job, pause_in_force) if wait else (job, pause_in_force(job))

    async def resume(
        self,
        caller: Caller,
        namespace: str,
        name: str,
        missed: CatchUp | None = None,
        key: str | None = None,
        *,
        wait: bool = True,
        rehearsal: bool = False,
    ) -> Resumed:
        """End a pause; with `missed` also ask for runs of what was due in it, before it ends.

        Raises Problem 409, and changes nothing then, where the manifest declares the pause and another manager owns
        that; with `missed` also where there is no pause, or it cannot be caught up. With an Idempotency-Key a repeat
        finds what the first request made. `wait` and `rehearsal` (without `missed`) are as for a pause.
        """
        caught = None
        if missed is not None:
            caught = await retried(lambda: self._catch_up(caller, namespace, name, missed, key))
            if caught.repeated:
                return Resumed(await self._cluster.job(caller.token, namespace, name), True, caught)
        job = await retried(lambda: self._resume(caller, namespace, name, rehearsal))
        if not wait:
            return Resumed(job, resume_in_force(job), caught)
        job, in_force = await self._wait(caller, job, resume_in_force)
        return Resumed(job, in_force, caught)

    async def _pause(self, caller: Caller, namespace: str, name: str, body: PauseBody, rehearsal: bool) -> Json:
        job = await self._cluster.job(caller.token, namespace, name)
        note = pause_note(job["metadata"])
        if note is not None and not is_over(note, self._jobs.now()) and body.reason is None and body.until is None:
            await self._cluster.check_patch(caller.token, job)
            return job
        patch = _patch(job, self._note(caller, job, body))
        return await self._write(caller, "pause", job, patch, rehearsal)

    async def _resume(self, caller: Caller, namespace: str, name: str, rehearsal: bool) -> Json:
        job = await self._cluster.job(caller.token, namespace, name)
        patch = _resuming(job)
        if patch is None:
            await self._cluster.check_patch(caller.token, job)
            return job
        return await self._write(caller, "resume", job, patch, rehearsal)

    async def _write(self, caller: Caller, action: str, job: Json, patch: Json, rehearsal: bool) -> Json:
        metadata = job["metadata"]
        written = await self._cluster.patch_job(
            caller.token, metadata["namespace"], metadata["name"], patch, rehearsal=rehearsal
        )
        if not rehearsal:
            audit.written(caller.user, action, "ScheduledJob", before=job, after=written)
        return written

    async def _catch_up(self, caller: Caller, namespace: str, name: str, missed: CatchUp, key: str | None) -> CaughtUp:
        job = await self._cluster.job(caller.token, namespace, name)
        span = pause_span(job, self._jobs.now())
        earlier = await self._catch_ups.answered(caller, job, span, missed, key)
        if earlier is not None:
            return earlier
        patch = None if span is None else _resuming(job)
        if span is None or patch is None:
            raise Problem(
                problems.NOT_PAUSED,
                f"{name} is not paused: there is nothing to catch up with; a JobRun with a backfill runs other ranges",
            )
        # Who may not resume must not have runs made for it either.
        await self._cluster.patch_job(caller.token, namespace, name, patch, rehearsal=True)
        return await self._catch_ups.ask(caller, job, span, missed, key)

    def _note(self, caller: Caller, job: Json, body: PauseBody) -> str:
        now = self._jobs.now()
        note: dict[str, str] = {"by": caller.user, "at": rfc3339(now)}
        if body.reason is not None:
            note["reason"] = body.reason
        if body.until is not None:
            until = body_time("until", body.until, job, self._jobs.default_zone)
            if until <= now:
                raise problems.validation([FieldError.in_body(["until"], "invalid", "is over already")])
            note["until"] = rfc3339(until)
        return json.dumps(note, ensure_ascii=False)

    async def _wait(self, caller: Caller, job: Json, reached: Callable[[Json], bool]) -> tuple[Json, bool]:
        """The job once the operator has acted, or as it is when the wait ends."""
        if reached(job):
            return job, True
        changes = self._cluster.changes(caller.token, job, self._pause_seconds)
        try:
            async with aclosing(changes):
                async for job in changes:
                    if reached(job):
                        return job, True
        except (TimeoutError, ApiError, Unreachable):
            # Written it is; whether it is in force the caller may not watch, or could not be told in time.
            return job, False
        return job, False


def _resuming(job: Json) -> Json | None:
    """The patch that ends a pause, None where nothing is written. Raises Problem 409 where another manager wrote it."""
    suspended = bool(job["spec"].get("suspend"))
    if suspended:
        _refuse_foreign_suspension(job)
    if not suspended and not _is_annotated(job):
        return None
    return _patch(job, None) | ({"spec": {"suspend": None}} if suspended else {})


def _patch(job: Json, note: str | None) -> Json:
    return {
        "metadata": {
            "resourceVersion": job["metadata"]["resourceVersion"],
            "annotations": {ANNOTATION_PAUSED: note},
        }
    }


def _is_annotated(job: Json) -> bool:
    return ANNOTATION_PAUSED in (job["metadata"].get("annotations") or {})


def _refuse_foreign_suspension(job: Json) -> None:
    owners = [
        entry["manager"]
        for entry in job["metadata"].get("managedFields") or []
        if "f:suspend" in ((entry.get("fieldsV1") or {}).get("f:spec") or {}) and entry["manager"] != FIELD_MANAGER_API
    ]
    if owners:
        raise Problem(
            problems.OWNED_ELSEWHERE,
            f"spec.suspend is true, and {', '.join(sorted(set(owners)))} decides it: change it there",
        )
