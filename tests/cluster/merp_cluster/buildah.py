"""Calls of buildah, whose storage on the host is the cache of images."""

from pathlib import Path

from merp_cluster.commands import logged, output, succeeds
from merp_cluster.errors import ClusterError

# chroot: needs neither a container engine nor user namespaces, so it also works inside a container.
ISOLATION = {"BUILDAH_ISOLATION": "chroot"}
CERTIFICATES = Path("/etc/ssl/certs")


def exists(name: str) -> bool:
    return succeeds(["buildah", "inspect", "--type", "image", name])


def image_id(name: str) -> str:
    """64 hex digits. ClusterError if buildah does not have the image."""
    if not exists(name):
        raise ClusterError(f"there is no image {name} in buildah's storage; `merp_cluster images` builds ours")
    return output(["buildah", "inspect", "--type", "image", "--format", "{{.FromImageID}}", name]).strip()


def build(dockerfile: Path, context: Path, name: str, log: Path, arguments: dict[str, str]) -> None:
    """Builds one Dockerfile as `docker build` would. The host's certificates are lent to its RUN steps, because the
    package index may be behind a proxy whose authority only the host knows; they do not get into the image."""
    argv = ["buildah", "build", "--format", "oci", "--layers", "--pull=never", "--network", "host"]
    if CERTIFICATES.is_dir():
        argv += ["--volume", f"{CERTIFICATES}:{CERTIFICATES}:ro"]
    for key, value in arguments.items():
        argv += ["--build-arg", f"{key}={value}"]
    logged([*argv, "--file", str(dockerfile), "--tag", name, str(context)], log, env=ISOLATION)


def from_rootfs(tarball: Path, name: str, log: Path, labels: dict[str, str]) -> None:
    """Makes an image with one layer, the content of `tarball`."""
    container = output(["buildah", "from", "scratch"]).strip()
    try:
        logged(["buildah", "add", container, str(tarball), "/"], log, env=ISOLATION)
        config = ["buildah", "config", "--env", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]
        for key, value in labels.items():
            config += ["--label", f"{key}={value}"]
        output([*config, "--cmd", "/bin/sh", container])
        logged(["buildah", "commit", "--format", "oci", container, name], log, env=ISOLATION)
    finally:
        output(["buildah", "rm", container])


def archive(name: str, target: Path, log: Path) -> None:
    """Writes an image as a Docker archive. Of all formats this one leaves the layers uncompressed: it is read again on
    this machine, and compressing takes five times as long as the rest. The image's id stays the same."""
    logged(["buildah", "push", name, f"docker-archive:{target}:{name}"], log)
