"""Everything that happens to the objects of a kind, as one watch of the API server tells it."""

import json
import subprocess
import threading
from types import TracebackType
from typing import Any, Self

from kube import Kube

Json = dict[str, Any]
# Of a server that is busy with others.
_LIST_SECONDS = 30.0


class ObjectWatch:
    """What there is now, and a watch from there on; `events` are the objects after each change, oldest first.

    A deletion is the object with `deleted` beside its metadata. The watch ends with the `with` block.
    """

    def __init__(self, kube: Kube, path: str) -> None:
        """`path` is the list of the kind, for example `/apis/batch/v1/namespaces/x/jobs`."""
        layout = kube.cluster.layout
        command = [str(layout.bin / "kubectl"), f"--kubeconfig={layout.kubeconfig}", "get", "--raw"]
        # Whatever happens before the watch is open comes after this version.
        listed = kube.cluster.api.get(path, _LIST_SECONDS)
        self.events: list[Json] = list(listed["items"])
        query = f"watch=true&resourceVersion={listed['metadata']['resourceVersion']}"
        self._process = subprocess.Popen([*command, f"{path}?{query}"], stdout=subprocess.PIPE, text=True)
        self._thread = threading.Thread(target=self._read, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.terminate()
        self._process.wait(10)
        self._thread.join(10)
        assert self._process.stdout is not None, "it is a pipe"
        self._process.stdout.close()

    def _read(self) -> None:
        assert self._process.stdout is not None, "it is a pipe"
        for line in self._process.stdout:
            event = json.loads(line)
            assert event["type"] in ("ADDED", "MODIFIED", "DELETED"), line
            self.events.append(event["object"] | ({"deleted": True} if event["type"] == "DELETED" else {}))
