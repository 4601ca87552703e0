"""Persistent volumes: folders of the host, made in advance, since no provisioner runs in the cluster."""

import json
import shutil
from pathlib import Path
from typing import Any

from merp_cluster.api import Api
from merp_cluster.layout import Layout

STORAGE_CLASS = "local"
VOLUMES = 12
CAPACITY = "1Gi"


def manifests(layout: Layout) -> str:
    """The default StorageClass and its volumes, as a List."""
    items = [_storage_class(), *(_volume(layout, number) for number in range(1, VOLUMES + 1))]
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": items})


def make_folders(layout: Layout) -> None:
    for number in range(1, VOLUMES + 1):
        folder = _folder(layout, number)
        folder.mkdir(parents=True, exist_ok=True)
        # Any pod's user may write; mkdir's own mode would be cut by the umask.
        folder.chmod(0o777)


def reclaim(layout: Layout, api: Api) -> list[str]:
    """Empties the volumes whose claim is gone and offers them again: nobody else would. The names of those."""
    released = released_volumes(api.get("/api/v1/persistentvolumes")["items"])
    for name, folder in released:
        _empty(layout, folder)
        api.kubectl("patch", "persistentvolume", name, "--type=merge", '--patch={"spec":{"claimRef":null}}')
    return [name for name, _ in released]


def released_volumes(volumes: list[Any]) -> list[tuple[str, Path]]:
    """(name, folder) of our volumes whose claim was deleted. A bound or available one is left alone."""
    return [
        (volume["metadata"]["name"], Path(volume["spec"]["hostPath"]["path"]))
        for volume in volumes
        if volume["spec"].get("storageClassName") == STORAGE_CLASS
        and volume.get("status", {}).get("phase") in ("Released", "Failed")
    ]


def _storage_class() -> dict[str, Any]:
    default = {"storageclass.kubernetes.io/is-default-class": "true"}
    return {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": STORAGE_CLASS, "annotations": default},
        "provisioner": "kubernetes.io/no-provisioner",
        "reclaimPolicy": "Retain",
        "volumeBindingMode": "Immediate",
    }


def _volume(layout: Layout, number: int) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": _folder(layout, number).name},
        "spec": {
            "storageClassName": STORAGE_CLASS,
            "capacity": {"storage": CAPACITY},
            # All pods are on the one node, so sharing works as well.
            "accessModes": ["ReadWriteOnce", "ReadWriteMany"],
            "persistentVolumeReclaimPolicy": "Retain",
            "hostPath": {"path": str(_folder(layout, number)), "type": "Directory"},
        },
    }


def _folder(layout: Layout, number: int) -> Path:
    return layout.volumes / f"local-{number:02d}"


def _empty(layout: Layout, folder: Path) -> None:
    if layout.volumes not in folder.parents:
        # Someone else's volume of the same class: not ours to empty.
        return
    for entry in folder.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()
    folder.chmod(0o777)
