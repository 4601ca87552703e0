"""Files that are there whole or not at all, digests of them, and locks that end with the process that holds them."""

import fcntl
import hashlib
import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from merp_cluster.errors import ClusterError
from merp_cluster.progress import say


def write(path: Path, content: str, mode: int = 0o644) -> None:
    """Replaces `path` in one step: a reader, or a process that is killed here, never leaves half a file behind."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(content)
        Path(temporary).chmod(mode)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def link(path: Path, target: Path) -> None:
    """Makes `path` a symbolic link to `target` in one step, replacing what was there."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(target)
    temporary.replace(path)


def digest(parts: Iterable[str | bytes]) -> str:
    """Sixteen hex digits that change with any part, its length or its place."""
    whole = hashlib.sha256()
    for part in parts:
        raw = part.encode() if isinstance(part, str) else part
        whole.update(len(raw).to_bytes(8, "big"))
        whole.update(raw)
    return whole.hexdigest()[:16]


@contextmanager
def lock(path: Path, waiting_for: str) -> Iterator[None]:
    """Holds an exclusive lock. The kernel drops it with the process, so a killed holder blocks nobody."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"waiting for another process: {waiting_for}")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def read_optional(path: Path) -> str | None:
    """The text of a file, or None if there is none."""
    try:
        return path.read_text()
    except FileNotFoundError:
        return None
    except OSError as broken:
        raise ClusterError(f"cannot read {path}: {broken}") from broken
