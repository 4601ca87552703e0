"""One cluster: up, down, its state, and its parts one by one."""

import os
import shutil
import string
import time
from contextlib import AbstractContextManager
from datetime import datetime
from pathlib import Path
from typing import Any

from merp_cluster import certificates, cgroups, configuration, dns, host, mounts, network, packages, processes, storage
from merp_cluster.api import Api
from merp_cluster.binaries import SOURCES, Binaries
from merp_cluster.cache import Cache, cache_root
from merp_cluster.commands import wait_until
from merp_cluster.containerd import Containerd
from merp_cluster.errors import ClusterError
from merp_cluster.files import link, lock, write
from merp_cluster.layout import CLUSTERS, Layout, checked_name, claim, cluster_name, known_layout, release
from merp_cluster.progress import say, step
from merp_cluster.supervision import ComponentState, Supervision
from merp_cluster.system_images import COREDNS_IMAGE, archives

# 5 s on two idle processors.
NODE_READY_SECONDS = 300.0
LEASE_SECONDS = 10.0


class Cluster:
    """A cluster by name. Its methods may be called from any process: what they need to know is on disk."""

    def __init__(self, name: str | None = None) -> None:
        self.name = cluster_name() if name is None else checked_name(name)
        self._cache = Cache(cache_root())

    @property
    def layout(self) -> Layout:
        """ClusterError if the cluster has not been up."""
        layout = known_layout(self.name)
        if layout is None:
            raise ClusterError(f"the cluster {self.name} is not up; `python3 -m merp_cluster up` starts it")
        return layout

    @property
    def kubeconfig(self) -> Path:
        """The administrator's; the file carries its certificates."""
        return self.layout.kubeconfig

    @property
    def api(self) -> Api:
        """Requests to the API server as its administrator."""
        return Api(self.layout)

    def up(self) -> None:
        """Makes and starts whatever is missing, from packages to a ready node; what runs well is left as it is."""
        _require_root()
        with self._exclusive():
            programs, images = self._built()
            with _machine():
                host.save()
                layout = claim(self.name)
            self._prepare(layout, programs)
            self._start(layout, images)

    def build(self) -> None:
        """Makes what `up` starts, where the cache does not hold it: minutes on a machine that has nothing yet."""
        _require_root()
        with self._exclusive():
            self._built()

    def down(self, *, keep_data: bool = False) -> None:
        """Ends every process of the cluster and leaves the host as it was. Nothing happens if it is not there."""
        _require_root()
        with self._exclusive():
            # Without an index there are no addresses to know, and none are needed: all is found by the name.
            layout = known_layout(self.name) or Layout(self.name, 0, CLUSTERS / self.name)
            _end_everything(layout)
            cgroups.remove(layout.cgroup)
            network.remove(layout)
            with _machine():
                if release(layout, keep_data=keep_data) == 0:
                    host.restore()
                if CLUSTERS.is_dir() and not any(CLUSTERS.iterdir()):
                    CLUSTERS.rmdir()

    def states(self) -> list[ComponentState]:
        """Every component in the order of its start."""
        supervision = Supervision(self.layout)
        return [supervision.state(component) for component in supervision.components]

    def versions(self) -> dict[str, str]:
        """What the running parts say of themselves; empty where nothing answers."""
        layout = self.layout
        try:
            server = str(self.api.get("/version")["gitVersion"])
            node = self.api.get(f"/api/v1/nodes/{layout.name}")
        except OSError:
            return {}
        info = node["status"]["nodeInfo"]
        return {
            "server version": server,
            "kubelet version": info["kubeletVersion"],
            "container runtime": info["containerRuntimeVersion"],
            "node": f"{layout.name} {'Ready' if condition(node, 'Ready') else 'NOT READY'} {layout.node_ip}",
        }

    def pid(self, name: str) -> int | None:
        """The process of a component; None if it is not running."""
        supervision = Supervision(self.layout)
        return supervision.state(supervision.component(name)).pid

    def stop(self, name: str, *, kill: bool = False) -> None:
        """Ends one component: SIGTERM with some seconds' grace, or SIGKILL. It stays down until `start` or `up`."""
        with self._exclusive():
            supervision = Supervision(self.layout)
            supervision.stop(supervision.component(name), kill=kill)

    def start(self, name: str) -> None:
        """Starts one component, if it is not running, and waits until it is ready."""
        with self._exclusive():
            supervision = Supervision(self.layout)
            supervision.launch(supervision.component(name))
            supervision.await_ready(supervision.component(name))

    def load(self, images: list[str]) -> list[str]:
        """Brings images of buildah's storage into the cluster; those that are there are skipped. The names brought."""
        with self._exclusive():
            return Containerd(self.layout).load(images)

    def reclaim_volumes(self) -> list[str]:
        """Empties volumes whose claim was deleted and offers them again. Their names."""
        return storage.reclaim(self.layout, self.api)

    def inside(self, argv: list[str]) -> list[str]:
        """`argv` as a command that runs in the cluster's network."""
        return network.enter(self.layout, argv)

    def _built(self) -> tuple[dict[str, Path], dict[str, Path]]:
        """The programs and the images' archives."""
        packages.ensure(self._cache.log("packages"))
        binaries = Binaries(self._cache)
        programs = {"hyperkube": binaries.hyperkube(), "helm": binaries.helm()}
        return programs, archives(self._cache, binaries)

    def _prepare(self, layout: Layout, programs: dict[str, Path]) -> None:
        certificates.ensure(layout)
        for name, content in configuration.files(layout).items():
            write(layout.configuration / name, content)
        layout.bin.mkdir(parents=True, exist_ok=True)
        for name, target in (*programs.items(), ("kubectl", programs["hyperkube"])):
            link(layout.bin / name, target)
        storage.make_folders(layout)
        if network.inode(layout) is None and (cgroups.members(layout.cgroup) or mounts.below(layout.run)):
            say("the network namespace is gone: ending what an earlier start left behind")
            _end_everything(layout)
        network.ensure(layout)
        cgroups.ensure(layout.cgroup)

    def _start(self, layout: Layout, images: dict[str, Path]) -> None:
        supervision = Supervision(layout)
        stale = [component.name for component in supervision.components if not supervision.current(component)]
        with step(f"starting {', '.join(stale)}" if stale else "checking components"):
            for wave in sorted({component.wave for component in supervision.components}):
                now = [component for component in supervision.components if component.wave == wave]
                for component in now:
                    if component.name in stale:
                        supervision.launch(component)
                for component in now:
                    # One or the other: what was launched a moment ago is not in the cluster's network yet, so that a
                    # second launch would take it for a stranger. In their order: an API server whose etcd is just
                    # being started does not hang.
                    if component.name not in stale:
                        supervision.revive(component)
                    supervision.await_ready(component)
                    if component.name == "containerd":
                        # The API server needs some seconds more, so this costs no time.
                        Containerd(layout).import_archives(images)
            _apply(layout)
        with step("waiting for the node and its DNS"):
            _await_node(layout)
        for volume in self.reclaim_volumes():
            say(f"volume {volume} emptied and offered again")

    def _exclusive(self) -> AbstractContextManager[None]:
        return lock(Path(f"/run/lock/merp-cluster-{self.name}.lock"), f"it works on the cluster {self.name}")


