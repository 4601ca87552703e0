"""The base of our images on machines without a registry: Debian with Python, made by debootstrap."""

import shutil
from pathlib import Path

from merp_cluster import buildah, mounts
from merp_cluster.cache import Cache
from merp_cluster.commands import logged
from merp_cluster.files import digest
from merp_cluster.progress import step

SUITE = "bookworm"
PACKAGES = ("ca-certificates", "python3", "python3-venv")
# Files that no container reads and that every load of an image would carry along.
DROPPED = ("usr/share/doc", "usr/share/man", "usr/share/locale", "var/lib/apt/lists", "var/cache/apt")
# Raised when the way the image is made changes, since the package list alone would not tell.
RECIPE = "1"


def ensure(cache: Cache) -> str:
    """Name of the base image, in buildah's storage afterwards. Its tar file is kept: it takes 50 s to make."""
    key = digest([SUITE, *PACKAGES, *DROPPED, RECIPE])
    name = f"merp.local/python-base:{key}"
    if buildah.exists(name):
        return name
    log = cache.log("python-base")
    tarball = cache.entry("python-base", key, lambda folder: _bootstrap(folder, log)) / "rootfs.tar"
    with step(f"building the image {name}"):
        labels = {"org.opencontainers.image.title": "python-base", "org.opencontainers.image.version": SUITE}
        buildah.from_rootfs(tarball, name, log, labels)
    return name


def _bootstrap(folder: Path, log: Path) -> None:
    root = folder / "rootfs"
    with step(f"bootstrapping Debian {SUITE} with {' '.join(PACKAGES)}"):
        logged(["debootstrap", "--variant=minbase", f"--include={','.join(PACKAGES)}", SUITE, str(root)], log)
        # debootstrap mounts /proc for the packages' scripts.
        mounts.unmount(root)
        for dropped in DROPPED:
            shutil.rmtree(root / dropped, ignore_errors=True)
        logged(["tar", "--numeric-owner", "-C", str(root), "-cf", str(folder / "rootfs.tar"), "."], log)
    shutil.rmtree(root)
