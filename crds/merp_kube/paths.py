"""Where each kind lives on the API server."""

from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from merp_crds.names import BUSINESS_CALENDARS, GROUP, JOB_POOLS, JOB_RUNS, SCHEDULED_JOBS, VERSION


@dataclass(frozen=True, slots=True)
class Resource:
    """A kind of objects: its API's root and its plural, and whether its objects are in no namespace."""

    root: str
    plural: str
    cluster_scoped: bool = False

    def all(self) -> str:
        """The path of all objects, of every namespace."""
        return f"{self.root}/{self.plural}"

    def of(self, namespace: str) -> str:
        """The path of all objects of a namespace. The name is escaped: no `../` leads elsewhere.

        Cluster-scoped objects are the same for every namespace, the empty one too.
        """
        if self.cluster_scoped:
            return self.all()
        return f"{self.root}/namespaces/{quote(namespace, safe='')}/{self.plural}"

    def at(self, namespace: str, name: str, subresource: str = "") -> str:
        """The path of one object, or of its subresource."""
        path = f"{self.of(namespace)}/{quote(name, safe='')}"
        return f"{path}/{subresource}" if subresource else path


SCHEDULED_JOB: Final = Resource(f"/apis/{GROUP}/{VERSION}", SCHEDULED_JOBS)
JOB_RUN: Final = Resource(f"/apis/{GROUP}/{VERSION}", JOB_RUNS)
JOB_POOL: Final = Resource(f"/apis/{GROUP}/{VERSION}", JOB_POOLS)
BUSINESS_CALENDAR: Final = Resource(f"/apis/{GROUP}/{VERSION}", BUSINESS_CALENDARS, cluster_scoped=True)
JOB: Final = Resource("/apis/batch/v1", "jobs")
CRON_JOB: Final = Resource("/apis/batch/v1", "cronjobs")
POD: Final = Resource("/api/v1", "pods")
EVENT: Final = Resource("/api/v1", "events")
CONFIG_MAP: Final = Resource("/api/v1", "configmaps")
LEASE: Final = Resource("/apis/coordination.k8s.io/v1", "leases")
