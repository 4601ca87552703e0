"""The embedded cluster itself: up, from wherever an earlier one was cut off; what works in it; down without a trace.

It runs beside the default cluster, under a name of its own.
"""

import json
import os
import signal
import ssl
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from merp_cluster import base_image, host, mounts, network, supervision
from merp_cluster.cache import Cache, cache_root
from merp_cluster.cluster import Cluster
from merp_cluster.commands import output, wait_until
from merp_cluster.errors import ClusterError
from merp_cluster.layout import CLUSTERS

pytestmark = pytest.mark.cluster

NAME = "lifecycle"
RUN = CLUSTERS / NAME
_SETTLED_SECONDS = 3.0
OTHER_FOLDERS = ("/var/lib/containers", "/run/containers", "/run/netns/", str(CLUSTERS))


def _until(condition: Callable[[], bool], seconds: float, what: str) -> None:
    wait_until(condition, seconds, failed=lambda: ClusterError(f"not within {seconds} s: {what}"))


def _owned_processes() -> list[str]:
    """Command lines that name this cluster's folder; remains that nobody has reaped yet have none."""
    found = []
    for cmdline in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            text = cmdline.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except (FileNotFoundError, ProcessLookupError):
            continue
        if f"{RUN}/" in text and "pytest" not in text:
            found.append(text)
    return found


def _orphaned_sockets() -> set[Path]:
    """Shim sockets that no containerd of any cluster speaks of."""
    found = _unknown_sockets()
    if found:
        # A pod of another cluster may be starting, or ending, just now.
        time.sleep(_SETTLED_SECONDS)
        found &= _unknown_sockets()
    return found


def _unknown_sockets() -> set[Path]:
    known = {
        address.read_text().removeprefix("unix://") for address in CLUSTERS.glob("*/containerd/state/*/*/*/address")
    }
    return {path for path in Path("/run/containerd/s").glob("*") if str(path) not in known}


def _host() -> dict[str, object]:
    """What `down` must leave as it was, without what belongs to other clusters and to image builds."""
    points = mounts.parse(mounts.MOUNTINFO.read_text(), Path("/"))
    chains = [line for line in output(["iptables-save"]).splitlines() if not line.startswith("#")]
    return {
        "links": sorted(link["ifname"] for link in json.loads(output(["ip", "-json", "link"]))),
        "routes": sorted(output(["ip", "route"]).splitlines()),
        "namespaces": sorted(line.split()[0] for line in output(["ip", "netns"]).splitlines()),
        "mounts": sorted({str(point) for point in points if not str(point).startswith(OTHER_FOLDERS)}),
        "iptables": chains,
        "cgroups": sorted(str(group) for group in Path("/sys/fs/cgroup").glob("*/*") if group.is_dir()),
        "kernel": [path.read_text() for path in host.KERNEL_SETTINGS],
        "folders": [str(folder) for folder in host.FIXED_FOLDERS if folder.exists()],
        "log links": sorted(link.name for link in host.CONTAINER_LOG_LINKS.glob(f"*_{NAME}_*")),
        "address results": sorted(path.name for path in host.CNI_RESULTS.glob(f"*{NAME}*")),
        "sockets": _orphaned_sockets(),
        "processes": _owned_processes(),
        "folder": RUN.exists(),
    }


def _up() -> "subprocess.Popen[bytes]":
    environment = {**os.environ, "MERP_CLUSTER": NAME, "PYTHONPATH": str(Path(__file__).parent)}
    return subprocess.Popen([sys.executable, "-m", "merp_cluster", "up"], env=environment, stderr=subprocess.DEVNULL)


def _pids(cluster: Cluster) -> dict[str, int | None]:
    return {state.name: state.pid for state in cluster.states()}


@pytest.fixture(scope="module")
def before() -> dict[str, object]:
    cluster = Cluster(NAME)
    # Cutting `up` off is about its starting; what it would build first is there.
    cluster.build()
    cluster.down()
    return _host()


