"""One cluster: up, down, its state, and its parts one by one."""

import os
import shutil
import string
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from merp_cluster import certificates, cgroups, configuration, host, mounts, network, packages, processes, storage
from merp_cluster.api import Api
from merp_cluster.binaries import SOURCES, Binaries
from merp_cluster.cache import Cache, cache_root
from merp_cluster.commands import wait_until
from merp_cluster.components import Component, components
from merp_cluster.containerd import Containerd
from merp_cluster.errors import ClusterError
from merp_cluster.files import link, lock, write
from merp_cluster.layout import CLUSTERS, Layout, checked_name, cluster_name, known_layout, take_index
from merp_cluster.progress import say, step
from merp_cluster.system_images import COREDNS_IMAGE, archives

# Each is ready within 4 s on two idle processors; beside a build on the same processors it takes several times that.
READY_SECONDS = 60.0
NODE_READY_SECONDS = 90.0


@dataclass(frozen=True)
class ComponentState:
    name: str
    pid: int | None
    ready: bool


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
        return self.layout.kubeconfig

    @property
    def api(self) -> Api:
        return Api(self.layout)

    def up(self) -> None:
        """Makes and starts whatever is missing, from packages to a ready node; what runs well is left as it is."""
        _require_root()
        with self._exclusive():
            packages.ensure(self._cache.log("packages"))
            binaries = Binaries(self._cache)
            programs = {"hyperkube": binaries.hyperkube(), "helm": binaries.helm()}
            images = archives(self._cache, binaries)
            host.save()
            layout = take_index(self.name)
            self._prepare(layout, programs)
            self._start(layout, images)

    def down(self, *, keep_data: bool = False) -> None:
        """Ends every process of the cluster and leaves the host as it was. Nothing happens if it is not there."""
        _require_root()
        with self._exclusive():
            layout = known_layout(self.name) or Layout(self.name, 0, CLUSTERS / self.name)
            self._end_everything(layout)
            cgroups.remove(layout.cgroup)
            network.remove(layout)
            host.remove_traces(layout)
            if not keep_data and layout.run.exists():
                shutil.rmtree(layout.run)
            if not any(CLUSTERS.glob("*/index")) or keep_data and not self._others(layout):
                host.restore()
            if CLUSTERS.is_dir() and not any(CLUSTERS.iterdir()):
                CLUSTERS.rmdir()

    def states(self) -> list[ComponentState]:
        """Every component in the order of its start."""
        return [self._state(component) for component in self._components()]

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

    def stop(self, name: str, *, kill: bool = False) -> None:
        """Ends one component: SIGTERM with some seconds' grace, or SIGKILL at once. It stays down until `start` or `up`."""
        with self._exclusive():
            self._stop(self.layout, self._component(name), kill=kill)

    def start(self, name: str) -> None:
        """Starts one component, if it is not running, and waits until it is ready."""
        with self._exclusive():
            component = self._component(name)
            self._launch(self.layout, component)
            self._await(self.layout, component)

    def load(self, images: list[str]) -> list[str]:
        """Brings images of buildah's storage into the cluster; those that are there are skipped. The names brought."""
        with self._exclusive():
            return Containerd(self.layout).load(images)

    def pid(self, name: str) -> int | None:
        """The process of a component; None if it is not running."""
        return self._state(self._component(name)).pid

    def inside(self, argv: list[str]) -> list[str]:
        """`argv` as a command that runs in the cluster's network."""
        return network.enter(self.layout, argv)

    # --- up, step by step ---

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
            self._end_everything(layout)
        network.ensure(layout)
        cgroups.ensure(layout.cgroup)

    def _start(self, layout: Layout, images: dict[str, Path]) -> None:
        found = self._components()
        stale = [component for component in found if not self._running(layout, component)]
        waves = sorted({component.wave for component in found})
        with step(f"starting {', '.join(component.name for component in stale) or 'nothing: all components run'}"):
            for wave in waves:
                now = [component for component in found if component.wave == wave]
                for component in now:
                    self._launch(layout, component)
                for component in now:
                    self._await(layout, component)
                    if component.name == "containerd":
                        self._import_system_images(layout, images)
            self._apply(layout)
        with step("waiting for the node and its DNS"):
            self._await_node(layout)
        for volume in storage.reclaim(layout, self.api):
            say(f"volume {volume} emptied and offered again")

    def _import_system_images(self, layout: Layout, images: dict[str, Path]) -> None:
        containerd = Containerd(layout)
        for name, archive in images.items():
            containerd.import_archive(name, archive)

    def _apply(self, layout: Layout) -> None:
        api = Api(layout)
        template = string.Template((SOURCES / "manifests" / "coredns.yaml").read_text())
        api.apply(template.substitute(dns_ip=layout.dns_ip, image=COREDNS_IMAGE))
        api.apply(storage.manifests(layout))

    def _await_node(self, layout: Layout) -> None:
        api = Api(layout)

        def ready() -> bool:
            node = api.get(f"/api/v1/nodes/{layout.name}")
            dns = api.get("/apis/apps/v1/namespaces/kube-system/deployments/coredns")
            return condition(node, "Ready") and condition(dns, "Available") and up_to_date(dns)

        def answered() -> bool:
            try:
                return ready()
            except OSError:
                # The node has not registered yet.
                return False

        late = ClusterError(f"the node or its DNS is not ready after {NODE_READY_SECONDS:.0f} s", layout.log("kubelet"))
        wait_until(answered, NODE_READY_SECONDS, failed=lambda: late)

    # --- single components ---

    def _components(self) -> list[Component]:
        layout = self.layout
        return components(layout, (layout.bin / "hyperkube").resolve(), configuration.files(layout))

    def _component(self, name: str) -> Component:
        found = self._components()
        for component in found:
            if component.name == name:
                return component
        raise ClusterError(f"there is no component {name!r}; there are {', '.join(part.name for part in found)}")

    def _pid_file(self, layout: Layout, component: Component) -> Path:
        return layout.run / "pid" / f"{component.name}.json"

    def _running(self, layout: Layout, component: Component) -> processes.Identity | None:
        """The process, if it lives, was started as it would be now, and is in the cluster's present network."""
        record = processes.Record.load(self._pid_file(layout, component))
        if record is None or not record.identity.alive() or record.configuration != component.configuration:
            return None
        if processes.network_inode(record.identity.pid) != network.inode(layout):
            return None
        return record.identity

    def _state(self, component: Component) -> ComponentState:
        identity = self._running(self.layout, component)
        return ComponentState(component.name, identity and identity.pid, identity is not None and component.ready())

    def _launch(self, layout: Layout, component: Component) -> None:
        if self._running(layout, component):
            return
        self._stop(layout, component, kill=False)
        group = cgroups.component_group(layout.cgroup, component.name)
        identity = processes.start(component.argv, layout.log(component.name), group)
        processes.Record(identity, component.configuration).save(self._pid_file(layout, component))

    def _stop(self, layout: Layout, component: Component, *, kill: bool) -> None:
        """Also ends a process whose pid file was never written. Shims stay: they hold the pods, whoever leads them."""
        members = cgroups.members(layout.cgroup, f"components/{component.name}")
        own = [pid for pid in members if not processes.command_name(pid).startswith("containerd-shim")]
        found = [identity for pid in own if (identity := processes.identify(pid))]
        processes.end(found, term_seconds=0 if kill else processes.TERM_SECONDS)
        self._pid_file(layout, component).unlink(missing_ok=True)

    def _await(self, layout: Layout, component: Component) -> None:
        log = layout.log(component.name)

        def ready() -> bool:
            if not self._running(layout, component):
                raise ClusterError(f"{component.name} ended instead of becoming ready", log)
            return component.ready()

        late = ClusterError(f"{component.name} is not ready after {READY_SECONDS:.0f} s", log)
        wait_until(ready, READY_SECONDS, failed=lambda: late)

    # --- down ---

    def _end_everything(self, layout: Layout) -> None:
        """Every process in the cluster's cgroups, then every mount below its folder."""
        # What starts others (kubelet, containerd) may do so until it has ended, hence more than one round.
        while pids := cgroups.members(layout.cgroup):
            processes.end([found for pid in pids if (found := processes.identify(pid))], term_seconds=0)
        mounts.unmount(layout.run)
        shutil.rmtree(layout.run / "containerd" / "state", ignore_errors=True)

    def _others(self, layout: Layout) -> bool:
        return any(file.parent.name != layout.name for file in CLUSTERS.glob("*/index"))

    def _exclusive(self) -> AbstractContextManager[None]:
        return lock(Path(f"/run/lock/merp-cluster-{self.name}.lock"), f"it works on the cluster {self.name}")


def condition(resource: dict[str, Any], kind: str) -> bool:
    """Whether a resource reports the condition `kind` as true."""
    return any(c["type"] == kind and c["status"] == "True" for c in resource.get("status", {}).get("conditions", []))


def up_to_date(resource: dict[str, Any]) -> bool:
    """Whether the status speaks of the resource as it is now."""
    return resource.get("status", {}).get("observedGeneration") == resource["metadata"]["generation"]


def _require_root() -> None:
    if os.geteuid() != 0:
        raise ClusterError("needs root on Linux: it makes network namespaces, mounts and cgroups")
