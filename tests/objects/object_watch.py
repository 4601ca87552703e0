"""Everything that happens to the objects of a kind, as watches of the API server tell it."""

import json
import subprocess
import threading
import time
from types import TracebackType
from typing import Any, Self

from kube import Kube

Json = dict[str, Any]
# Of a server that is busy with others.
_LIST_SECONDS = 60.0
_CAUGHT_UP_SECONDS = 300.0
# A server that hung up may need a moment before it listens again.
_PAUSE_SECONDS = 0.5


class ObjectWatch:
    """What there is now, and a watch from there on; `events` are the objects after each change, oldest first.

    A deletion is the object with `deleted` beside its metadata. A watch that is cut off is begun anew where it was. At its
    end the `with` block waits until all is told that had happened by then.
    """

    def __init__(self, kube: Kube, path: str) -> None:
        """`path` is the list of the kind, for example `/apis/batch/v1/namespaces/x/jobs`."""
        layout = kube.cluster.layout
        self._command = [str(layout.bin / "kubectl"), f"--kubeconfig={layout.kubeconfig}", "get", "--raw"]
        self._kube = kube
        self._path = path
        # Whatever happens before the watch is open comes after this version.
        listed = kube.cluster.api.get(path, _LIST_SECONDS)
        self.events: list[Json] = list(listed["items"])
        self._version: str = listed["metadata"]["resourceVersion"]
        self._fault = ""
        self._is_over = threading.Event()
        self._process = self._begin()
        self._thread = threading.Thread(target=self._read, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._catch_up()
        finally:
            self._is_over.set()
            self._process.terminate()
            self._thread.join(_LIST_SECONDS)

    def _begin(self) -> "subprocess.Popen[str]":
        url = f"{self._path}?watch=true&resourceVersion={self._version}"
        return subprocess.Popen([*self._command, url], stdout=subprocess.PIPE, text=True)

    def _read(self) -> None:
        while True:
            with self._process as process:
                assert process.stdout is not None, "it is a pipe"
                for line in process.stdout:
                    self._take(line)
            if self._fault or self._is_over.wait(_PAUSE_SECONDS):
                return
            self._process = self._begin()
            if self._is_over.is_set():
                self._process.terminate()

    def _take(self, line: str) -> None:
        try:
            event = json.loads(line)
        except ValueError:  # cut off in the middle: it is told again
            return
        if event["type"] not in ("ADDED", "MODIFIED", "DELETED"):
            self._fault = line
            return
        self._version = event["object"]["metadata"]["resourceVersion"]
        self.events.append(event["object"] | ({"deleted": True} if event["type"] == "DELETED" else {}))

    def _catch_up(self) -> None:
        """Wait until what is there now is what was told last of each object."""
        listed = self._kube.cluster.api.get(self._path, _LIST_SECONDS)
        there = {item["metadata"]["uid"]: _version(item) for item in listed["items"]}
        deadline = time.monotonic() + _CAUGHT_UP_SECONDS
        while not self._knows(there, _version(listed)):
            assert not self._fault, f"the watch of {self._path} ended: {self._fault}"
            assert time.monotonic() < deadline, f"the watch of {self._path} does not tell what is there"
            time.sleep(_PAUSE_SECONDS)

    def _knows(self, there: dict[str, int], as_of: int) -> bool:
        told = {item["metadata"]["uid"]: item for item in list(self.events)}
        # What came after the list may have been told too.
        known = all(uid in told and _version(told[uid]) >= version for uid, version in there.items())
        gone = [item for uid, item in told.items() if uid not in there and _version(item) <= as_of]
        return known and all(item.get("deleted") for item in gone)


def _version(item: Json) -> int:
    return int(item["metadata"]["resourceVersion"])
