"""On which file system the SQLite file is, as Linux tells it in /proc/self/mountinfo. Pure."""

import re
from pathlib import Path, PurePath
from typing import Final

MOUNTS: Final = Path("/proc/self/mountinfo")
# Those whose locks, or whose shared memory of a file, do not do what SQLite needs of them.
_NETWORK: Final = re.compile(r"nfs\d*|cifs|smb\d*|smbfs|9p|afs|fuse\.(s3fs|gcsfuse|goofys|blobfuse2?|sshfs|rclone)")
_OCTAL: Final = re.compile(r"\\(\d{3})")


def kind_of(path: PurePath, mounts: str) -> str | None:
    """The kind of the file system that a path is on, such as `ext4`; None where the mounts do not tell."""
    found, depth = None, -1
    for line in mounts.splitlines():
        fields, _, rest = line.partition(" - ")
        words, kind = fields.split(" "), rest.partition(" ")[0]
        if len(words) < 5 or not kind:
            continue
        point = PurePath(_OCTAL.sub(lambda match: chr(int(match[1], 8)), words[4]))
        # A later mount covers an earlier one of the same place.
        if path.is_relative_to(point) and len(point.parts) >= depth:
            found, depth = kind, len(point.parts)
    return found


def warning(path: PurePath, mounts: str) -> str:
    """What is to be said of the place of an SQLite file; nothing where it may be."""
    kind = kind_of(path, mounts)
    if kind is None or not _NETWORK.fullmatch(kind):
        return ""
    return (
        f"{path} is on {kind}, a network file system: SQLite's locks do not work there, so it may stay locked, and "
        "records may be lost; use block storage or a local disk, or MySQL"
    )
