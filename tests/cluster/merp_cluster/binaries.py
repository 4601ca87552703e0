"""The programs made from Go modules: Kubernetes and etcd in one binary, CoreDNS, pause, helm."""

import os
import shutil
from pathlib import Path

from merp_cluster.cache import Cache
from merp_cluster.commands import logged, output
from merp_cluster.errors import ClusterError
from merp_cluster.files import digest
from merp_cluster.progress import step

# The newest minor release that runs on cgroup v1 hosts without an override and with Debian 12's containerd 1.6.
KUBERNETES_VERSION = "v1.34.4"
# The last 3.x line that was current with Kubernetes 1.34.
HELM_VERSION = "v3.19.0"
HELM_MODULE = "helm.sh/helm/v3/cmd/helm"
SOURCES = Path(__file__).resolve().parent.parent
_VERSION_PACKAGE = "k8s.io/component-base/version"
_MAJOR, _MINOR, _ = KUBERNETES_VERSION.removeprefix("v").split(".")
# Without these the server calls itself v0.0.0-master, and clients that check for a minimum version turn away.
HYPERKUBE_FLAGS = (
    f"-s -w -X {_VERSION_PACKAGE}.gitVersion={KUBERNETES_VERSION}"
    f" -X {_VERSION_PACKAGE}.gitMajor={_MAJOR} -X {_VERSION_PACKAGE}.gitMinor={_MINOR}"
)
PLAIN_FLAGS = "-s -w"


class Binaries:
    """Paths of the built programs; asking for one builds it if the cache does not hold it."""

    def __init__(self, cache: Cache) -> None:
        self._cache = cache
        self._go = _find_go()
        self._go_version = output([self._go, "version"]).strip()

    def hyperkube(self) -> Path:
        """etcd, the control plane, kubelet, kube-proxy and kubectl; the first argument or argv[0] chooses."""
        return self._program("hyperkube", HYPERKUBE_FLAGS)

    def coredns(self) -> Path:
        return self._program("coredns", PLAIN_FLAGS)

    def pause(self) -> Path:
        return self._program("pause", PLAIN_FLAGS)

    def helm(self) -> Path:
        module = f"{HELM_MODULE}@{HELM_VERSION}"
        flags = f"{PLAIN_FLAGS} -X helm.sh/helm/v3/internal/version.version={HELM_VERSION}"
        key = digest([module, flags, self._go_version])

        def build(folder: Path) -> None:
            with step("building helm"):
                self._run("helm", ["install", "-trimpath", "-ldflags", flags, module], folder, {"GOBIN": str(folder)})

        return self._cache.entry("helm", key, build) / "helm"

    def from_source(self, name: str, source: Path) -> Path:
        """A Go program of the tests, from the folder `source`."""
        return self._program(name, PLAIN_FLAGS, source)

    def _program(self, name: str, flags: str, source: Path | None = None) -> Path:
        source = source or SOURCES / name
        texts = [file.read_bytes() for file in sorted(source.glob("*.go")) + sorted(source.glob("go.*"))]
        key = digest([name, flags, self._go_version, *texts])

        def build(folder: Path) -> None:
            arguments = ["build", "-trimpath", "-ldflags", flags, "-o", str(folder / name), "."]
            with step(f"building {name}"):
                self._run(name, arguments, source, {})

        return self._cache.entry(name, key, build) / name

    def _run(self, name: str, arguments: list[str], folder: Path, extra: dict[str, str]) -> None:
        # Static, so that one binary serves the host and an image from scratch.
        logged([self._go, *arguments], self._cache.log(name), cwd=folder, env={"CGO_ENABLED": "0", **extra})


def _find_go() -> str:
    for candidate in (shutil.which("go"), "/usr/local/go/bin/go"):
        if candidate and os.access(candidate, os.X_OK):
            return candidate
    raise ClusterError("needs Go 1.24 or newer to build the cluster's programs; there is no `go` on PATH")
