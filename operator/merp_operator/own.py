"""A cache of one of the operator's own kinds, as kopf tells of it in any order."""

from collections.abc import Callable, Collection

from merp_kube.paths import Resource
from merp_operator.observe import Json

# Namespace and name.
Key = tuple[str, str]


class Own:
    """The cache of one of our own kinds, fed by events and corrected by lists."""

    def __init__(self, resource: Resource, changed: Callable[[Json], None]) -> None:
        self.resource = resource
        self._changed = changed
        self._objects: dict[Key, Json] = {}
        # UIDs of what went since the last list, and since the one before it: a list or an answer that was under way
        # then still has it.
        self._gone: tuple[set[str], set[str]] = (set(), set())
        # Of the last list.
        self._version = 0

    def get(self, namespace: str, name: str) -> Json | None:
        """The object as last seen, or None."""
        return self._objects.get((namespace, name))

    def all(self) -> list[Json]:
        """Every object."""
        return list(self._objects.values())

    def of(self, namespace: str) -> list[Json]:
        """Every object of a namespace."""
        return [item for (space, _), item in self._objects.items() if space == namespace]

    def put(self, item: Json) -> None:
        """An object as it is now; what is not newer than the one known is no news, and what is gone stays gone."""
        key = key_of(item)
        known = self._objects.get(key)
        if known is not None and not _newer(item, known):
            return
        if any(item["metadata"]["uid"] in gone for gone in self._gone):
            return
        self._objects[key] = item
        self._changed(item)

    def remove(self, item: Json) -> None:
        """An object that is gone."""
        key = key_of(item)
        self._gone[0].add(item["metadata"]["uid"])
        known = self._objects.get(key)
        if known is not None and known["metadata"]["uid"] == item["metadata"]["uid"]:
            del self._objects[key]
        self._changed(item)

    def replace(self, items: list[Json], version: str) -> None:
        """All objects as a list of that version has them: what it lacks is gone, unless it is newer than the list."""
        listed = {key_of(item): item for item in items}
        if int(version) < self._version:
            self._begin_anew(listed)
        self._version = int(version)
        for key, known in list(self._objects.items()):
            if key not in listed and int(known["metadata"]["resourceVersion"]) <= int(version):
                self.remove(known)
        for key, item in listed.items():
            old = self._objects.get(key)
            if old is None or old["metadata"]["resourceVersion"] != item["metadata"]["resourceVersion"]:
                self.put(item)
        self._gone = (set(), self._gone[0])

    def _begin_anew(self, listed: Collection[Key]) -> None:
        """The server was restored from a backup: what it lists is what there is, older than what is known or not."""
        before, self._objects, self._gone = self._objects, {}, (set(), set())
        for key, known in before.items():
            if key not in listed:
                self._changed(known)


def key_of(item: Json) -> Key:
    """Namespace and name of an object."""
    # What is in no namespace has an empty one.
    return item["metadata"].get("namespace", ""), item["metadata"]["name"]


def _newer(item: Json, known: Json) -> bool:
    """Whether `item` is a later version of an object, or another one made since under its name.

    Versions of one kind are numbers that grow, and kopf may tell late of one that was replaced.
    """
    return int(item["metadata"]["resourceVersion"]) > int(known["metadata"]["resourceVersion"])
