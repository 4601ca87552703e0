"""The embedded cluster as a test looks at it: apply, read, and wait for what is to come."""

import json
import re
import time
from collections.abc import Callable
from typing import Any, TypeVar
from urllib.error import HTTPError

from merp_cluster.cluster import Cluster
from merp_cluster.errors import ClusterError

Json = dict[str, Any]
Found = TypeVar("Found")

_ROOTS = {
    "scheduledjobs": "/apis/scheduler.merp.io/v1",
    "jobruns": "/apis/scheduler.merp.io/v1",
    "jobpools": "/apis/scheduler.merp.io/v1",
    "jobs": "/apis/batch/v1",
    "cronjobs": "/apis/batch/v1",
    "deployments": "/apis/apps/v1",
    "pods": "/api/v1",
    "events": "/api/v1",
}
_POLL_SECONDS = 0.2
# What takes a second may take a minute on a machine that is busy with other suites. Only a test that fails waits so long.
_SECONDS = 300.0
# A server that is busy with other suites answers late, and nothing is wrong with it.
_ANSWER_SECONDS = 60.0
# A busy job's whole status is some thousands of characters, and who reads wants its first ones.
_DESCRIBED_LENGTH = 1500


class Kube:
    """One namespace of the cluster."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self.cluster = cluster
        self.namespace = namespace

    def await_account(self) -> None:
        """Wait for the account of the namespace's pods: until it is there nobody can make one by hand."""

        def is_there() -> bool:
            try:
                self.kubectl("get", "serviceaccount", "default")
            except ClusterError:
                return False
            return True

        self.until("the namespace has its account", is_there)

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        """What kubectl prints. Raises ClusterError with what it complains of."""
        return self.cluster.api.kubectl("--namespace", self.namespace, *arguments, stdin=stdin)

    def apply(self, *items: Json) -> None:
        """Server-side apply, as a user or a GitOps tool does it."""
        document = json.dumps({"apiVersion": "v1", "kind": "List", "items": list(items)})
        self.kubectl("apply", "--server-side", "-f", "-", stdin=document)

    def create(self, item: Json) -> str:
        """Create, and return the name."""
        return self.kubectl("create", "-f", "-", "-o", "jsonpath={.metadata.name}", stdin=json.dumps(item))

    def get(self, plural: str, name: str) -> Json | None:
        """The object, or None."""
        try:
            found: Json = self._read(f"{plural}/{name}")
        except HTTPError as error:
            if error.code == 404:
                return None
            raise
        return found

    def list(self, plural: str, selector: str = "") -> list[Json]:
        """The objects that a label selector selects."""
        query = f"?labelSelector={selector}" if selector else ""
        items: list[Json] = self._read(f"{plural}{query}")["items"]
        return items

    def _read(self, path: str) -> Any:
        root = _ROOTS[re.split(r"[/?]", path)[0]]
        return self.cluster.api.get(f"{root}/namespaces/{self.namespace}/{path}", _ANSWER_SECONDS)

    def until(self, what: str, look: Callable[[], Found | None], seconds: float = _SECONDS) -> Found:
        """What `look` finds, as soon as it finds something. Fails with `what` after `seconds`."""
        deadline = time.monotonic() + seconds
        while True:
            found = look()
            if found:
                return found
            assert time.monotonic() < deadline, f"not within {seconds:.0f} s: {what}\n{self.described()}"
            time.sleep(_POLL_SECONDS)

    def described(self) -> str:
        """What there is in the namespace, an object a line, for whoever reads why a test failed."""
        kinds = ("scheduledjobs", "jobruns", "jobpools", "cronjobs", "jobs", "pods", "events")
        return "\n".join(f"{plural} {_described(item)}" for plural in kinds for item in self.list(plural))

    def condition(self, name: str, kind: str) -> Json | None:
        """A condition of a ScheduledJob, once the operator has seen its newest definition."""
        item = self.get("scheduledjobs", name)
        status = (item or {}).get("status") or {}
        if item is None or status.get("observedGeneration") != item["metadata"]["generation"]:
            return None
        return next((entry for entry in status.get("conditions", []) if entry["type"] == kind), None)

    def verdict(self, run: str) -> Json | None:
        """A JobRun's status once it has a verdict."""
        item = self.get("jobruns", run)
        status: Json = (item or {}).get("status") or {}
        return status if status.get("verdict") else None


def _described(item: Json) -> str:
    told = {field: item[field] for field in ("status", "reason", "message") if field in item}
    # An Event's own name says nothing.
    name = (item.get("involvedObject") or item["metadata"])["name"]
    suspended = (item.get("spec") or {}).get("suspend")
    return f"{name}{' suspended' if suspended else ''} {json.dumps(told)[:_DESCRIBED_LENGTH]}"
