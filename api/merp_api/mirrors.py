"""The objects of one kind in memory: what the watch has told, and what our own writes were answered with since.

A write is answered before the watch tells of it. Until then the answer stands beside what the watch has, so that
whoever wrote reads what was written.
"""

import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Final

from merp_kube.client import Client, Json
from merp_kube.paths import Resource
from merp_kube.reflector import Reflector

logger = logging.getLogger(__name__)

Key = tuple[str, str]
# (before, after): None before is a new object, None after is one that went away.
OnChange = Callable[[Json | None, Json | None], None]

# Seconds. A watch ends every few minutes and is opened again within milliseconds: only what takes longer is a fault.
_GRACE: Final = 3.0
# Seconds between two tries at most: there are a few gateways, and readers wait for them.
_LONGEST_DELAY: Final = 5.0
# Deletions of our own that are remembered: the watch tells of them within milliseconds.
_DELETIONS: Final = 1000
# kubectl's copy of what was applied is as long as the object itself.
_LAST_APPLIED: Final = "kubectl.kubernetes.io/last-applied-configuration"


class Mirror:
    """One kind. Raises nothing; whoever reads asks first whether it is `current`."""

    def __init__(
        self,
        client: Client,
        resource: Resource,
        namespace: str | None,
        *,
        on_change: OnChange = lambda before, after: None,
        on_told: OnChange = lambda before, after: None,
        on_listed: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`client` holds the gateway's credentials; a namespace of None is all of them.

        `on_change` is called for whatever changes here, `on_told` for what the watch tells, our own writes among it,
        and `on_listed` where a list took its place, so that there are changes which it did not tell.
        """
        self.resource = resource
        self.namespace = None if resource.cluster_scoped else namespace
        self.reflector = Reflector(
            client,
            resource,
            on_change=self._changed,
            namespace=self.namespace,
            trim=trimmed,
            on_listed=on_listed,
            longest_delay=_LONGEST_DELAY,
        )
        self._on_change = on_change
        self._on_told = on_told
        self._clock = clock
        self._objects: dict[Key, Json] = {}
        self._ahead: dict[Key, Json] = {}
        self._deleted: OrderedDict[str, None] = OrderedDict()

    @property
    def trouble(self) -> str | None:
        """Why what is here may be old, None where it is current."""
        reflector = self.reflector
        if not reflector.version:
            return f"{'being listed anew' if reflector.synced.is_set() else 'being listed'}{self._why()}"
        if reflector.lost_at is not None and self._clock() - reflector.lost_at >= _GRACE:
            return f"not watched for {self._clock() - reflector.lost_at:.0f} s{self._why()}"
        return None

    def covers(self, namespace: str | None) -> bool:
        """Whether every object of a namespace (None: of all) is to be found here."""
        return self.namespace is None or namespace == self.namespace

    def get(self, namespace: str, name: str) -> Json | None:
        """The object as it was seen last, None where there is none."""
        self.settle()
        return self._objects.get((namespace, name))

    def items(self, namespace: str | None) -> Iterator[Json]:
        """The objects of a namespace, or of all (None), by namespace and name, as they are now."""
        self.settle()
        return (item for (where, _), item in sorted(self._objects.items(), key=_by_key) if namespace in (None, where))

    def __len__(self) -> int:
        return len(self._objects)

    def written(self, item: Json) -> None:
        """Take an object from an answer of the API server, unless something newer is known."""
        key, version = _key(item), _version(item)
        if not self.covers(key[0]) or item["metadata"]["uid"] in self._deleted or version <= self.reflector.version:
            return
        known = self._objects.get(key)
        if known is not None and _version(known) >= version:
            return
        self._ahead[key] = trimmed(item)
        self._put(key, self._ahead[key])

    def deleted(self, namespace: str, name: str, answer: Json) -> None:
        """Take the answer to a deletion: the object where something holds it up, else it is gone."""
        if (answer.get("metadata") or {}).get("deletionTimestamp"):
            self.written(answer)
            return
        uid = (answer.get("details") or {}).get("uid") or (answer.get("metadata") or {}).get("uid")
        if not uid:
            return
        self._deleted[uid] = None
        while len(self._deleted) > _DELETIONS:
            self._deleted.popitem(last=False)
        known = self._objects.get((namespace, name))
        if known is not None and known["metadata"]["uid"] == uid:
            self._ahead.pop((namespace, name), None)
            self._put((namespace, name), None)

    def settle(self) -> None:
        """Let go of answers that the watch has passed without telling of them: a list came in between."""
        for key in [key for key, item in self._ahead.items() if _version(item) <= self.reflector.version]:
            del self._ahead[key]
            self._put(key, self.reflector.get(*key))

    def _changed(self, before: Json | None, after: Json | None) -> None:
        item = after if after is not None else before
        assert item is not None
        if self.reflector.version:
            # Of a list nobody is told: it compares with what may be long ago.
            self._tell(self._on_told, before, after)
        key = _key(item)
        ahead = self._ahead.get(key)
        # What went away is gone, however new its last answer is; another object of its name is not.
        gone = after is None and ahead is not None and ahead["metadata"]["uid"] == item["metadata"]["uid"]
        if ahead is not None and _version(ahead) > _version(item) and not gone:
            return
        self._ahead.pop(key, None)
        self._put(key, after)

    def _put(self, key: Key, after: Json | None) -> None:
        before = self._objects.get(key)
        if after is not None and after["metadata"]["uid"] in self._deleted:
            after = None
        if after is not None:
            self._objects[key] = after
        elif before is not None:
            del self._objects[key]
        if before is not after:
            self._tell(self._on_change, before, after)

    def _tell(self, callback: OnChange, before: Json | None, after: Json | None) -> None:
        try:
            callback(before, after)
        except Exception:
            # Whoever may write one object must not end the watch of all others.
            key = _key(after or before or {})
            logger.exception("a change of %s %s/%s cannot be taken", self.resource.plural, *key)

    def _why(self) -> str:
        return "" if self.reflector.error is None else f": {self.reflector.error}"


def trimmed(item: Json) -> Json:
    """An object without what nobody is shown: of its managers only when the newest of them wrote."""
    metadata = item["metadata"]
    written = [
        entry["time"]
        for entry in metadata.get("managedFields") or []
        if entry.get("time") and entry.get("subresource") is None
    ]
    kept = {key: value for key, value in metadata.items() if key != "managedFields"}
    if written:
        kept["managedFields"] = [{"time": max(written)}]
    if _LAST_APPLIED in (metadata.get("annotations") or {}):
        kept["annotations"] = {key: value for key, value in metadata["annotations"].items() if key != _LAST_APPLIED}
    return item | {"metadata": kept}


def _key(item: Json) -> Key:
    metadata = item["metadata"]
    return metadata.get("namespace", ""), metadata["name"]


def _by_key(entry: tuple[Key, Json]) -> Key:
    return entry[0]


def _version(item: Json) -> int:
    """Kubernetes compares these as numbers, within a kind, from 1.35 on; etcd has counted them so from the first."""
    return int(item["metadata"]["resourceVersion"])
