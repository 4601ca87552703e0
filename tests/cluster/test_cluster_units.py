"""The parts of the embedded cluster's tooling that need neither root nor a cluster."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from merp_cluster import configuration, dns, files, host, images, layout, mounts, processes, storage
from merp_cluster.cache import Cache
from merp_cluster.commands import logged, wait_until
from merp_cluster.errors import ClusterError
from merp_cluster.layout import Layout


@pytest.mark.parametrize(
    "name",
    [pytest.param("merp", id="default"), pytest.param("a", id="one-letter"), pytest.param("a" * 14, id="longest")],
)
def test_name_that_fits_a_link_is_taken(name: str) -> None:
    assert layout.checked_name(name) == name


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("", id="empty"),
        pytest.param("a" * 15, id="too-long-with-the-zero"),
        pytest.param("Merp", id="upper-case"),
        pytest.param("1st", id="digit-first"),
        pytest.param("-x", id="dash-first"),
        pytest.param("x-", id="dash-last"),
        pytest.param("../etc", id="path"),
    ],
)
def test_name_that_cannot_be_a_link_is_refused_with_the_variable(name: str) -> None:
    with pytest.raises(ClusterError, match="MERP_CLUSTER"):
        layout.checked_name(name)


@pytest.mark.parametrize(
    ("name", "taken", "expected"),
    [
        pytest.param("merp", set(), 0, id="default-alone"),
        pytest.param("merp", {1, 2}, 0, id="default-keeps-its-own"),
        pytest.param("second", set(), 1, id="another-leaves-0-to-the-default"),
        pytest.param("second", {0, 1, 3}, 2, id="first-gap"),
    ],
)
def test_index_is_the_lowest_free_one(name: str, taken: set[int], expected: int) -> None:
    assert layout.free_index(name, taken) == expected


def test_no_index_left_is_told() -> None:
    with pytest.raises(ClusterError, match="take one down first"):
        layout.free_index("second", set(range(layout.MOST_CLUSTERS)))


def test_address_ranges_of_all_clusters_are_apart() -> None:
    every = [Layout("x", index, Path("/x")) for index in range(layout.MOST_CLUSTERS)]
    for attribute in ("node_ip", "pod_cidr", "service_cidr", "api_service_ip", "dns_ip"):
        assert len({getattr(one, attribute) for one in every}) == layout.MOST_CLUSTERS
    assert every[0].service_cidr == "10.96.0.0/16"
    assert every[0].api_url == "https://10.251.0.2:6443"


def test_claim_keeps_the_index_and_release_gives_it_back(tmp_path: Path) -> None:
    first = layout.claim("one", tmp_path)
    assert layout.claim("two", tmp_path).index == 2
    assert layout.claim("one", tmp_path) == first == layout.known_layout("one", tmp_path)
    assert layout.release(first, keep_data=False) == 1
    assert layout.known_layout("one", tmp_path) is None
    assert layout.claim("three", tmp_path).index == first.index


def test_release_with_data_kept_is_not_in_use_and_keeps_its_index(tmp_path: Path) -> None:
    kept = layout.claim("kept", tmp_path)
    assert layout.release(kept, keep_data=True) == 0
    assert layout.known_layout("kept", tmp_path) == kept


def test_release_that_was_cut_off_is_finished_by_the_next_claim(tmp_path: Path) -> None:
    (tmp_path / ".discarded.old").mkdir()
    (tmp_path / ".discarded.old" / "index").write_text("1\n")
    assert layout.claim("new", tmp_path).index == 1
    assert not (tmp_path / ".discarded.old").exists()


MOUNTINFO = """\
22 1 8:1 / / rw - ext4 /dev/sda rw
30 22 0:30 / /run/c rw - tmpfs tmpfs rw
31 30 0:31 / /run/c/pods/a rw - tmpfs tmpfs rw
32 31 0:32 / /run/c/pods/a/deep/er rw - tmpfs tmpfs rw
33 30 0:33 / /run/c/with\\040blank rw - tmpfs tmpfs rw
34 30 0:34 / /run/cc rw - tmpfs tmpfs rw
35 30 0:35 / /run/c/pods/a rw - tmpfs tmpfs rw
"""


@pytest.mark.parametrize(
    ("folder", "expected"),
    [
        pytest.param(
            "/run/c",
            ["/run/c/pods/a/deep/er", "/run/c/pods/a", "/run/c/pods/a", "/run/c/with blank", "/run/c"],
            id="deepest-first-and-twice-where-mounted-twice",
        ),
        pytest.param("/run/cc", ["/run/cc"], id="name-that-begins-alike"),
        pytest.param("/nothing", [], id="none"),
    ],
)
def test_mounts_below(folder: str, expected: list[str]) -> None:
    assert [str(point) for point in mounts.parse(MOUNTINFO, Path(folder))] == expected


@pytest.mark.parametrize(
    ("dockerfile", "expected"),
    [
        pytest.param("FROM x\nCOPY a b ./\nCOPY c d\n", ["a", "b", "c"], id="plain"),
        pytest.param("COPY --from=build /opt /opt\n", [], id="other-stage"),
        pytest.param("COPY --chmod=0755 run.sh /run.sh\n", ["run.sh"], id="option"),
        pytest.param("COPY a \\\n  b \\\n  /dst\n", ["a", "b"], id="continued"),
        pytest.param("RUN echo COPY a b\n", [], id="not-an-instruction"),
    ],
)
def test_copied_paths_of_a_dockerfile(dockerfile: str, expected: list[str]) -> None:
    assert images.copied(dockerfile) == expected


@pytest.fixture
def image(tmp_path: Path) -> images.Image:
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "a.py").write_text("a = 1\n")
    (tmp_path / "Dockerfile").write_text("FROM x\nCOPY source /source\n")
    return images.Image("thing", tmp_path / "Dockerfile", tmp_path)


def test_tag_stays_with_what_does_not_get_into_the_image(image: images.Image) -> None:
    before = images.tag(image, "base")
    (image.context / "other.py").write_text("")
    (image.context / "source" / "__pycache__").mkdir()
    (image.context / "source" / "__pycache__" / "a.pyc").write_text("")
    assert images.tag(image, "base") == before


def test_tag_changes_with_file_name_mode_dockerfile_and_base(image: images.Image) -> None:
    source = image.context / "source" / "a.py"
    tags = [images.tag(image, "base"), images.tag(image, "other base")]
    source.write_text("a = 2\n")
    tags.append(images.tag(image, "base"))
    source.chmod(0o755)
    tags.append(images.tag(image, "base"))
    source.rename(source.with_name("b.py"))
    tags.append(images.tag(image, "base"))
    image.dockerfile.write_text("FROM y\nCOPY source /source\n")
    tags.append(images.tag(image, "base"))
    assert len(set(tags)) == len(tags)


def test_missing_source_of_a_copy_names_the_dockerfile(image: images.Image) -> None:
    image.dockerfile.write_text("COPY nothing /\n")
    with pytest.raises(ClusterError, match=r"Dockerfile copies .*nothing, which does not exist"):
        images.tag(image, "base")


def test_every_dockerfile_copies_only_what_the_ignore_file_lets_through() -> None:
    allowed = {line[1:] for line in (images.REPOSITORY / ".dockerignore").read_text().splitlines() if line[:1] == "!"}
    for each in images.IMAGES:
        if each.context == images.REPOSITORY:
            assert set(images.copied(each.dockerfile.read_text())) <= allowed


def test_cache_builds_once(tmp_path: Path) -> None:
    built: list[Path] = []

    def build(folder: Path) -> None:
        built.append(folder)
        (folder / "file").write_text("whole")

    cache = Cache(tmp_path)
    assert cache.entry("thing", "1", build) == cache.entry("thing", "1", build) == tmp_path / "thing-1"
    assert (tmp_path / "thing-1" / "file").read_text() == "whole"
    assert len(built) == 1


def test_cache_entry_that_was_cut_off_is_built_anew_and_cleared_away(tmp_path: Path) -> None:
    def cut_off(folder: Path) -> None:
        (folder / "half").write_text("")
        raise ClusterError("cut off")

    cache = Cache(tmp_path)
    with pytest.raises(ClusterError):
        cache.entry("thing", "1", cut_off)
    assert not (tmp_path / "thing-1").exists()
    entry = cache.entry("thing", "1", lambda folder: (folder / "file").touch())
    assert [file.name for file in entry.iterdir()] == ["file"]
    assert [folder.name for folder in tmp_path.iterdir() if folder.is_dir()] == ["thing-1"]


def test_written_file_has_its_mode_from_the_start_and_leaves_nothing_beside(tmp_path: Path) -> None:
    files.write(tmp_path / "folder" / "key", "secret", mode=0o600)
    assert (tmp_path / "folder" / "key").stat().st_mode & 0o777 == 0o600
    assert [file.name for file in (tmp_path / "folder").iterdir()] == ["key"]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param(["ab", "c"], ["a", "bc"], id="border"),
        pytest.param(["a", "b"], ["b", "a"], id="order"),
        pytest.param(["a"], ["a", ""], id="empty-part"),
    ],
)
def test_digest_tells_parts_apart(one: list[str], other: list[str]) -> None:
    assert files.digest(one) != files.digest(other)


@pytest.fixture
def sleeper() -> Iterator[processes.Identity]:
    child = subprocess.Popen(["sleep", "60"])
    identity = processes.identify(child.pid)
    assert identity is not None
    yield identity
    child.kill()
    child.wait()


def test_end_ends_a_process(sleeper: processes.Identity) -> None:
    processes.end([sleeper])
    assert not sleeper.alive()


def test_end_kills_a_process_that_cannot_handle_the_signal(sleeper: processes.Identity) -> None:
    os.kill(sleeper.pid, signal.SIGSTOP)
    processes.end([sleeper], term_seconds=0.2)
    assert not sleeper.alive()


@pytest.mark.parametrize(
    "change",
    [pytest.param({"started": 1}, id="pid-reused"), pytest.param({"boot": "another"}, id="since-another-boot")],
)
def test_end_spares_a_process_that_only_has_the_same_pid(sleeper: processes.Identity, change: dict[str, Any]) -> None:
    processes.end([processes.Identity(**{**vars(sleeper), **change})])
    assert sleeper.alive()


def test_record_survives_a_file(tmp_path: Path, sleeper: processes.Identity) -> None:
    record = processes.Record(sleeper, "digest")
    record.save(tmp_path / "pid")
    assert processes.Record.load(tmp_path / "pid") == record


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(None, id="no-file"),
        pytest.param("", id="empty"),
        pytest.param("123", id="only-a-pid"),
        pytest.param('{"identity": {"pid": 1}}', id="half"),
    ],
)
def test_record_that_cannot_be_read_is_none(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "pid").write_text(content)
    assert processes.Record.load(tmp_path / "pid") is None


def _volume(phase: str, storage_class: str = "local") -> dict[str, Any]:
    spec = {"storageClassName": storage_class, "hostPath": {"path": "/v/1"}}
    return {"metadata": {"name": "v"}, "spec": spec, "status": {"phase": phase}}


@pytest.mark.parametrize(
    ("volume", "expected"),
    [
        pytest.param(_volume("Released"), [("v", Path("/v/1"))], id="released"),
        pytest.param(_volume("Failed"), [("v", Path("/v/1"))], id="failed"),
        pytest.param(_volume("Bound"), [], id="bound"),
        pytest.param(_volume("Available"), [], id="available"),
        pytest.param(_volume("Released", "other"), [], id="not-ours"),
    ],
)
def test_released_volumes(volume: dict[str, Any], expected: list[tuple[str, Path]]) -> None:
    assert storage.released_volumes([volume]) == expected


def test_failure_shows_the_end_of_its_log_and_where_it_is(tmp_path: Path) -> None:
    log = tmp_path / "log" / "thing.log"
    with pytest.raises(ClusterError) as failed:
        logged(["sh", "-c", "seq 100; exit 3"], log)
    text = str(failed.value)
    assert "ended with 3" in text
    assert "  | 100\n" in text
    assert "  | 50\n" not in text
    assert str(log) in text


def test_missing_program_is_named(tmp_path: Path) -> None:
    with pytest.raises(ClusterError, match="no-such-program is not installed"):
        logged(["no-such-program"], tmp_path / "log")


def test_wait_until_gives_up_in_time() -> None:
    began = time.monotonic()
    with pytest.raises(ClusterError, match="late"):
        wait_until(lambda: False, 0.2, failed=lambda: ClusterError("late"))
    assert time.monotonic() - began < 20


def test_pods_and_kubelet_stay_within_the_cluster() -> None:
    one = Layout("one", 5, Path("/run/one"))
    assert configuration.cni(one)["plugins"][0]["ipam"]["ranges"] == [[{"subnet": "10.244.5.0/24"}]]
    assert configuration.kubelet(one)["cgroupRoot"] == "/merp-cluster-one"
    assert configuration.kubelet(one)["clusterDNS"] == ["10.101.0.10"]
    foreign = [line for line in configuration.containerd(one).splitlines() if '"/' in line and "/run/one" not in line]
    assert foreign == ['bin_dir = "/usr/lib/cni"']


def test_dns_question_is_the_packet_of_the_standard() -> None:
    expected = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x01a\x02bc\x00\x00\x01\x00\x01"
    assert dns.question(0x1234, "a.bc") == expected


@pytest.mark.parametrize(
    ("packet", "expected"),
    [
        pytest.param(b"\0\1\x81\x80\0\1\0\1\0\0\0\0", True, id="one-record"),
        pytest.param(b"\0\2\x81\x80\0\1\0\1\0\0\0\0", False, id="other-question"),
        pytest.param(b"\0\1\x81\x83\0\1\0\1\0\0\0\0", False, id="no-such-name"),
        pytest.param(b"\0\1\x81\x80\0\1\0\0\0\0\0\0", False, id="no-record"),
        pytest.param(b"\0\1\x01\x00\0\1\0\1\0\0\0\0", False, id="a-question-itself"),
        pytest.param(b"\0\1", False, id="cut-off"),
    ],
)
def test_dns_answer(packet: bytes, expected: bool) -> None:
    assert dns.has_answer(1, packet) is expected


def test_dns_server_that_is_not_there_is_no_answer() -> None:
    assert dns.resolves("127.0.0.254", "a.b") is False


def test_host_settings_are_put_back_and_own_folders_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    setting, made, used = tmp_path / "setting", tmp_path / "made", tmp_path / "used"
    setting.write_text("0\n")
    monkeypatch.setattr(host, "KERNEL_SETTINGS", (setting,))
    monkeypatch.setattr(host, "FIXED_FOLDERS", (made, used))
    monkeypatch.setattr(host, "SAVED", tmp_path / "saved")
    used.mkdir()
    host.save()
    setting.write_text("1\n")
    made.mkdir()
    host.save()
    host.restore()
    assert setting.read_text().strip() == "0"
    assert [made.exists(), used.exists(), host.SAVED.exists()] == [False, True, False]
