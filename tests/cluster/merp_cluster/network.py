"""The network namespace of a cluster and the link pair between it and the host."""

import json
import os
from pathlib import Path

from merp_cluster import mounts
from merp_cluster.commands import output, succeeds
from merp_cluster.layout import CLUSTERS, Layout

NAMESPACES = Path("/run/netns")
# There when this package made the host's /run/netns mount, so that the last `down` takes it away again.
OWN_NAMESPACES = CLUSTERS / "made-run-netns"
NODE_LINK = "eth0"


def enter(layout: Layout, argv: list[str]) -> list[str]:
    """`argv` inside the cluster's network. Not `ip netns exec`: that mounts a fresh /sys, which hides the cgroups."""
    return ["nsenter", f"--net={layout.netns}", "--", *argv]


def inode(layout: Layout) -> int | None:
    """Identity of the namespace, as /proc/PID/ns/net shows it; None if there is none. A left-over file is none."""
    if not layout.netns.exists() or not os.path.ismount(layout.netns):
        return None
    return layout.netns.stat().st_ino


def ensure(layout: Layout) -> bool:
    """Makes what is missing of namespace, link, addresses and routes. True if the namespace is a new one."""
    new = inode(layout) is None
    if new:
        _create_namespace(layout)
    if not _has_link(enter(layout, []), NODE_LINK):
        # A host end without the node's end belongs to a namespace that is gone.
        _delete_link(layout)
        output(["ip", "link", "add", layout.link, "type", "veth", "peer", "name", NODE_LINK, "netns", layout.name])
    _configure_node(layout)
    _configure_host(layout)
    return new


def remove(layout: Layout) -> None:
    """Deletes link and namespace, and with them the host's routes, the pods' links and all iptables chains."""
    _delete_link(layout)
    if inode(layout) is not None:
        output(["ip", "netns", "delete", layout.name])
    layout.netns.unlink(missing_ok=True)
    if OWN_NAMESPACES.exists() and NAMESPACES.is_dir() and not any(NAMESPACES.iterdir()):
        # iproute2 has mounted it upon itself.
        mounts.unmount(NAMESPACES)
        NAMESPACES.rmdir()
        OWN_NAMESPACES.unlink()


def _create_namespace(layout: Layout) -> None:
    if not NAMESPACES.exists():
        OWN_NAMESPACES.parent.mkdir(parents=True, exist_ok=True)
        OWN_NAMESPACES.touch()
    # `ip netns add` refuses a name whose file an earlier, cut-off run left behind.
    layout.netns.unlink(missing_ok=True)
    output(["ip", "netns", "add", layout.name])


def _configure_node(layout: Layout) -> None:
    inside = enter(layout, [])
    output([*inside, "ip", "link", "set", "lo", "up"])
    output([*inside, "ip", "address", "replace", f"{layout.node_ip}/30", "dev", NODE_LINK])
    output([*inside, "ip", "link", "set", NODE_LINK, "up"])
    output([*inside, "ip", "route", "replace", "default", "via", layout.host_ip])
    output([*inside, "sysctl", "-q", "-w", "net.ipv4.ip_forward=1"])


def _configure_host(layout: Layout) -> None:
    output(["ip", "address", "replace", f"{layout.host_ip}/30", "dev", layout.link])
    output(["ip", "link", "set", layout.link, "up"])
    for destination in (layout.pod_cidr, layout.service_cidr):
        output(["ip", "route", "replace", destination, "via", layout.node_ip, "dev", layout.link])


def _delete_link(layout: Layout) -> None:
    if _has_link([], layout.link):
        output(["ip", "link", "delete", layout.link])


def _has_link(inside: list[str], name: str) -> bool:
    if not succeeds([*inside, "ip", "-json", "link", "show", "dev", name]):
        return False
    return bool(json.loads(output([*inside, "ip", "-json", "link", "show", "dev", name])))