@pytest.fixture(scope="module")
def cluster(before: dict[str, object]) -> Iterator[Cluster]:
    """Up after `up` was killed at one point after the other."""
    assert before["folder"] is False
    points: list[tuple[str, Callable[[], bool]]] = [
        ("half of the certificates", lambda: (RUN / "pki.unfinished" / "ca.crt").exists()),
        ("the namespace", lambda: (network.NAMESPACES / NAME).exists()),
        ("etcd started", lambda: (RUN / "pid" / "etcd.json").exists()),
        ("the kubelet started", lambda: (RUN / "pid" / "kubelet.json").exists()),
    ]
    for what, reached in points:
        process = _up()
        _until(reached, 300, what)
        process.kill()
        process.wait()
    cluster = Cluster(NAME)
    cluster.up()
    yield cluster
    cluster.down()


def test_up_after_being_cut_off_is_a_ready_node_of_the_version(cluster: Cluster) -> None:
    assert [state for state in cluster.states() if not state.ready] == []
    versions = cluster.versions()
    assert versions["server version"] == "v1.34.4"
    assert versions["node"] == f"{NAME} Ready {cluster.layout.node_ip}"


def test_keys_are_for_their_owner_only(cluster: Cluster) -> None:
    secrets = [*cluster.layout.pki.glob("*.key"), *(RUN / "kubeconfig").iterdir()]
    assert {oct(path.stat().st_mode & 0o777) for path in secrets} == {"0o600"}
    assert len(secrets) > 10


def test_second_up_takes_seconds_and_starts_nothing(cluster: Cluster) -> None:
    pids, began = _pids(cluster), time.monotonic()
    cluster.up()
    assert _pids(cluster) == pids
    # Nothing was started; on a machine that does other things the looking takes long.
    assert time.monotonic() - began < 60


PROBE = """
import json, socket, ssl, urllib.request
mount = "/var/run/secrets/kubernetes.io/serviceaccount/"
token = open(mount + "token").read()
request = urllib.request.Request("https://kubernetes.default/version", headers={"Authorization": "Bearer " + token})
answer = urllib.request.urlopen(request, context=ssl.create_default_context(cafile=mount + "ca.crt"), timeout=60)
print(socket.gethostbyname("kubernetes.default.svc.cluster.local"), json.load(answer)["gitVersion"])
"""


def test_pod_resolves_a_service_and_reaches_the_api_server(cluster: Cluster) -> None:
    image = base_image.ensure(Cache(cache_root()))
    assert cluster.load([image]) == [image]
    assert cluster.load([image]) == []
    kubectl = cluster.api.kubectl
    kubectl("run", "probe", f"--image={image}", "--restart=Never", "--command", "--", "python3", "-c", PROBE)
    kubectl("wait", "pod/probe", "--for=jsonpath={.status.phase}=Succeeded", "--timeout=300s")
    assert kubectl("logs", "probe").split() == [cluster.layout.api_service_ip, "v1.34.4"]


def test_host_reaches_services(cluster: Cluster) -> None:
    trusted = ssl.create_default_context(cafile=str(cluster.layout.pki / "ca.crt"))
    url = f"https://{cluster.layout.api_service_ip}/version"
    with urllib.request.urlopen(url, context=trusted, timeout=60) as answer:
        assert json.load(answer)["gitVersion"] == "v1.34.4"


def test_writes_to_jobs_are_in_the_audit_log(cluster: Cluster) -> None:
    cluster.api.kubectl("create", "job", "noted", "--image=merp.local/none:1", "--", "true")
    cluster.api.kubectl("delete", "job", "noted")
    events = [json.loads(line) for line in cluster.layout.log("audit").read_text().splitlines()]
    mine = [event for event in events if event["user"]["username"] == "admin" and event["objectRef"]["name"] == "noted"]
    assert {"create", "delete"} <= {event["verb"] for event in mine}
    assert {event["level"] for event in events} == {"Metadata"}


