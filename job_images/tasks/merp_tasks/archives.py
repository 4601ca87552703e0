"""Backup files: a compressed copy, and beside it a file that says what is in it."""

import gzip
import hashlib
import json
import shutil
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import IO, Any, Final, Protocol, Self

from merp_runner import TaskFailed
from merp_tasks.outputs import whole_file

_CHUNK: Final = 1 << 20
# What zlib gains beyond it is less than what it costs.
_LEVEL: Final = 6
_DAY: Final = 86_400
BACKING_UP: Final = ".backup-"
RESTORING: Final = ".restore-"
_UNFINISHED: Final = (f"{BACKING_UP}*", f"{RESTORING}*", ".*.gz.part")


class Copy(Protocol):
    """Where a backup's bytes come from."""

    @property
    def kind(self) -> str:
        """mysql or sqlite."""

    @property
    def suffix(self) -> str:
        """Of the file, before `.gz`."""

    def write(self, file: IO[bytes]) -> dict[str, int]:
        """Write everything; the rows by table. Raises TaskFailed."""


@dataclass(frozen=True)
class Archive:
    """One backup. `file` is its name in the folder, `size` its bytes, `tables` has the rows by table."""

    connection: str
    kind: str
    file: str
    size: int
    sha256: str
    made_at: datetime
    tables: dict[str, int]

    @classmethod
    def write(cls, directory: Path, stem: str, connection: str, copy: Copy, made_at: datetime) -> Self:
        """Make the backup; one of that name is replaced. What is there afterwards is whole, or as it was before."""
        path = directory / f"{stem}{copy.suffix}.gz"
        with (
            whole_file(path) as file,
            # mtime: two backups of the same rows are the same bytes.
            gzip.GzipFile(filename="", fileobj=file, mode="wb", compresslevel=_LEVEL, mtime=0) as packed,
        ):
            tables = copy.write(packed)  # type: ignore[arg-type]  # GzipFile is a file in all but its type
        made = cls(connection, copy.kind, path.name, path.stat().st_size, _digest(path), made_at, tables)
        with whole_file(directory / _description(path.name)) as file:
            document = {"v": 1, **asdict(made), "made_at": made_at.isoformat()}
            file.write(json.dumps(document, ensure_ascii=False, indent=1).encode())
        return made

    def verify(self, directory: Path) -> None:
        """Raises TaskFailed where the file is not the one that was written."""
        path = directory / self.file
        if not path.is_file():
            raise TaskFailed(f"{path} is gone")
        if _digest(path) != self.sha256:
            raise TaskFailed(f"{path} was changed or is damaged: its checksum is not the one of when it was written")


def archives(directory: Path, connection: str) -> list[Archive]:
    """The backups of a connection, the oldest first. Files that are none of ours are left alone."""
    found = [archive for path in directory.glob("*.json") if (archive := _read(path)) is not None]
    return sorted(
        (archive for archive in found if archive.connection == connection), key=lambda each: (each.made_at, each.file)
    )


def remove_old(directory: Path, found: Sequence[Archive], keep: int) -> list[str]:
    """Delete all but the newest `keep`; the names of the deleted."""
    old = found[:-keep]
    for archive in old:
        (directory / archive.file).unlink(missing_ok=True)
        # Last: who is killed in between finds it again.
        (directory / _description(archive.file)).unlink(missing_ok=True)
    return [archive.file for archive in old]


def sweep(directory: Path, now: datetime) -> None:
    """Delete what runs left unfinished that were killed. What is younger than a day may be another run's at work."""
    for path in [path for pattern in _UNFINISHED for path in directory.glob(pattern)]:
        if now.timestamp() - path.stat().st_mtime > _DAY:
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()


def unpack(path: Path) -> Iterable[bytes]:
    """The copy's bytes, in pieces. Raises TaskFailed for a damaged file."""
    return _unpacked(path, lambda file: file.read(_CHUNK))


def unpack_lines(path: Path) -> Iterable[bytes]:
    """The same, line by line, each with its end."""
    return _unpacked(path, gzip.GzipFile.readline)


def _unpacked(path: Path, read: Callable[[gzip.GzipFile], bytes]) -> Iterable[bytes]:
    try:
        with gzip.GzipFile(path, "rb") as file:
            while piece := read(file):
                yield piece
    except (OSError, EOFError, zlib.error) as error:
        raise TaskFailed(f"{path} cannot be unpacked: {error}") from error


def _description(file: str) -> str:
    """The name of the file that says what is in a backup: `erp-20261201T000000Z.sql.gz` has the same with `.json`."""
    return f"{file.removesuffix('.gz').rpartition('.')[0]}.json"


def _read(path: Path) -> Archive | None:
    try:
        document: Any = json.loads(path.read_text(encoding="utf-8"))
        if document.pop("v") != 1 or Path(document["file"]).name != document["file"]:
            return None
        return Archive(**document | {"made_at": datetime.fromisoformat(document["made_at"])})
    except (OSError, ValueError, TypeError, KeyError, AttributeError):  # somebody else's file
        return None


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
