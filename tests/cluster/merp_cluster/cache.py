"""The cache of what takes long to make: one folder per entry, named by what it was made from, whole or not there."""

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from merp_cluster import mounts
from merp_cluster.files import lock


def cache_root() -> Path:
    """`$MERP_CACHE`, else `merp-scheduler` in the user's cache folder; outside the repository, so clones share it."""
    chosen = os.environ.get("MERP_CACHE")
    if chosen:
        return Path(chosen).resolve()
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "merp-scheduler"


class Cache:
    """Entries are folders `<name>-<digest of everything that went in>`."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def entry(self, name: str, key: str, build: Callable[[Path], None]) -> Path:
        """The folder of an entry. If it is missing, `build` fills an empty folder that becomes the entry by rename:
        who is killed in between leaves a folder that nobody takes for an entry."""
        entry = self.root / f"{name}-{key}"
        if entry.is_dir():
            return entry
        with lock(self.root / f".{name}.lock", f"it builds {name}"):
            if entry.is_dir():
                return entry
            self._drop_unfinished(name)
            unfinished = Path(tempfile.mkdtemp(dir=self.root, prefix=f".{name}.unfinished."))
            unfinished.chmod(0o755)
            build(unfinished)
            unfinished.rename(entry)
        return entry

    def log(self, name: str) -> Path:
        """Where the output of building an entry goes."""
        return self.root / "log" / f"{name}.log"

    def _drop_unfinished(self, name: str) -> None:
        for left_over in self.root.glob(f".{name}.unfinished.*"):
            # debootstrap, cut off, leaves /proc mounted in there.
            mounts.unmount(left_over)
            shutil.rmtree(left_over)
