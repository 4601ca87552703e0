"""An operator that is killed at its own writes, and started again as the kubelet would."""

import asyncio
import json
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from cutting_proxy import CuttingProxy, Write, let_pass
from operator_process import OperatorProcess

from merp_cluster.cluster import Cluster
from merp_crds import names
from merp_kube.client import load_configuration, ssl_context


class CutOperator:
    """An operator for one namespace, behind a proxy whose plan says when it is killed; a context manager."""

    def __init__(self, folder: Path, cluster: Cluster, namespace: str) -> None:
        configuration = asyncio.run(load_configuration(cluster.kubeconfig))
        self.proxy = CuttingProxy(str(configuration.host), ssl_context(configuration), anew=self._anew)
        self._kubeconfig = folder / "proxy.kubeconfig"
        self.process = OperatorProcess(folder, self._kubeconfig, namespace)

    def __enter__(self) -> Self:
        with ExitStack() as begun:
            self._enter(begun)
            self._begun = begun.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.proxy.plan = let_pass
        self._begun.close()

    def _enter(self, begun: ExitStack) -> None:
        begun.enter_context(self.proxy)
        # The proxy has the administrator's certificate; whoever comes to it needs none.
        self._kubeconfig.write_text(
            json.dumps(
                {
                    "apiVersion": "v1",
                    "kind": "Config",
                    "clusters": [{"name": "proxy", "cluster": {"server": self.proxy.url}}],
                    "users": [{"name": "nobody", "user": {}}],
                    "contexts": [{"name": "proxy", "context": {"cluster": "proxy", "user": "nobody"}}],
                    "current-context": "proxy",
                }
            )
        )
        # Also where it does not come up in time.
        begun.callback(self.process.stop)
        self.process.start()

    def _anew(self) -> None:
        self.process.kill()
        self.process.launch()


def kind(write: Write) -> str:
    """What the operator does by a write, as `PATCH jobs: release`; empty where it only asks, by a dry run."""
    if "dryRun" in write.query:
        return ""
    _, _, rest = write.path.partition("/namespaces/")
    _, plural, *more = rest.split("/")
    what = f"{write.method} {'/'.join([plural, *more[1:]])}"
    if what != "PATCH jobs":
        return what
    body = json.loads(write.body)
    if names.ANNOTATION_ENDED in (body["metadata"].get("annotations") or {}):
        return f"{what}: end"
    if "spec" in body:
        return f"{what}: release"
    return f"{what}: {'hand over' if 'ownerReferences' in body['metadata'] else 'keep open'}"
