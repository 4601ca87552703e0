"""The images that the cluster's containerd holds, and bringing more of them in."""

import json
import tempfile
from pathlib import Path
from typing import Any

from merp_cluster import buildah
from merp_cluster.commands import logged, output
from merp_cluster.layout import Layout
from merp_cluster.progress import step


class Containerd:
    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._ctr = ["ctr", "--address", str(layout.containerd_socket), "--namespace", "k8s.io"]

    def image_id(self, name: str) -> str | None:
        """The image's id (digest of its configuration, the same that buildah tells); None if it is not there."""
        rows = output([*self._ctr, "images", "list", f"name=={name}"]).splitlines()[1:]
        if not rows:
            return None
        manifest = self._manifest(rows[0].split()[2])
        return str(manifest["config"]["digest"]).removeprefix("sha256:")

    def load(self, names: list[str]) -> list[str]:
        """Copies images out of buildah's storage; those that are there by the same id are skipped. Those copied."""
        wanted = [name for name in dict.fromkeys(names) if self.image_id(name) != buildah.image_id(name)]
        for name in wanted:
            with step(f"loading {name}"):
                self._copy(name)
        return wanted

    def import_archives(self, archives: dict[str, Path]) -> None:
        """Brings in images (name -> archive of that one image), unless they are there."""
        for name, archive in archives.items():
            if self.image_id(name) is None:
                output([*self._ctr, "images", "import", str(archive)])

    def _copy(self, name: str) -> None:
        log = self._layout.log("load")
        with tempfile.TemporaryDirectory(dir=self._layout.run, prefix="load.") as folder:
            archive = Path(folder) / "image.tar"
            buildah.archive(name, archive, log)
            logged([*self._ctr, "images", "import", str(archive)], log)

    def _manifest(self, digest: str) -> Any:
        content = json.loads(output([*self._ctr, "content", "get", digest]))
        while "manifests" in content:
            content = json.loads(output([*self._ctr, "content", "get", content["manifests"][0]["digest"]]))
        return content
