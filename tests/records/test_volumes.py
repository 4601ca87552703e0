"""On which file system the SQLite file is."""

from pathlib import Path

import pytest

from merp_records import volumes

ROOT = "22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n"
RECORDS = "40 22 0:50 / /var/lib/merp rw,relatime - {kind} server:/export rw,vers=4.2\n"


@pytest.mark.parametrize(
    ("mounts", "expected"),
    [
        pytest.param(ROOT, "ext4", id="no-mount-of-its-own"),
        pytest.param(ROOT + RECORDS.format(kind="nfs4"), "nfs4", id="nfs"),
        pytest.param(RECORDS.format(kind="cifs") + ROOT, "cifs", id="whatever-their-order"),
        pytest.param(
            ROOT + RECORDS.format(kind="ext4") + RECORDS.format(kind="nfs"), "nfs", id="the-last-one-covers-the-others"
        ),
        pytest.param(
            ROOT + RECORDS.replace("/merp ", "/merp2 ").format(kind="nfs"), "ext4", id="a-name-that-is-longer"
        ),
        pytest.param(
            ROOT + "40 22 0:50 / /var/lib/merp rw shared:7 master:2 - xfs /dev/sdb rw\n", "xfs", id="optional-fields"
        ),
        pytest.param("", None, id="nothing-told"),
        pytest.param("what is this\n" + ROOT, "ext4", id="a-line-that-is-none"),
    ],
)
def test_the_file_system_of_a_path(mounts: str, expected: str | None) -> None:
    assert volumes.kind_of(Path("/var/lib/merp/records.db"), mounts) == expected


def test_blanks_in_the_path_of_a_mount() -> None:
    mounts = ROOT + "40 22 0:50 / /a\\040b rw - nfs server:/ rw\n"
    assert volumes.kind_of(Path("/a b/records.db"), mounts) == "nfs"


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        pytest.param("nfs4", "is on nfs4, a network file system", id="nfs"),
        pytest.param("cifs", "is on cifs, a network file system", id="azure-files"),
        pytest.param("9p", "is on 9p, a network file system", id="9p"),
        pytest.param("fuse.s3fs", "is on fuse.s3fs, a network file system", id="object-store"),
        pytest.param("ext4", "", id="a-disk"),
        pytest.param("fuse.fuse-overlayfs", "", id="a-container-without-root"),
        pytest.param("ceph", "", id="its-locks-work"),
    ],
)
def test_what_is_said_of_it(kind: str, says: str) -> None:
    said = volumes.warning(Path("/var/lib/merp/records.db"), ROOT + RECORDS.format(kind=kind))
    assert bool(said) == bool(says)
    assert says in said
    assert not said or "block storage" in said
