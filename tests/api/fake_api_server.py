"""A small API server in memory: the paths that the gateway uses, over real HTTP.

It keeps what the gateway relies on: tokens and rights, names as locks, resourceVersion on writes, merge patches,
managed fields, dry runs, pages with a continue token, watches with bookmarks, and reviews. It validates nothing.
"""

import asyncio
import base64
import copy
import json
import uuid
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Self

from aiohttp import web

from merp_crds.names import ANNOTATION_PAUSED, GROUP

Json = dict[str, Any]
Key = tuple[str, str, str]

READ = frozenset({"get", "list", "watch"})
ALL = READ | {"create", "update", "patch", "delete"}


class Refusal(Exception):
    """An answer with a Status object."""

    def __init__(self, status: int, reason: str, message: str, details: Json | None = None) -> None:
        self.status = status
        self.body = {"kind": "Status", "reason": reason, "message": message, "details": details or {}, "code": status}
        super().__init__(message)


@dataclass
class Seen:
    """A request that arrived."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: Any


@dataclass
class FakeApiServer:
    """The server's state; tests read and change it directly."""

    # token -> user, and user -> namespace (`*`: all) -> verbs
    users: dict[str, str] = field(default_factory=dict)
    rights: dict[str, dict[str, frozenset[str]]] = field(default_factory=lambda: defaultdict(dict))
    objects: dict[Key, Json] = field(default_factory=dict)
    # Names of pods and what they wrote.
    logs: dict[str, str] = field(default_factory=dict)
    # Those of them that have not ended.
    going_on: set[str] = field(default_factory=set)
    # One for each of those that is being followed.
    followed: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(0))
    namespaces: set[str] = field(default_factory=lambda: {"default", "erp", "erp-production-environment"})
    seen: list[Seen] = field(default_factory=list)
    # (method, plural) -> answers to give before anything is done
    refusals: dict[tuple[str, str], list[Refusal]] = field(default_factory=lambda: defaultdict(list))
    # What somebody else writes just before a request of (method, plural) is looked at.
    interruptions: dict[tuple[str, str], list[Any]] = field(default_factory=lambda: defaultdict(list))
    # Whether an operator follows pauses.
    operator: bool = True
    # Set as soon as somebody watches.
    watched: asyncio.Event = field(default_factory=asyncio.Event)
    # (user, plural) of which somebody sees nothing, whatever their other rights.
    hidden: set[tuple[str, str]] = field(default_factory=set)
    # Reviews that were asked for with somebody's own rights: (kind, what was asked).
    reviews: list[tuple[str, Json]] = field(default_factory=list)
    # Whether watches are refused with this status, those that are open too.
    watch_status: int | None = None
    # What watches tell: version, plural, type, object.
    history: list[tuple[int, str, str, Json]] = field(default_factory=list)
    version: int = 1000
    port: int = 0
    _runner: web.AppRunner | None = None
    _changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=4 * 2**20)
        app.router.add_route("*", "/{path:.*}", self._answer)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._runner is not None
        await self._runner.cleanup()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def allow(self, token: str, user: str, namespace: str | None = None, verbs: frozenset[str] = ALL) -> None:
        """A token of a user, with these rights in a namespace (`*`: everywhere), or with none."""
        self.users[token] = user
        if namespace is not None:
            self.rights[user][namespace] = verbs

    def put(self, plural: str, item: Json) -> Json:
        """Store an object as kubectl would, and return it."""
        metadata = item["metadata"]
        key = (plural, metadata.get("namespace", ""), metadata["name"])
        now = "2026-11-01T02:30:00Z"
        metadata.setdefault("uid", str(uuid.uuid4()))
        metadata.setdefault("creationTimestamp", now)
        metadata.setdefault("generation", 1)
        self.version += 1
        metadata["resourceVersion"] = str(self.version)
        self.history.append((self.version, plural, "MODIFIED" if key in self.objects else "ADDED", copy.deepcopy(item)))
        self.objects[key] = item
        return item

    def job(self, name: str, namespace: str = "default") -> Json:
        return self.objects[("scheduledjobs", namespace, name)]

    def calls(self, method: str, plural: str) -> list[Seen]:
        return [seen for seen in self.seen if seen.method == method and f"/{plural}" in seen.path]

    def writes(self, method: str, plural: str) -> list[Seen]:
        """Those that change something: a rehearsal only asks whether it would be allowed."""
        return [seen for seen in self.calls(method, plural) if seen.query.get("dryRun") != "All"]

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        raw = await request.read()
        body = json.loads(raw) if raw else None
        self.seen.append(Seen(request.method, request.path, dict(request.query), dict(request.headers), body))
        try:
            answer = await self._route(request, body)
        except Refusal as refusal:
            headers = {"Retry-After": "7"} if refusal.status == 429 else {}
            return web.json_response(refusal.body, status=refusal.status, headers=headers)
        return answer if isinstance(answer, web.StreamResponse) else web.json_response(answer)

    async def _route(self, request: web.Request, body: Any) -> Json | web.StreamResponse:
        if request.path == "/version":
            return {"gitVersion": "v1.34.4"}
        user = self._user(request)
        if request.path.endswith(("/tokenreviews", "/subjectaccessreviews")):
            return self._review(user, request.path.rpartition("/")[2], body["spec"])
        if request.path.endswith("/selfsubjectreviews"):
            return {"status": {"userInfo": {"username": user}}}
        if request.path.endswith("/selfsubjectaccessreviews"):
            asked = body["spec"]["resourceAttributes"]
            return {"status": {"allowed": self._may(user, asked["verb"], asked.get("namespace"))}}
        parts = request.path.removeprefix(f"/apis/{GROUP}/v1/").removeprefix("/api/v1/").split("/")
        namespace = None
        if parts[0] == "namespaces":
            namespace, parts = parts[1], parts[2:]
        plural, name = parts[0], parts[1] if len(parts) > 1 else None
        self._authorize(user, request, plural, namespace, name)
        if self.refusals[(request.method, plural)]:
            raise self.refusals[(request.method, plural)].pop(0)
        if self.interruptions[(request.method, plural)]:
            self.interruptions[(request.method, plural)].pop(0)()
        if parts[2:] == ["log"]:
            return await self._log(request, name or "")
        return await self._serve(request, body, plural, namespace, name)

    async def _log(self, request: web.Request, name: str) -> web.StreamResponse:
        """As the kubelet has it: before the first line no answer begins."""
        if name not in self.going_on:
            return web.Response(text=self.logs[name])
        response = web.StreamResponse()
        if self.logs[name]:
            await response.prepare(request)
            await response.write(self.logs[name].encode())
        self.followed.release()
        await asyncio.Event().wait()
        return response

    def _review(self, user: str, kind: str, asked: Json) -> Json:
        if "create" not in self.rights[user].get("*", ()):
            raise Refusal(403, "Forbidden", f'{kind} is forbidden: User "{user}" cannot create resource "{kind}"')
        self.reviews.append((kind, asked))
        if kind == "tokenreviews":
            name = self.users.get(asked["token"])
            return {"status": {"authenticated": True, "user": {"username": name, "groups": ["g"]}} if name else {}}
        attributes = asked["resourceAttributes"]
        allowed = self._may(asked["user"], attributes["verb"], attributes.get("namespace"))
        return {"status": {"allowed": allowed and (asked["user"], attributes["resource"]) not in self.hidden}}

    def _user(self, request: web.Request) -> str:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme != "Bearer" or token not in self.users:
            raise Refusal(401, "Unauthorized", "Unauthorized")
        return self.users[token]

    def _may(self, user: str, verb: str, namespace: str | None) -> bool:
        rights = self.rights[user]
        return verb in rights.get("*", ()) or (namespace is not None and verb in rights.get(namespace, ()))

    def _authorize(self, user: str, request: web.Request, plural: str, namespace: str | None, name: str | None) -> None:
        reading = "watch" if "watch" in request.query else "get" if name else "list"
        verbs = {"GET": reading, "POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
        verb = verbs[request.method]
        if not self._may(user, verb, namespace) or (user, plural) in self.hidden:
            message = f'{plural}.{GROUP} is forbidden: User "{user}" cannot {verb} resource "{plural}"'
            raise Refusal(403, "Forbidden", message, {"kind": plural})

    async def _serve(
        self, request: web.Request, body: Any, plural: str, namespace: str | None, name: str | None
    ) -> Json | web.StreamResponse:
        if name is None:
            if request.method == "POST":
                assert namespace is not None
                return await self._create(request, plural, namespace, body)
            if "watch" in request.query:
                return await self._watch(request, plural, namespace)
            return self._list(request, plural, namespace)
        # Without a namespace it is an object of the whole cluster.
        key = (plural, namespace or "", name)
        if key not in self.objects:
            details = {"name": name, "group": GROUP, "kind": plural}
            raise Refusal(404, "NotFound", f'{plural}.{GROUP} "{name}" not found', details)
        if request.method == "GET":
            return self.objects[key]
        if request.method == "DELETE":
            metadata = self.objects[key]["metadata"]
            uid = metadata["uid"]
            wanted = ((body or {}).get("preconditions") or {}).get("resourceVersion")
            if wanted not in (None, metadata["resourceVersion"]):
                raise Refusal(409, "Conflict", f"the ResourceVersion in the precondition ({wanted}) is another one")
            if request.query.get("dryRun") != "All":
                await self.remove(*key)
            return {"kind": "Status", "status": "Success", "details": {"name": name, "uid": uid}}
        return await self._write(request, key, body)

    async def _create(self, request: web.Request, plural: str, namespace: str, body: Json) -> Json:
        if namespace not in self.namespaces:
            details = {"name": namespace, "kind": "namespaces"}
            raise Refusal(404, "NotFound", f'namespaces "{namespace}" not found', details)
        name = body["metadata"]["name"]
        if (plural, namespace, name) in self.objects:
            details = {"name": name, "group": GROUP, "kind": plural}
            raise Refusal(409, "AlreadyExists", f'{plural}.{GROUP} "{name}" already exists', details)
        item = copy.deepcopy(body)
        item["metadata"]["creationTimestamp"] = _now()
        item["metadata"]["managedFields"] = [_managed(request, item["spec"])]
        if request.query.get("dryRun") == "All":
            item["metadata"]["uid"] = str(uuid.uuid4())
            return item
        made = self.put(plural, item)
        await self.tell()
        return made

    async def _write(self, request: web.Request, key: Key, body: Json) -> Json:
        before = self.objects[key]
        wanted = (body.get("metadata") or {}).get("resourceVersion")
        if wanted is not None and wanted != before["metadata"]["resourceVersion"]:
            raise Refusal(
                409, "Conflict", "the object has been modified; please apply your changes to the latest version"
            )
        after = copy.deepcopy(body) if request.method == "PUT" else _merged(before, body)
        after["status"] = copy.deepcopy(before.get("status") or {})
        metadata = after["metadata"]
        changed = {name: value for name, value in after["spec"].items() if before["spec"].get(name) != value}
        if after["spec"] != before["spec"]:
            metadata["generation"] += 1
        metadata["managedFields"] = [*(before["metadata"].get("managedFields") or []), _managed(request, changed)]
        if request.query.get("dryRun") == "All":
            return after
        self.put(key[0], after)
        if self.operator:
            _follow_pause(after)
        async with self._changed:
            self._changed.notify_all()
        return after

    def _list(self, request: web.Request, plural: str, namespace: str | None) -> Json:
        found = [
            item
            for (kind, where, _), item in sorted(self.objects.items())
            if kind == plural and namespace in (None, where) and _is_selected(request, item)
        ]
        after = request.query.get("continue")
        begin = _offset(after) if after else 0
        limit = int(request.query.get("limit") or len(found) or 1)
        end = begin + limit
        following = base64.b64encode(f"from {end}".encode()).decode() if end < len(found) else ""
        return {"items": found[begin:end], "metadata": {"continue": following, "resourceVersion": str(self.version)}}

    async def _watch(self, request: web.Request, plural: str, namespace: str | None) -> web.StreamResponse:
        if "fieldSelector" not in request.query:
            return await self._watch_all(request, plural, namespace)
        name = request.query["fieldSelector"].removeprefix("metadata.name=")
        last = int(request.query["resourceVersion"])
        response = web.StreamResponse()
        await response.prepare(request)
        self.watched.set()
        while True:
            item = self.objects.get((plural, namespace or "", name))
            if item is not None and int(item["metadata"]["resourceVersion"]) > last:
                last = int(item["metadata"]["resourceVersion"])
                await response.write(json.dumps({"type": "MODIFIED", "object": item}).encode() + b"\n")
            async with self._changed:
                await self._changed.wait()

    async def _watch_all(self, request: web.Request, plural: str, namespace: str | None) -> web.StreamResponse:
        """Every change behind a version, and a bookmark after those that there are."""
        if self.watch_status is not None:
            raise Refusal(self.watch_status, "Expired", "too old resource version")
        told = int(request.query["resourceVersion"])
        response = web.StreamResponse()
        await response.prepare(request)
        while self.watch_status is None:
            for version, kind, event, item in self.history:
                if version > told and kind == plural and namespace in (None, item["metadata"].get("namespace")):
                    await response.write(json.dumps({"type": event, "object": item}).encode() + b"\n")
            told = self.version
            mark = {"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": str(told)}}}
            await response.write(json.dumps(mark).encode() + b"\n")
            async with self._changed:
                await self._changed.wait_for(lambda: self.version > told or self.watch_status is not None)  # noqa: B023
        if self.watch_status == 410:
            expired = {"type": "ERROR", "object": {"kind": "Status", "code": 410, "message": "too old"}}
            await response.write(json.dumps(expired).encode() + b"\n")
        return response

    async def tell(self) -> None:
        """Let the watches tell what was put since."""
        async with self._changed:
            self._changed.notify_all()

    async def remove(self, plural: str, namespace: str, name: str) -> None:
        """Delete an object, and tell the watches."""
        item = copy.deepcopy(self.objects.pop((plural, namespace, name)))
        self.version += 1
        item["metadata"]["resourceVersion"] = str(self.version)
        self.history.append((self.version, plural, "DELETED", item))
        await self.tell()

    async def set_status(self, name: str, status: Json, namespace: str = "default") -> None:
        """What the operator says of a job."""
        item = self.job(name, namespace)
        item["status"] = status
        self.put("scheduledjobs", item)
        async with self._changed:
            self._changed.notify_all()


