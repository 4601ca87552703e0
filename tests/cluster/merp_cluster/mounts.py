"""Mounts below a folder: pods leave many, and nothing may be deleted through one."""

from pathlib import Path

from merp_cluster.commands import output, succeeds
from merp_cluster.errors import ClusterError

MOUNTINFO = Path("/proc/self/mountinfo")


def parse(mountinfo: str, folder: Path) -> list[Path]:
    """Mount points at or below `folder`, deepest and latest first, as many times as each is mounted."""
    points = [Path(_unescape(line.split()[4])) for line in mountinfo.splitlines() if line.strip()]
    below = [point for point in points if point == folder or folder in point.parents]
    # A later mount may lie on an earlier one of the same depth, so the later goes first.
    ordered = sorted(enumerate(below), key=lambda pair: (len(pair[1].parts), pair[0]), reverse=True)
    return [point for _, point in ordered]


def below(folder: Path) -> list[Path]:
    """Mount points at or below `folder` now."""
    return parse(MOUNTINFO.read_text(), folder)


def unmount(folder: Path) -> None:
    """Unmounts everything at or below `folder`. ClusterError if something is still mounted after that."""
    for point in below(folder):
        if not succeeds(["umount", str(point)]):
            # Lazily: a process in another mount namespace may hold it for a moment longer.
            output(["umount", "--lazy", str(point)])
    left = below(folder)
    if left:
        raise ClusterError(f"still mounted: {', '.join(map(str, left))}")


def _unescape(field: str) -> str:
    """mountinfo writes blanks, tabs, line ends and backslashes as three octal digits."""
    for octal, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        field = field.replace(octal, character)
    return field
