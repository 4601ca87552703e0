"""The catalogues of an installation, as files: the ConfigMaps that the chart mounts."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from merp_crds.catalogue import IMAGE_KEY, KEY, Catalogue

# What tells that a file was changed: when, which, how large. The kubelet puts another file in its place.
_Version = tuple[int, int, int]

_log: Final = logging.getLogger(__name__)


class CatalogueFiles:
    """Catalogues by image, read anew when a file changes.

    `default` is the file of the default image, `folder` holds a folder for each further image, as a ConfigMap is
    mounted. One that cannot be read is logged by its path, once, and as if it were not there.
    """

    def __init__(self, default: Path | None, image: str, folder: Path | None = None) -> None:
        self._default = default
        self._image = image
        self._folder = folder
        self._read: dict[Path, tuple[_Version, Catalogue | None]] = {}

    def by_image(self) -> Mapping[str, Catalogue]:
        """Every catalogue that can be read. Of two of one image the default's counts, else the first by name."""
        found: dict[str, Catalogue] = {}
        for path in self._paths():
            catalogue = self._catalogue(path)
            if catalogue is not None:
                found.setdefault(catalogue.image, catalogue)
        return found

    def _paths(self) -> list[Path]:
        default = [] if self._default is None else [self._default]
        return default if self._folder is None else [*default, *sorted(self._folder.glob(f"*/{KEY}"))]

    def _catalogue(self, path: Path) -> Catalogue | None:
        try:
            status = path.stat()
        except OSError:  # optional, or just being replaced
            return None
        version = (status.st_mtime_ns, status.st_ino, status.st_size)
        known = self._read.get(path)
        if known is None or known[0] != version:
            known = (version, self._load(path))
            self._read[path] = known
        return known[1]

    def _load(self, path: Path) -> Catalogue | None:
        try:
            if path == self._default:
                return Catalogue.load(path, self._image)
            image = (path.parent / IMAGE_KEY).read_text(encoding="utf-8")
            return Catalogue.of_config_map({"data": {IMAGE_KEY: image, KEY: path.read_text(encoding="utf-8")}})
        except (ValueError, OSError) as error:
            _log.warning("%s is no catalogue of tasks, and is not used: %s", path, error)
            return None