def condition(kind: str, status: str, reason: str, message: str = "", generation: int = 1) -> Json:
    return {
        "type": kind,
        "status": status,
        "reason": reason,
        "message": message,
        "lastTransitionTime": "2026-11-01T02:30:00Z",
        "observedGeneration": generation,
    }


def _follow_pause(item: Json) -> None:
    note = (item["metadata"].get("annotations") or {}).get(ANNOTATION_PAUSED)
    if item["spec"].get("suspend"):
        paused = condition("Paused", "True", "Suspended", "spec.suspend is true")
    elif note is not None:
        paused = condition("Paused", "True", "PausedByAnnotation", note)
    else:
        paused = condition("Paused", "False", "NotPaused", "runs become due")
    found = item["status"].get("conditions") or []
    others = [entry for entry in found if entry["type"] != "Paused"]
    before = next((entry for entry in found if entry["type"] == "Paused"), None)
    if before is not None and before["status"] == paused["status"]:
        paused["lastTransitionTime"] = before["lastTransitionTime"]
    else:
        paused["lastTransitionTime"] = _told(note) or _now()
    item["status"]["conditions"] = [*others, paused]


def _told(note: str | None) -> str | None:
    """Since when a note says that it is paused: this operator sees it at once."""
    try:
        said = json.loads(note or "null")
    except ValueError:
        return None
    return said.get("at") if isinstance(said, dict) else None


