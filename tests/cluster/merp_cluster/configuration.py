"""The configuration files of the components, as text. JSON where the component reads YAML: every JSON file is YAML."""

import json
from typing import Any

from merp_cluster.layout import Layout

PAUSE_IMAGE = "merp.local/pause:1"


def files(layout: Layout) -> dict[str, str]:
    """File name below the configuration folder -> content."""
    return {
        "containerd.toml": containerd(layout),
        "cni/10-pods.conflist": _json(cni(layout)),
        "kubelet.yaml": _json(kubelet(layout)),
        "kube-proxy.yaml": _json(kube_proxy(layout)),
        "audit-policy.yaml": _json(AUDIT_POLICY),
    }


def containerd(layout: Layout) -> str:
    """A containerd with folders of its own throughout, so that the host's (if there is one) is not touched."""
    home = layout.run / "containerd"
    return f"""version = 2
root = "{home}/root"
state = "{home}/state"

[grpc]
address = "{layout.containerd_socket}"

[plugins."io.containerd.internal.v1.opt"]
path = "{home}/opt"

[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{PAUSE_IMAGE}"
# Below /run/netns the pods' namespaces would look like clusters of their own.
netns_mounts_under_state_dir = true
# In a machine that is itself a container, lowering the score is not allowed.
restrict_oom_score_adj = true

[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "/usr/lib/cni"
conf_dir = "{layout.configuration}/cni"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
SystemdCgroup = false
Root = "{home}/runc"
"""


def cni(layout: Layout) -> dict[str, Any]:
    """Point-to-point links: every packet is routed by the node, so a Service works between pods of one node without the
    bridge netfilter module that not every kernel has."""
    addresses = {"type": "host-local", "dataDir": f"{layout.run}/cni", "ranges": [[{"subnet": layout.pod_cidr}]]}
    pods = {"type": "ptp", "ipMasq": False, "ipam": {**addresses, "routes": [{"dst": "0.0.0.0/0"}]}}
    ports = {"type": "portmap", "capabilities": {"portMappings": True}}
    return {"cniVersion": "0.4.0", "name": layout.cni_network, "plugins": [pods, ports]}


def kubelet(layout: Layout) -> dict[str, Any]:
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "containerRuntimeEndpoint": f"unix://{layout.containerd_socket}",
        "cgroupDriver": "cgroupfs",
        # Else the kubelets of two clusters would each clear away the other's pods as orphans.
        "cgroupRoot": f"/{layout.cgroup}",
        "cgroupsPerQOS": True,
        "enforceNodeAllocatable": [],
        "failSwapOn": False,
        "clusterDNS": [layout.dns_ip],
        "clusterDomain": "cluster.local",
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": f"{layout.pki}/ca.crt"},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": f"{layout.pki}/kubelet.crt",
        "tlsPrivateKeyFile": f"{layout.pki}/kubelet.key",
        "healthzBindAddress": layout.node_ip,
        # The pod range has 254 addresses.
        "maxPods": 250,
        "serializeImagePulls": False,
        "oomScoreAdj": 0,
        # Nothing outside can be reached, so the host's name servers would only be waited for.
        "resolvConf": "/dev/null",
        # Images are loaded, not pulled: one that is collected would not come back.
        "imageGCHighThresholdPercent": 100,
        # The host's disk is shared with everything else on it; how full it is says nothing about this cluster.
        "evictionHard": {"memory.available": "100Mi"},
        "podLogsDir": f"{layout.run}/podlogs",
        "volumePluginDir": f"{layout.run}/kubelet/volume-plugins",
    }


def kube_proxy(layout: Layout) -> dict[str, Any]:
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "iptables",
        "clusterCIDR": layout.pod_cidr,
        "hostnameOverride": layout.name,
        "bindAddress": layout.node_ip,
        "healthzBindAddress": f"{layout.node_ip}:10256",
        "clientConnection": {"kubeconfig": str(layout.kubeconfig_of("kube-proxy"))},
        # Zero: leave the kernel's limits, which belong to the whole host, as they are.
        "conntrack": {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
    }


def _rule(level: str, **where: Any) -> dict[str, Any]:
    return {"level": level, **where}


# Who wrote what to jobs and to our kinds, and every request of a pod (so that a test can compare RBAC with what was
# called); not the chatter of Kubernetes' own controllers.
AUDIT_POLICY: dict[str, Any] = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [
        _rule("Metadata", resources=[{"group": "batch"}, {"group": "scheduler.merp.io"}]),
        _rule("None", userGroups=["system:serviceaccounts:kube-system"]),
        _rule("Metadata", userGroups=["system:serviceaccounts"]),
        _rule("None"),
    ],
}


def _json(content: dict[str, Any]) -> str:
    return json.dumps(content, indent=1) + "\n"
