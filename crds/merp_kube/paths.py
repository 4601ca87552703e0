"""Where each kind lives on the API server."""

from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from merp_crds.names import GROUP, JOB_RUNS, SCHEDULED_JOBS, VERSION


@dataclass(frozen=True, slots=True)
class Resource:
    """A kind of objects: its API's root and its plural."""

    root: str
    plural: str

    def all(self) -> str:
        """The path of all objects, of every namespace."""
        return f"{self.root}/{self.plural}"

    def of(self, namespace: str) -> str:
        """The path of all objects of a namespace. The name is escaped: no `../` leads elsewhere."""
        return f"{self.root}/namespaces/{quote(namespace, safe='')}/{self.plural}"

    def at(self, namespace: str, name: str, subresource: str = "") -> str:
        """The path of one object, or of its subresource."""
        path = f"{self.of(namespace)}/{quote(name, safe='')}"
        return f"{path}/{subresource}" if subresource else path


SCHEDULED_JOB: Final = Resource(f"/apis/{GROUP}/{VERSION}", SCHEDULED_JOBS)
JOB_RUN: Final = Resource(f"/apis/{GROUP}/{VERSION}", JOB_RUNS)
JOB: Final = Resource("/apis/batch/v1", "jobs")
CRON_JOB: Final = Resource("/apis/batch/v1", "cronjobs")
POD: Final = Resource("/api/v1", "pods")
EVENT: Final = Resource("/api/v1", "events")
CONFIG_MAP: Final = Resource("/api/v1", "configmaps")
LEASE: Final = Resource("/apis/coordination.k8s.io/v1", "leases")
