"""The cgroups of a cluster: the kubelet's root for pods, and a group per component that tells which processes are ours.

A pid file can be lost between the start of a process and its writing; membership in a cgroup cannot.
"""

import os
import time
from pathlib import Path

from merp_cluster.commands import POLL_SECONDS
from merp_cluster.errors import ClusterError

MOUNT = Path("/sys/fs/cgroup")
# A process that has ended leaves its group a moment later.
_LEAVING_SECONDS = 30.0


def hierarchies() -> list[Path]:
    """Every cgroup hierarchy of the host: one on cgroup v2, one per controller (and perhaps a hybrid's) on v1."""
    if (MOUNT / "cgroup.controllers").exists():
        return [MOUNT]
    found = [
        folder for folder in sorted(MOUNT.iterdir()) if (folder / "cgroup.procs").exists() and not folder.is_symlink()
    ]
    if not found:
        raise ClusterError(f"no cgroups are mounted below {MOUNT}; the kubelet needs them")
    return found


def ensure(root: str) -> None:
    """Makes the group `root` in every hierarchy, ready for children with all controllers."""
    for hierarchy in hierarchies():
        group = hierarchy / root
        group.mkdir(exist_ok=True)
        for setting in ("cpuset.cpus", "cpuset.mems"):
            # On v1 a group without processors takes no process, and a new one has none.
            if (hierarchy / setting).exists() and not (group / setting).read_text().strip():
                (group / setting).write_text((hierarchy / setting).read_text())
        if hierarchy == MOUNT:
            _enable_all(hierarchy)
            _enable_all(group)


def component_group(root: str, component: str) -> Path:
    """The group that a component's processes join; it limits nothing, it only tells whose they are."""
    group = _tracking_hierarchy() / root / "components" / component
    group.mkdir(parents=True, exist_ok=True)
    return group


def members(root: str, below: str = "") -> set[int]:
    """Pids of all processes in the cluster's groups (or in one of them), over all hierarchies."""
    pids: set[int] = set()
    for hierarchy in hierarchies():
        for procs in (hierarchy / root / below).rglob("cgroup.procs"):
            pids |= _pids(procs)
    return pids


def remove(root: str) -> None:
    """Deletes the cluster's groups, deepest first. They must be empty of processes."""
    for hierarchy in hierarchies():
        for folder, _, _ in os.walk(hierarchy / root, topdown=False):
            _rmdir(Path(folder))


def _rmdir(group: Path) -> None:
    deadline = time.monotonic() + _LEAVING_SECONDS
    while True:
        try:
            group.rmdir()
        except FileNotFoundError:
            return
        except OSError as busy:
            if time.monotonic() > deadline:
                raise ClusterError(f"cannot delete the cgroup {group}: {busy}") from busy
            time.sleep(POLL_SECONDS)
        else:
            return


def _pids(procs: Path) -> set[int]:
    try:
        return {int(line) for line in procs.read_text().split()}
    except (FileNotFoundError, OSError):
        # The group was deleted between listing and reading: nobody is in it any more.
        return set()


def _tracking_hierarchy() -> Path:
    found = hierarchies()
    named = [hierarchy for hierarchy in found if hierarchy.name in ("systemd", "pids")]
    return named[-1] if named else found[0]


def _enable_all(group: Path) -> None:
    for controller in (group / "cgroup.controllers").read_text().split():
        (group / "cgroup.subtree_control").write_text(f"+{controller}")
