"""What the components change on the host outside of the cluster's own folder, and how it is put back."""

import json
from pathlib import Path

from merp_cluster.files import read_optional, write
from merp_cluster.layout import CLUSTERS, Layout

# The kubelet sets these for the whole machine and has no switch that only leaves them alone.
KERNEL_SETTINGS = tuple(
    Path("/proc/sys") / name
    for name in (
        "vm/overcommit_memory",
        "vm/panic_on_oom",
        "kernel/panic",
        "kernel/panic_on_oops",
        "kernel/keys/root_maxkeys",
        "kernel/keys/root_maxbytes",
    )
)
SAVED = CLUSTERS / "kernel-settings.json"
# Paths that are fixed in the components' sources. Each belongs to the host if it was there before.
FIXED_FOLDERS = tuple(
    Path(name)
    for name in (
        "/run/containerd/s",
        "/run/containerd",
        "/var/lib/cni/results",
        "/var/lib/cni",
        "/var/log/containers",
        "/var/lib/kubelet/device-plugins",
        "/var/lib/kubelet/pod-resources",
        "/var/lib/kubelet",
    )
)
# The kubelet makes it at a fixed path, whatever its root; the next kubelet of the host makes it anew.
DEVICE_SOCKET = Path("/var/lib/kubelet/device-plugins/kubelet.sock")
CONTAINER_LOG_LINKS = Path("/var/log/containers")
CNI_RESULTS = Path("/var/lib/cni/results")


def save() -> None:
    """Notes, before the first cluster of this machine starts, what the last `down` is to restore."""
    if SAVED.exists():
        return
    settings = {str(path): path.read_text().strip() for path in KERNEL_SETTINGS if path.exists()}
    absent = [str(folder) for folder in FIXED_FOLDERS if not folder.exists()]
    write(SAVED, json.dumps({"settings": settings, "absent": absent}, indent=1))


def remove_traces(layout: Layout) -> None:
    """Deletes what this cluster's components, which have ended, left in the fixed folders."""
    for address in (layout.run / "containerd" / "state").rglob("address"):
        # Shims that were killed leave their sockets in a folder that all containerds of the host share.
        Path((read_optional(address) or "").removeprefix("unix://")).unlink(missing_ok=True)
    prefix = f"{layout.cni_network}-"
    for result in CNI_RESULTS.glob(f"{prefix}*-eth0"):
        sandbox = result.name.removeprefix(prefix).removesuffix("-eth0")
        (CNI_RESULTS / f"cni-loopback-{sandbox}-lo").unlink(missing_ok=True)
        result.unlink()
    if CONTAINER_LOG_LINKS.is_dir():
        for link in CONTAINER_LOG_LINKS.iterdir():
            if link.is_symlink() and layout.run in link.readlink().parents:
                link.unlink()


def restore() -> None:
    """Puts the kernel's settings back and removes fixed folders that were not there before, if they are empty."""
    text = read_optional(SAVED)
    if text is None:
        return
    saved = json.loads(text)
    for path, value in saved["settings"].items():
        if Path(path).read_text().strip() != value:
            Path(path).write_text(value)
    if str(DEVICE_SOCKET.parent) in saved["absent"]:
        DEVICE_SOCKET.unlink(missing_ok=True)
    for folder in map(Path, saved["absent"]):
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
    SAVED.unlink()
