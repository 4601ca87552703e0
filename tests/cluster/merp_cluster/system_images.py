"""The two images that the cluster itself needs: pause and CoreDNS, made from our own builds and kept as archives."""

from pathlib import Path

from merp_cluster import buildah
from merp_cluster.binaries import SOURCES, Binaries
from merp_cluster.cache import Cache
from merp_cluster.configuration import PAUSE_IMAGE
from merp_cluster.files import digest
from merp_cluster.progress import step

COREDNS_IMAGE = "merp.local/coredns:1"


def archives(cache: Cache, binaries: Binaries) -> dict[str, Path]:
    """Image name -> archive."""
    return {
        PAUSE_IMAGE: _archive(cache, "pause", PAUSE_IMAGE, binaries.pause()),
        COREDNS_IMAGE: _archive(cache, "coredns", COREDNS_IMAGE, binaries.coredns()),
    }


def _archive(cache: Cache, name: str, image: str, binary: Path) -> Path:
    dockerfile = SOURCES / name / "Dockerfile"
    key = digest([image, dockerfile.read_bytes(), binary.parent.name])

    def build(folder: Path) -> None:
        log = cache.log(f"{name}-image")
        with step(f"building the image {image}"):
            buildah.build(dockerfile, binary.parent, image, log, {})
            buildah.archive(image, folder / "image.tar", log)

    return cache.entry(f"{name}-image", key, build) / "image.tar"
