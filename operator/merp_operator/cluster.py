"""The operator's writes to Kubernetes, and the live reads that come before some of them. Nothing else writes.

Every write is a create with a deterministic name, a server-side apply, or carries the version it was decided from: what
a stale operator still had in flight changes nothing.
"""

import json
from collections.abc import Iterable
from contextlib import aclosing
from datetime import datetime
from http import HTTPStatus
from typing import Final

from merp_crds import names
from merp_crds.common import rfc3339
from merp_kube import paths
from merp_kube.client import APPLY_PATCH, JSON_PATCH, MERGE_PATCH, PAGE_SIZE, ApiError, Client
from merp_kube.paths import Resource
from merp_operator.observe import Json

_APPLY: Final = {"fieldManager": names.FIELD_MANAGER_OPERATOR, "force": "true", "fieldValidation": "Strict"}
_CREATE: Final = {"fieldManager": names.FIELD_MANAGER_OPERATOR, "fieldValidation": "Strict"}
_REFUSALS: Final = frozenset(
    {HTTPStatus.BAD_REQUEST, HTTPStatus.FORBIDDEN, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, HTTPStatus.UNPROCESSABLE_ENTITY}
)
# A kubelet that says nothing for so long is not asked further.
_LOG_SECONDS: Final = 10.0
# Named explicitly: the API's default for Jobs leaves their pods behind.
_BACKGROUND: Final = {"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "Background"}


class Cluster:
    """What the operator does to the cluster. Errors are the client's: ApiError and Unreachable."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def scheduled_job(self, namespace: str, name: str) -> Json | None:
        """The live ScheduledJob, or None."""
        return await self._find(paths.SCHEDULED_JOB, namespace, name)

    async def job(self, namespace: str, name: str) -> Json | None:
        """The live Job, or None."""
        return await self._find(paths.JOB, namespace, name)

    async def cron_job(self, namespace: str, name: str) -> Json | None:
        """The live CronJob, or None."""
        return await self._find(paths.CRON_JOB, namespace, name)

    async def apply_cron_job(self, cron_job: Json) -> Json:
        """Make the CronJob as wanted, whoever changed it. Returns it as it is now."""
        metadata = cron_job["metadata"]
        path = paths.CRON_JOB.at(metadata["namespace"], metadata["name"])
        return await self._client.call("PATCH", path, query=_APPLY, body=cron_job, content_type=APPLY_PATCH)

    async def suspend_cron_job(self, cron_job: Json) -> Json:
        """Let the native clock start nothing more. Returns the CronJob as it is now; raises ApiError 409 if it has
        changed."""
        metadata = cron_job["metadata"]
        body = {"metadata": {"resourceVersion": metadata["resourceVersion"]}, "spec": {"suspend": True}}
        path = paths.CRON_JOB.at(metadata["namespace"], metadata["name"])
        query = {"fieldManager": names.FIELD_MANAGER_OPERATOR}
        return await self._client.call("PATCH", path, query=query, body=body, content_type=MERGE_PATCH)

    async def delete_cron_job(self, namespace: str, name: str, uid: str) -> None:
        """Delete the CronJob if it is still that one."""
        await self._delete(paths.CRON_JOB, namespace, name, uid)

    async def keep_books(self, cron_job: Json, active: Iterable[Json], last_schedule_time: datetime | None) -> Json:
        """Add to the native controller's books: unfinished runs, and the newest due time that is done.

        Returns the CronJob as it is now. Raises ApiError 409 if it has changed.
        """
        metadata = cron_job["metadata"]
        listed = [*((cron_job.get("status") or {}).get("active") or []), *active]
        told: Json = {"active": listed} if listed else {}
        if last_schedule_time is not None:
            told["lastScheduleTime"] = rfc3339(last_schedule_time)
        body = {"metadata": {"resourceVersion": metadata["resourceVersion"]}, "status": told}
        path = paths.CRON_JOB.at(metadata["namespace"], metadata["name"], "status")
        return await self._client.call("PATCH", path, body=body, content_type=MERGE_PATCH)

    async def jobs_of(self, namespace: str, uid: str) -> list[Json]:
        """The live Jobs of the ScheduledJob with that UID."""
        items: list[Json] = []
        query = {"labelSelector": f"{names.LABEL_SCHEDULED_JOB_UID}={uid}", "limit": str(PAGE_SIZE)}
        while True:
            page = await self._client.call("GET", paths.JOB.of(namespace), query=query)
            items += page["items"]
            token = page["metadata"].get("continue")
            if not token:
                return items
            query |= {"continue": token}

    async def pods_of(self, job: Json) -> list[Json]:
        """The live pods of a Job."""
        uid = job["metadata"]["uid"]
        query = {"labelSelector": f"{names.LABEL_JOB_NAME}={job['metadata']['name']}"}
        page = await self._client.call("GET", paths.POD.of(job["metadata"]["namespace"]), query=query)
        return [
            pod
            for pod in page["items"]
            if any(owner["uid"] == uid for owner in pod["metadata"].get("ownerReferences") or [])
        ]

    async def log_of(self, pod: Json, container: str, *, lines: int, limit: int) -> str:
        """The last lines of a container's log, at most `limit` bytes of them, also of one that has ended."""
        metadata = pod["metadata"]
        path = paths.POD.at(metadata["namespace"], metadata["name"], "log")
        query = {"container": container, "tailLines": str(lines), "limitBytes": str(limit)}
        async with aclosing(self._client.stream(path, query=query, idle_seconds=_LOG_SECONDS)) as found:
            return b"\n".join([line async for line in found]).decode(errors="replace")

    async def create_job(self, job: Json, *, dry_run: bool = False) -> bool:
        """Create a Job. False if the name is taken: then the run exists, or something else has its name."""
        metadata = job["metadata"]
        query = _CREATE | ({"dryRun": "All"} if dry_run else {})
        try:
            await self._client.call("POST", paths.JOB.of(metadata["namespace"]), query=query, body=job)
        except ApiError as error:
            if error.reason == "AlreadyExists":
                return False
            raise
        return True

    async def hand_over(self, job: Json, controller: Json) -> None:
        """Make a Job one of the CronJob that is in its books by now. Raises ApiError 409 if the Job has changed."""
        metadata = job["metadata"]
        body = {"metadata": {"resourceVersion": metadata["resourceVersion"], "ownerReferences": [controller]}}
        path = paths.JOB.at(metadata["namespace"], metadata["name"])
        query = {"fieldManager": names.FIELD_MANAGER_OPERATOR}
        await self._client.call("PATCH", path, query=query, body=body, content_type=MERGE_PATCH)

    async def delete_job(self, namespace: str, name: str, uid: str) -> None:
        """Delete the Job and its pods if it is still that one."""
        await self._delete(paths.JOB, namespace, name, uid)

    async def end_run(self, job: Json, ending: Json) -> None:
        """End a run, waiting or running: it says why, and is not tried again. Raises ApiError 409 if it has changed."""
        metadata = job["metadata"]
        body = {
            "metadata": {
                "resourceVersion": metadata["resourceVersion"],
                "annotations": {names.ANNOTATION_ENDED: json.dumps(ending, ensure_ascii=False)},
            },
            # A run that waits has to be let go, or its deadline does not count.
            "spec": {"activeDeadlineSeconds": 0, "suspend": False},
        }
        path = paths.JOB.at(metadata["namespace"], metadata["name"])
        query = {"fieldManager": names.FIELD_MANAGER_OPERATOR}
        await self._client.call("PATCH", path, query=query, body=body, content_type=MERGE_PATCH)

    async def release(self, job: Json, opened_by: str | None) -> None:
        """Let a run go that waits; what opened its gate is written with it. Raises ApiError 409 if it has changed."""
        metadata = job["metadata"]
        told: Json = {"resourceVersion": metadata["resourceVersion"]}
        if opened_by is not None:
            told["annotations"] = {names.ANNOTATION_OPENED_BY: opened_by}
        path = paths.JOB.at(metadata["namespace"], metadata["name"])
        query = {"fieldManager": names.FIELD_MANAGER_OPERATOR}
        body = {"metadata": told, "spec": {"suspend": False}}
        await self._client.call("PATCH", path, query=query, body=body, content_type=MERGE_PATCH)

    async def write_wait(self, job: Json, opened_by: str | None, since: datetime | None) -> None:
        """Write on a run that waits for room what opened its gate, and since when it waits.

        Raises ApiError 409 if the Job has changed.
        """
        metadata = job["metadata"]
        annotations = {} if opened_by is None else {names.ANNOTATION_OPENED_BY: opened_by}
        if since is not None:
            annotations[names.ANNOTATION_ROOM_SINCE] = rfc3339(since)
        body = {"metadata": {"resourceVersion": metadata["resourceVersion"], "annotations": annotations}}
        path = paths.JOB.at(metadata["namespace"], metadata["name"])
        query = {"fieldManager": names.FIELD_MANAGER_OPERATOR}
        await self._client.call("PATCH", path, query=query, body=body, content_type=MERGE_PATCH)

    async def job_run(self, namespace: str, name: str) -> Json | None:
        """The live JobRun, or None."""
        return await self._find(paths.JOB_RUN, namespace, name)

    async def remove_annotations(self, scheduled_job: Json, annotations: dict[str, str]) -> Json:
        """Take annotations off a ScheduledJob where they still have these values. Returns it as it is now.

        Raises ApiError 409 if the object has changed.
        """
        metadata = scheduled_job["metadata"]
        present = metadata.get("annotations") or {}
        body: list[Json] = [
            {"op": "replace", "path": "/metadata/resourceVersion", "value": metadata["resourceVersion"]}
        ]
        body += [
            {"op": "remove", "path": f"/metadata/annotations/{name.replace('~', '~0').replace('/', '~1')}"}
            for name, value in annotations.items()
            if present.get(name) == value
        ]
        path = paths.SCHEDULED_JOB.at(metadata["namespace"], metadata["name"])
        query = {"fieldManager": names.FIELD_MANAGER_OPERATOR}
        return await self._client.call("PATCH", path, query=query, body=body, content_type=JSON_PATCH)

    async def delete_job_run(self, namespace: str, name: str, uid: str) -> None:
        """Delete the JobRun if it is still that one."""
        await self._delete(paths.JOB_RUN, namespace, name, uid)

    async def write_status(self, resource: Resource, item: Json, status: Json) -> Json:
        """Replace the status of an object of ours. Raises ApiError 409 if the object has changed."""
        metadata = item["metadata"]
        body = [
            {"op": "replace", "path": "/metadata/resourceVersion", "value": metadata["resourceVersion"]},
            {"op": "add", "path": "/status", "value": status},
        ]
        path = resource.at(metadata.get("namespace", ""), metadata["name"], "status")
        query = {"fieldManager": names.FIELD_MANAGER_OPERATOR}
        return await self._client.call("PATCH", path, query=query, body=body, content_type=JSON_PATCH)

    async def create_event(self, event: Json) -> None:
        """Tell an Event. One that was told already, or whose namespace is going away, is not told again."""
        try:
            await self._client.call("POST", paths.EVENT.of(event["metadata"]["namespace"]), body=event)
        except ApiError as error:
            if error.status not in (HTTPStatus.CONFLICT, HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND):
                raise

    async def warnings_of(self, namespace: str, uid: str) -> list[Json]:
        """The Warning Events about the object with that UID that are still kept."""
        query = {"fieldSelector": f"involvedObject.uid={uid},type=Warning", "limit": str(PAGE_SIZE)}
        page = await self._client.call("GET", paths.EVENT.of(namespace), query=query)
        items: list[Json] = page["items"]
        return items

    async def _find(self, resource: Resource, namespace: str, name: str) -> Json | None:
        try:
            return await self._client.call("GET", resource.at(namespace, name))
        except ApiError as error:
            if error.status == HTTPStatus.NOT_FOUND:
                return None
            raise

    async def _delete(self, resource: Resource, namespace: str, name: str, uid: str) -> None:
        body = _BACKGROUND | {"preconditions": {"uid": uid}}
        try:
            await self._client.call("DELETE", resource.at(namespace, name), body=body)
        except ApiError as error:
            # Gone, or another object under the old name: either way ours is no more.
            if error.status not in (HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT):
                raise


def will_not_have(error: ApiError) -> bool:
    """Whether Kubernetes will not have an object as it is: a rule, a policy or a quota is against it."""
    return error.status in _REFUSALS
