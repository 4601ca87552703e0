"""The components of a cluster: command line, what must be ready before, and how one sees that it is ready."""

import os
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from merp_cluster import network
from merp_cluster.api import Api
from merp_cluster.commands import succeeds
from merp_cluster.files import digest
from merp_cluster.layout import Layout

CONTROLLER_MANAGER_ARGS = "MERP_CONTROLLER_MANAGER_ARGS"
AUDIT_LOG = "audit"


@dataclass(frozen=True)
class Component:
    """`configuration` changes with the command line and with the files it names, so that a stale process is told."""

    name: str
    argv: list[str]
    configuration: str
    ready: Callable[[], bool]
    # Within one wave the components start together.
    wave: int


def components(layout: Layout, hyperkube: Path, files: dict[str, str]) -> list[Component]:
    """All of them in the order of their start; ending goes backwards."""
    api = Api(layout)

    def component(name: str, wave: int, ready: Callable[[], bool], argv: list[str], reads: str = "") -> Component:
        inside = network.enter(layout, argv)
        return Component(name, inside, digest([*inside, files.get(reads, "")]), ready, wave)

    def kubernetes(name: str, port: int, argv: list[str], reads: str = "") -> Component:
        return component(name, 2, lambda: api.healthy(port), [str(hyperkube), name, *argv], reads)

    return [
        component("etcd", 1, lambda: _etcd_ready(api), [str(hyperkube), "etcd", *_etcd(layout)]),
        component(
            "containerd", 1, lambda: _containerd_ready(layout), ["containerd", "-c", _file(layout, "containerd.toml")]
        ),
        component(
            "kube-apiserver",
            1,
            api.ready,
            [str(hyperkube), "kube-apiserver", *_api_server(layout)],
            "audit-policy.yaml",
        ),
        kubernetes("kube-controller-manager", 10257, _controller_manager(layout)),
        kubernetes("kube-scheduler", 10259, _scheduler(layout)),
        component(
            "kubelet",
            2,
            lambda: api.healthy(10248, "http"),
            [str(hyperkube), "kubelet", *_kubelet(layout)],
            "kubelet.yaml",
        ),
        component(
            "kube-proxy",
            2,
            lambda: api.healthy(10256, "http"),
            [str(hyperkube), "kube-proxy", f"--config={_file(layout, 'kube-proxy.yaml')}"],
            "kube-proxy.yaml",
        ),
    ]


def _file(layout: Layout, name: str) -> str:
    return str(layout.configuration / name)


def _etcd_ready(api: Api) -> bool:
    return api.healthy(2381, "http", "/health")


def _containerd_ready(layout: Layout) -> bool:
    return succeeds(["ctr", "--address", str(layout.containerd_socket), "--timeout", "5s", "version"])


def _etcd(layout: Layout) -> list[str]:
    client, peer = "http://127.0.0.1:2379", "http://127.0.0.1:2380"
    return [
        f"--data-dir={layout.run}/etcd",
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=default={peer}",
        f"--listen-metrics-urls=http://{layout.node_ip}:2381",
        # Its data need to outlive a killed process, which they do, not a power cut.
        "--unsafe-no-fsync",
    ]


def _api_server(layout: Layout) -> list[str]:
    pki = layout.pki
    return [
        "--etcd-servers=http://127.0.0.1:2379",
        f"--advertise-address={layout.node_ip}",
        f"--tls-cert-file={pki}/kube-apiserver.crt",
        f"--tls-private-key-file={pki}/kube-apiserver.key",
        f"--client-ca-file={pki}/ca.crt",
        f"--kubelet-client-certificate={pki}/kube-apiserver-kubelet-client.crt",
        f"--kubelet-client-key={pki}/kube-apiserver-kubelet-client.key",
        f"--kubelet-certificate-authority={pki}/ca.crt",
        "--kubelet-preferred-address-types=InternalIP",
        "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
        f"--service-account-key-file={pki}/service-account.pub",
        f"--service-account-signing-key-file={pki}/service-account.key",
        f"--service-cluster-ip-range={layout.service_cidr}",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        "--allow-privileged=true",
        # Nobody holds such a certificate; without an authority named, the others complain of that every few seconds.
        f"--requestheader-client-ca-file={pki}/ca.crt",
        "--requestheader-allowed-names=front-proxy-client",
        "--requestheader-username-headers=X-Remote-User",
        "--requestheader-group-headers=X-Remote-Group",
        "--requestheader-extra-headers-prefix=X-Remote-Extra-",
        f"--audit-policy-file={_file(layout, 'audit-policy.yaml')}",
        f"--audit-log-path={layout.log(AUDIT_LOG)}",
        # MB: a load test writes some hundred.
        "--audit-log-maxsize=200",
        "--audit-log-maxbackup=2",
    ]


def _controller_manager(layout: Layout) -> list[str]:
    """Stock flags: load figures hold for the defaults. `$MERP_CONTROLLER_MANAGER_ARGS` adds to them."""
    pki = layout.pki
    return [
        *_control_plane_client(layout, "kube-controller-manager"),
        f"--service-account-private-key-file={pki}/service-account.key",
        f"--root-ca-file={pki}/ca.crt",
        f"--cluster-signing-cert-file={pki}/ca.crt",
        f"--cluster-signing-key-file={pki}/ca.key",
        "--use-service-account-credentials=true",
        "--allocate-node-cidrs=true",
        f"--cluster-cidr={layout.pod_cidr}",
        "--node-cidr-mask-size=24",
        *shlex.split(os.environ.get(CONTROLLER_MANAGER_ARGS, "")),
    ]


def _scheduler(layout: Layout) -> list[str]:
    return _control_plane_client(layout, "kube-scheduler")


def _control_plane_client(layout: Layout, name: str) -> list[str]:
    kubeconfig = layout.kubeconfig_of(name)
    return [
        f"--kubeconfig={kubeconfig}",
        f"--authentication-kubeconfig={kubeconfig}",
        f"--authorization-kubeconfig={kubeconfig}",
        f"--tls-cert-file={layout.pki}/{name}.crt",
        f"--tls-private-key-file={layout.pki}/{name}.key",
        # The only one of its kind: after a kill it would wait for the lease of its predecessor.
        "--leader-elect=false",
    ]


def _kubelet(layout: Layout) -> list[str]:
    return [
        f"--kubeconfig={layout.kubeconfig_of('kubelet')}",
        f"--config={_file(layout, 'kubelet.yaml')}",
        f"--hostname-override={layout.name}",
        f"--node-ip={layout.node_ip}",
        f"--root-dir={layout.run}/kubelet",
        f"--cert-dir={layout.run}/kubelet/pki",
    ]