def _managed(request: web.Request, spec: Json) -> Json:
    return {
        "manager": request.query.get("fieldManager", "unknown"),
        "operation": "Update",
        "time": _now(),
        "fieldsV1": {"f:spec": {f"f:{name}": {} for name in spec}},
    }


def _merged(before: Json, patch: Json) -> Json:
    after = copy.deepcopy(before)
    for key, value in patch.items():
        if value is None:
            after.pop(key, None)
        elif isinstance(value, dict):
            after[key] = _merged(after.get(key) or {}, value)
        else:
            after[key] = value
    return after


def _is_selected(request: web.Request, item: Json) -> bool:
    labels = item["metadata"].get("labels") or {}
    selector = request.query.get("labelSelector")
    wanted = [part.partition("=") for part in selector.split(",")] if selector else []
    return all(labels.get(key) == value for key, _, value in wanted)


def _offset(after: str) -> int:
    try:
        text = base64.b64decode(after).decode()
        if text == "expired":
            raise Refusal(410, "Expired", "The provided continue parameter is too old")
        return int(text.removeprefix("from "))
    except ValueError as error:
        raise Refusal(400, "BadRequest", "continue key is not valid") from error


def _now() -> str:
    return datetime.now(UTC).replace(microsecond=0).isoformat().replace("+00:00", "Z")