def test_volume_is_emptied_and_offered_again_after_its_claim(cluster: Cluster) -> None:
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "data", "namespace": "default"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    }
    cluster.api.apply(json.dumps(claim))
    cluster.api.kubectl("wait", "pvc/data", "--for=jsonpath={.status.phase}=Bound", "--timeout=300s")
    volume = cluster.api.kubectl("get", "pvc", "data", "-o", "jsonpath={.spec.volumeName}")
    assert cluster.reclaim_volumes() == []
    (cluster.layout.volumes / volume / "left" / "over").mkdir(parents=True)
    cluster.api.kubectl("delete", "pvc", "data")
    cluster.api.kubectl("wait", f"pv/{volume}", "--for=jsonpath={.status.phase}=Released", "--timeout=300s")
    assert cluster.reclaim_volumes() == [volume]
    assert list((cluster.layout.volumes / volume).iterdir()) == []
    cluster.api.kubectl("wait", f"pv/{volume}", "--for=jsonpath={.status.phase}=Available", "--timeout=300s")


def test_one_component_stops_and_starts_alone(cluster: Cluster) -> None:
    pids = _pids(cluster)
    cluster.stop("kube-controller-manager")
    assert _pids(cluster) == {**pids, "kube-controller-manager": None}
    cluster.start("kube-controller-manager")
    assert cluster.pid("kube-controller-manager") not in (None, pids["kube-controller-manager"])


def test_unknown_component_is_refused_with_the_names(cluster: Cluster) -> None:
    with pytest.raises(ClusterError, match="kube-scheduler"):
        cluster.stop("kube-schedular")


def test_other_controller_manager_flags_restart_only_it(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    pids = _pids(cluster)
    monkeypatch.setenv("MERP_CONTROLLER_MANAGER_ARGS", "--kube-api-qps=1000 --kube-api-burst=1000")
    cluster.up()
    changed = {name for name, pid in _pids(cluster).items() if pid != pids[name]}
    assert changed == {"kube-controller-manager"}
    pid = cluster.pid("kube-controller-manager")
    assert "--kube-api-qps=1000" in Path(f"/proc/{pid}/cmdline").read_text().split("\0")


def test_up_replaces_what_died_and_what_hangs(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervision, "REVIVE_SECONDS", 15.0)
    pids = _pids(cluster)
    died, hangs = ("etcd", "containerd", "kubelet"), "kube-scheduler"
    for name in died:
        os.kill(pids[name] or 0, signal.SIGKILL)
    os.kill(pids[hangs] or 0, signal.SIGSTOP)
    # As if `up` had been killed between starting it and noting it.
    (RUN / "pid" / "kube-proxy.json").unlink()
    cluster.up()
    after = _pids(cluster)
    assert [state for state in cluster.states() if not state.ready] == []
    assert after["kube-apiserver"] == pids["kube-apiserver"]
    for name in (*died, hangs, "kube-proxy"):
        assert after[name] not in (None, pids[name])
    assert not Path(f"/proc/{pids['kube-proxy']}/exe").exists()


def test_up_after_the_namespace_was_deleted(cluster: Cluster) -> None:
    output(["ip", "netns", "delete", NAME])
    cluster.up()
    assert [state for state in cluster.states() if not state.ready] == []
    cluster.api.kubectl("-n", "kube-system", "rollout", "status", "deployment/coredns", "--timeout=300s")


def test_down_leaves_the_host_as_it_was(cluster: Cluster, before: dict[str, object]) -> None:
    assert _owned_processes() != []
    cluster.down()
    assert _host() == before


def test_down_of_what_is_not_up_changes_nothing(cluster: Cluster, before: dict[str, object]) -> None:
    cluster.down()
    assert _host() == before
    with pytest.raises(ClusterError, match="not up"):
        cluster.states()
