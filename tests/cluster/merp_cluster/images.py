"""The product's images (and MariaDB for tests), built from the repository's Dockerfiles and named by their content."""

import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from merp_cluster import base_image, buildah
from merp_cluster.binaries import SOURCES
from merp_cluster.cache import Cache, cache_root
from merp_cluster.errors import ClusterError
from merp_cluster.files import digest
from merp_cluster.progress import step

REPOSITORY = SOURCES.parent.parent
REGISTRY = "merp.local"
# Not part of any image (see .dockerignore), so it must not change an image's name either.
IGNORED = ("__pycache__", "node_modules")


@dataclass(frozen=True)
class Image:
    name: str
    dockerfile: Path
    context: Path


IMAGES = (
    Image("operator", REPOSITORY / "operator" / "Dockerfile", REPOSITORY),
    Image("api", REPOSITORY / "api" / "Dockerfile", REPOSITORY),
    Image("runner", REPOSITORY / "job_images" / "python" / "Dockerfile", REPOSITORY),
    Image("tasks", REPOSITORY / "job_images" / "tasks" / "Dockerfile", REPOSITORY),
    Image("mariadb", SOURCES / "mariadb" / "Dockerfile", SOURCES / "mariadb"),
)


ALL = tuple(image.name for image in IMAGES)


def build_all(names: tuple[str, ...] = ALL) -> dict[str, str]:
    """Short name ("operator") -> full name with tag, all in buildah's storage afterwards. Builds what is missing."""
    cache = Cache(cache_root())
    base = base_image.ensure(cache)
    return {image.name: _build(image, base, cache) for image in IMAGES if image.name in names}


def tag(image: Image, base_id: str) -> str:
    """The image's full name: its tag changes with the Dockerfile, every file it copies, and the base."""
    dockerfile = image.dockerfile.read_text()
    parts = [dockerfile, base_id]
    for source in copied(dockerfile):
        for file in _files(image.context / source, image.dockerfile):
            executable = "x" if file.stat().st_mode & stat.S_IXUSR else "-"
            parts += [str(file.relative_to(image.context)), executable, file.read_bytes().hex()]
    return f"{REGISTRY}/{image.name}:{digest(parts)}"


def copied(dockerfile: str) -> list[str]:
    """The paths that a Dockerfile's COPY instructions take from the context; those from other stages are none."""
    sources: list[str] = []
    for line in dockerfile.replace("\\\n", " ").splitlines():
        words = line.split()
        if words[:1] != ["COPY"] or any(word.startswith("--from=") for word in words):
            continue
        sources += [word for word in words[1:-1] if not word.startswith("--")]
    return sources


def _files(source: Path, dockerfile: Path) -> Iterator[Path]:
    if source.is_file():
        yield source
        return
    if not source.is_dir():
        raise ClusterError(f"{dockerfile} copies {source}, which does not exist")
    for file in sorted(source.rglob("*")):
        if file.is_file() and not any(part in IGNORED for part in file.parts):
            yield file


def _build(image: Image, base: str, cache: Cache) -> str:
    name = tag(image, buildah.image_id(base))
    if not buildah.exists(name):
        with step(f"building the image {name}"):
            buildah.build(image.dockerfile, image.context, name, cache.log(f"image-{image.name}"), {"BASE": base})
    return name