def condition(resource: dict[str, Any], kind: str) -> bool:
    """Whether a resource reports the condition `kind` as true."""
    return any(c["type"] == kind and c["status"] == "True" for c in resource.get("status", {}).get("conditions", []))


def _machine() -> AbstractContextManager[None]:
    """What all clusters of the machine share: indexes and the host's saved settings."""
    return lock(Path("/run/lock/merp-cluster.lock"), "it picks or returns addresses")


def _apply(layout: Layout) -> None:
    api = Api(layout)
    template = string.Template((SOURCES / "manifests" / "coredns.yaml").read_text())
    api.apply(template.substitute(dns_ip=layout.dns_ip, image=COREDNS_IMAGE))
    api.apply(storage.manifests(layout))


def _await_node(layout: Layout) -> None:
    api = Api(layout)
    # The lease is renewed every 10 s, and by a kubelet that starts at once.
    began = time.time() - LEASE_SECONDS

    def ready() -> bool:
        try:
            node = api.get(f"/api/v1/nodes/{layout.name}")
            lease = api.get(f"/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/{layout.name}")
        except OSError:
            # The node has not registered yet.
            return False
        # What etcd kept from before a restart also says Ready; a lease of now is the present kubelet's.
        alive = datetime.fromisoformat(lease["spec"]["renewTime"]).timestamp() > began
        return (
            alive and condition(node, "Ready") and dns.resolves(layout.dns_ip, "kubernetes.default.svc.cluster.local")
        )

    late = ClusterError(f"the node or its DNS is not ready after {NODE_READY_SECONDS:.0f} s", layout.log("kubelet"))
    wait_until(ready, NODE_READY_SECONDS, failed=lambda: late)


def _end_everything(layout: Layout) -> None:
    """Every process in the cluster's cgroups, then every mount below its folder, then its traces on the host."""
    # What starts others (kubelet, containerd) may do so until it has ended, hence more than one round.
    while pids := cgroups.members(layout.cgroup):
        processes.end([found for pid in pids if (found := processes.identify(pid))], term_seconds=0)
    mounts.unmount(layout.run)
    host.remove_traces(layout)
    shutil.rmtree(layout.run / "containerd" / "state", ignore_errors=True)


def _require_root() -> None:
    if os.geteuid() != 0:
        raise ClusterError("needs root on Linux: it makes network namespaces, mounts and cgroups")
