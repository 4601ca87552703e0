"""The chart as helm renders it, without a cluster."""

import os
import subprocess
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from kube import Kube
from rest_identities import RestIdentities

from merp_cluster.cache import cache_root

CHART = Path(__file__).parents[2] / "helm" / "merp-scheduler"
# A helm that `go install` built does not know which Kubernetes its libraries are of, and takes a very old one.
KUBERNETES = "1.34.4"
# Rendering takes half a second, and installing a few, on a quiet machine.
SECONDS = 300

Json = dict[str, Any]


@dataclass(frozen=True)
class Chart:
    """The chart of this tree, and the helm that renders it."""

    helm: Path
    folder: Path = CHART

    def run(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """helm, with whatever it says."""
        return subprocess.run(
            [str(self.helm), *arguments], capture_output=True, text=True, timeout=SECONDS, check=False
        )

    def on(self, kube: Kube, *arguments: str) -> None:
        """helm on the cluster, in that namespace. Fails with what it complains of."""
        done = subprocess.run(
            [str(self.helm), "--namespace", kube.namespace, *arguments],
            env=os.environ | {"KUBECONFIG": str(kube.cluster.kubeconfig)},
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        assert done.returncode == 0, done.stderr

    def template(self, *values: str, release: str = "erp", namespace: str = "erp-system") -> str:
        """What would be installed with these `--set` values."""
        done = self._template(values, release, namespace)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def refusal(self, *values: str, release: str = "erp") -> str:
        """Why helm does not install with these values."""
        done = self._template(values, release, "erp-system")
        assert done.returncode != 0, "helm renders it"
        return done.stderr

    def objects(self, *values: str, release: str = "erp") -> "Objects":
        """The objects that would be installed."""
        # The parser in C: the one in Python takes ten times as long for the definitions, longer than helm.
        documents = yaml.load_all(self.template(*values, release=release), Loader=yaml.CSafeLoader)
        return Objects([document for document in documents if document])

    def _template(self, values: tuple[str, ...], release: str, namespace: str) -> "subprocess.CompletedProcess[str]":
        sets = [word for value in values for word in ("--set", value)]
        return self.run(
            "template", release, str(self.folder), "--namespace", namespace, "--kube-version", KUBERNETES, *sets
        )


@dataclass(frozen=True)
class Objects:
    """Rendered objects, by kind and name."""

    items: list[Json]

    def names(self, kind: str) -> list[str]:
        return sorted(item["metadata"]["name"] for item in self.items if item["kind"] == kind)

    def get(self, kind: str, name: str) -> Json:
        found = [item for item in self.items if item["kind"] == kind and item["metadata"]["name"] == name]
        assert len(found) == 1, f"{len(found)} of {kind} {name}; there are {self.names(kind)}"
        return found[0]

    def pods(self) -> dict[str, Json]:
        """Every pod spec of the chart, by kind/name of what makes it."""
        pods = {}
        for item in self.items:
            key = f"{item['kind']}/{item['metadata']['name']}"
            if item["kind"] == "Pod":
                pods[key] = item["spec"]
            elif item["kind"] in ("Deployment", "Job"):
                pods[key] = item["spec"]["template"]["spec"]
        return pods


@pytest.fixture(scope="session")
def chart() -> Chart:
    # The cluster's tool builds it once; a test of text must not start a build of a minute unasked.
    found = sorted(cache_root().glob("helm-*/helm"), key=lambda path: path.stat().st_mtime)
    if not found:
        pytest.fail("there is no helm yet: run `PYTHONPATH=tests/cluster python3 -m merp_cluster up`, which builds it")
    return Chart(found[-1])


# For no longer than a module: what the chart's policies refuse they refuse in every namespace.
@pytest.fixture(scope="module")
def rest_identities(chart, cluster, definitions, tmp_path_factory) -> Iterator[RestIdentities]:
    """Somebody of each identity under the chart's roles and policies, and a gateway that they ask."""
    kube = Kube(cluster, f"rest-{uuid.uuid4().hex[:8]}")
    cluster.api.kubectl("create", "namespace", kube.namespace)
    nothing_that_runs = [
        "operator.replicas=0",
        "api.replicas=0",
        "catalogue.publish=false",
        "calendars.cn.create=false",
    ]
    chart.on(
        kube, "install", "rest", str(chart.folder), *(word for value in nothing_that_runs for word in ("--set", value))
    )
    found = RestIdentities(kube, tmp_path_factory.mktemp("rest"))
    found.gateway.start()
    yield found
    found.gateway.stop()
    chart.on(kube, "uninstall", "rest", "--wait")
    cluster.api.kubectl("delete", "clusterrolebinding", f"{kube.namespace}-admin")
    cluster.api.kubectl("delete", "namespace", kube.namespace, "--wait=false")
