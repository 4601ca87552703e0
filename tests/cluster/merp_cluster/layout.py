"""Where everything of one cluster lives: names, addresses, folders. Only `claim` and `release` write."""

import os
import re
import shutil
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from merp_cluster.errors import ClusterError
from merp_cluster.files import write

DEFAULT_NAME = "merp"
CLUSTERS = Path("/var/lib/merp-cluster")
# 10.96.0.0/16 is Kubernetes' customary Service range; the clusters beside it take the 31 ranges that follow.
MOST_CLUSTERS = 32
IN_USE = "in-use"
# A cluster's name cannot begin with a dot.
DISCARDED = ".discarded."
FIRST_SERVICE_OCTET = 96
# The kernel allows 15 characters for a link's name, one of which is the 0 at its end.
NAME = re.compile(r"[a-z][a-z0-9-]{0,12}[a-z0-9]|[a-z]")


@dataclass(frozen=True)
class Layout:
    """One cluster's names and places. `index` numbers the clusters of this machine and so their address ranges."""

    name: str
    index: int
    run: Path

    @property
    def host_ip(self) -> str:
        return f"10.251.{self.index}.1"

    @property
    def node_ip(self) -> str:
        return f"10.251.{self.index}.2"

    @property
    def pod_cidr(self) -> str:
        return f"10.244.{self.index}.0/24"

    @property
    def service_cidr(self) -> str:
        return f"{self._service_prefix}.0.0/16"

    @property
    def api_service_ip(self) -> str:
        return f"{self._service_prefix}.0.1"

    @property
    def dns_ip(self) -> str:
        return f"{self._service_prefix}.0.10"

    @property
    def api_url(self) -> str:
        return f"https://{self.node_ip}:6443"

    @property
    def link(self) -> str:
        return f"{self.name}0"

    @property
    def netns(self) -> Path:
        return Path("/run/netns") / self.name

    @property
    def cgroup(self) -> str:
        """Path below each cgroup hierarchy; the kubelet's root, so that two clusters' pods stay apart."""
        return f"merp-cluster-{self.name}"

    @property
    def cni_network(self) -> str:
        return f"merp-cluster-{self.name}"

    @property
    def containerd_socket(self) -> Path:
        return self.run / "containerd" / "containerd.sock"

    @property
    def kubeconfig(self) -> Path:
        return self.kubeconfig_of("admin")

    def kubeconfig_of(self, user: str) -> Path:
        return self.run / "kubeconfig" / user

    def log(self, component: str) -> Path:
        return self.run / "log" / f"{component}.log"

    @property
    def pki(self) -> Path:
        return self.run / "pki"

    @property
    def configuration(self) -> Path:
        return self.run / "config"

    @property
    def bin(self) -> Path:
        return self.run / "bin"

    @property
    def volumes(self) -> Path:
        return self.run / "volumes"

    @cached_property
    def _service_prefix(self) -> str:
        return f"10.{FIRST_SERVICE_OCTET + self.index}"


def cluster_name() -> str:
    """`$MERP_CLUSTER`, else `merp`."""
    return checked_name(os.environ.get("MERP_CLUSTER") or DEFAULT_NAME)


def checked_name(name: str) -> str:
    """The name itself. ClusterError if it cannot be a link's name."""
    if not NAME.fullmatch(name):
        raise ClusterError(f"MERP_CLUSTER={name!r}: up to 14 lower-case letters, digits and dashes, a letter first")
    return name


def known_layout(name: str, root: Path = CLUSTERS) -> Layout | None:
    """The layout of a cluster that has been up before and not down since; None otherwise."""
    taken = _taken(root)
    return Layout(name, taken[name], root / name) if name in taken else None


def claim(name: str, root: Path = CLUSTERS) -> Layout:
    """The layout of a cluster that is going up, with an index of its own. Clusters claim one after the other."""
    _remove_discarded(root)
    taken = _taken(root)
    if name not in taken:
        write(root / name / "index", f"{free_index(name, set(taken.values()))}\n")
    (root / name / IN_USE).touch()
    return Layout(name, _taken(root)[name], root / name)


def release(layout: Layout, *, keep_data: bool) -> int:
    """Gives up a cluster that has ended; deletes its folder unless that is to be kept. How many others are in use."""
    if layout.run.exists():
        (layout.run / IN_USE).unlink(missing_ok=True)
        if not keep_data:
            # Whole or not at all: half a folder would be taken for a cluster with half its certificates.
            layout.run.rename(layout.run.with_name(f"{DISCARDED}{layout.name}"))
    root = layout.run.parent
    _remove_discarded(root)
    return len(list(root.glob(f"*/{IN_USE}")))


def free_index(name: str, taken: set[int]) -> int:
    """The lowest free index; 0 is kept for the default cluster, whose addresses the documentation names."""
    if name == DEFAULT_NAME:
        return 0
    for index in range(1, MOST_CLUSTERS):
        if index not in taken:
            return index
    raise ClusterError(f"{MOST_CLUSTERS} clusters are up on this machine; take one down first")


def _taken(root: Path) -> dict[str, int]:
    return {file.parent.name: int(file.read_text()) for file in root.glob("*/index")}


def _remove_discarded(root: Path) -> None:
    for folder in root.glob(f"{DISCARDED}*"):
        shutil.rmtree(folder)
