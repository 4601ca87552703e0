"""The processes behind a cluster's components: which run, starting them, ending them, waiting for them."""

from dataclasses import dataclass
from pathlib import Path

from merp_cluster import cgroups, configuration, network, processes
from merp_cluster.commands import holds_within, wait_until
from merp_cluster.components import Component, components
from merp_cluster.errors import ClusterError
from merp_cluster.layout import Layout
from merp_cluster.progress import say

# Each is ready within 4 s on two idle processors; beside builds and other clusters on the same ones it takes many times that.
READY_SECONDS = 300.0
# A process that ran before and does not answer for so long is stopped or hangs; a busy machine delays by less.
REVIVE_SECONDS = 30.0


@dataclass(frozen=True)
class ComponentState:
    """What a user asks of a component; `pid` is None if it does not run."""

    name: str
    pid: int | None
    ready: bool


class Supervision:
    """Nothing is held in memory: any process may ask, start and stop."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        hyperkube = (layout.bin / "hyperkube").resolve()
        self.components = components(layout, hyperkube, configuration.files(layout))

    def component(self, name: str) -> Component:
        """ClusterError that lists the names if there is none of this name."""
        for component in self.components:
            if component.name == name:
                return component
        names = ", ".join(component.name for component in self.components)
        raise ClusterError(f"there is no component {name!r}; there are {names}")

    def state(self, component: Component) -> ComponentState:
        """Whatever flags it was started with: those of this process's environment may differ."""
        record = self._alive(component)
        if record is None:
            return ComponentState(component.name, None, False)
        return ComponentState(component.name, record.identity.pid, component.ready())

    def current(self, component: Component) -> bool:
        """Whether it runs just as it would be started now."""
        record = self._alive(component)
        return record is not None and record.configuration == component.configuration

    def launch(self, component: Component) -> None:
        """Starts a component unless it runs as it should; one that runs otherwise is ended first."""
        if self.current(component):
            return
        self.stop(component)
        layout = self._layout
        group = cgroups.component_group(layout.cgroup, component.name)
        identity = processes.start(component.argv, layout.log(component.name), group)
        processes.Record(identity, component.configuration).save(self._pid_file(component))

    def stop(self, component: Component, *, kill: bool = False) -> None:
        """Also ends a process whose pid file was never written. Shims stay: they hold the pods, whoever leads them."""
        members = cgroups.members(self._layout.cgroup, f"components/{component.name}")
        own = [pid for pid in members if not processes.command_name(pid).startswith("containerd-shim")]
        found = [identity for pid in own if (identity := processes.identify(pid))]
        processes.end(found, term_seconds=0 if kill else processes.TERM_SECONDS)
        self._pid_file(component).unlink(missing_ok=True)

    def await_ready(self, component: Component) -> None:
        """ClusterError that names the component's log if it ends or is not ready in time."""
        log = self._layout.log(component.name)

        def ready() -> bool:
            record = processes.Record.load(self._pid_file(component))
            # Not in the cluster's network yet, perhaps: it enters that in its first milliseconds.
            if record is None or not record.identity.alive():
                raise ClusterError(f"{component.name} ended instead of becoming ready", log)
            return component.ready()

        late = ClusterError(f"{component.name} is not ready after {READY_SECONDS:.0f} s", log)
        wait_until(ready, READY_SECONDS, failed=lambda: late)

    def revive(self, component: Component) -> None:
        """Starts a component anew that has ended, or runs but does not answer (stopped by a signal, or deadlocked)."""
        if not self.current(component):
            self.launch(component)
        elif not holds_within(component.ready, REVIVE_SECONDS):
            say(f"{component.name} runs but does not answer: starting it anew")
            self.stop(component, kill=True)
            self.launch(component)

    def _alive(self, component: Component) -> processes.Record | None:
        """The record of a process that lives, in the network that the cluster has now."""
        record = processes.Record.load(self._pid_file(component))
        if record is None or not record.identity.alive():
            return None
        if processes.network_inode(record.identity.pid) != network.inode(self._layout):
            return None
        return record

    def _pid_file(self, component: Component) -> Path:
        return self._layout.run / "pid" / f"{component.name}.json"
