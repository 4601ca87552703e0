"""A cache of one kind of objects that is told of every change, deletions in a gap included.

List in pages, watch with bookmarks from where the list ended, reconnect when the watch falls silent, and where the
server cannot go on from there (410) list again and compare: a watch never tells of what went away while nobody watched.
"""

import asyncio
import logging
import random
import time
from collections.abc import Callable, Iterator
from contextlib import aclosing
from typing import Any, Final

from merp_kube.client import PAGE_SIZE, ApiError, Client, Json, Unreachable, read_object
from merp_kube.paths import Resource

Key = tuple[str, str]

# Bookmarks come about once a minute, so that a watch silent for longer is dead.
_IDLE_TIMEOUT: Final = 70.0
# Shorter than what load balancers allow, and spread so that watches do not all end together.
_WATCH_SECONDS: Final = (240, 300)
# Seconds: the first, and the longest.
_BACKOFF: Final = (0.5, 30.0)
_GONE: Final = 410
# Why a server that was restored from a backup cannot go on from where it had come before.
_AHEAD: Final = "ResourceVersionTooLarge"
# Where nothing of a kind happens bookmarks may stay away for minutes: silence alone is not listed for more often.
_SILENCE: Final = 300.0

_log = logging.getLogger(__name__)


class Reflector:
    """The objects of `resource` that `selector` selects, kept current by `run`.

    `on_change(before, after)` is called for every change, in order: (None, object) for a new one, (object, None) for
    one that went away. An object made again under its old name counts as one that went and one that came. It must not
    block. `trim` reduces an object to what is worth its memory; of large ones a page has `page_size`.
    """

    def __init__(
        self,
        client: Client,
        resource: Resource,
        *,
        on_change: Callable[[Json | None, Json | None], None],
        selector: str = "",
        namespace: str | None = None,
        trim: Callable[[Json], Json] = lambda item: item,
        page_size: int = PAGE_SIZE,
        on_listed: Callable[[], None] = lambda: None,
        longest_delay: float = _BACKOFF[1],
    ) -> None:
        """`on_listed` is called once a list has taken the place of what was there; the changes come before.

        After a failure it is tried again within `longest_delay` seconds.
        """
        self._client = client
        self._path = resource.of(namespace) if namespace else resource.all()
        self._name = resource.plural
        self._selector = selector
        self._on_change = on_change
        self._trim = trim
        self._page_size = page_size
        self._on_listed = on_listed
        self._longest_delay = longest_delay
        self._objects: dict[Key, Json] = {}
        self._version = ""
        # Whether the last watch has told anything: one that never does may be ahead of a server that was restored.
        self._heard = False
        self._listed_at = 0.0
        # Whether the cache has been complete once; what is decided from it before would be decided from half of it.
        self.synced = asyncio.Event()
        # Monotonic time of the last try to reach the server: what liveness asks for.
        self.tried_at = time.monotonic()
        # Monotonic time since when nobody watches, None while somebody does.
        self.lost_at: float | None = self.tried_at
        # Why the last try did not work, None if it did.
        self.error: Exception | None = None
        # Whether the last try worked, so that an outage is logged when it begins and ends, not every second.
        self._connected = True

    def get(self, namespace: str, name: str) -> Json | None:
        """The object as last seen, or None."""
        return self._objects.get((namespace, name))

    @property
    def version(self) -> int:
        """The resourceVersion up to which everything is known; 0 before the first list, and until a list once more."""
        return int(self._version or 0)

    def __iter__(self) -> Iterator[Json]:
        return iter(list(self._objects.values()))

    def __len__(self) -> int:
        return len(self._objects)

    async def run(self) -> None:
        """List and watch until cancelled. An unreachable server is waited for, however long it takes."""
        delays, listed_anew = _delays(self._longest_delay), False
        while True:
            self.tried_at = time.monotonic()
            try:
                if not self._version:
                    await self._list()
                await self._watch()
                self._lost(None)
                delays, listed_anew = _delays(self._longest_delay), False
            except (ApiError, Unreachable) as error:
                self._lost(error)
                if isinstance(error, ApiError) and error.status == _GONE:
                    self._version = ""
                    if not listed_anew:
                        # Once without a delay: what a new list does not mend, the next one at once does not either.
                        listed_anew = True
                        _log.info("watch of %s: the server no longer knows where it was; listed anew", self._name)
                        continue
                elif self._may_be_ahead(error):
                    self._version = ""
                delay = getattr(error, "retry_after", None) or next(delays)
                self._failed(error, delay)
                await asyncio.sleep(delay)

    async def _list(self) -> None:
        found: dict[Key, Json] = {}
        token = ""
        while True:
            query = {"limit": str(self._page_size)} | self._query()
            if token:
                query["continue"] = token
            page = await self._client.call("GET", self._path, query=query)
            self.tried_at = time.monotonic()
            for item in page.get("items") or []:
                found[_key(item)] = self._trim(item)
            token = page["metadata"].get("continue") or ""
            if not token:
                break
        for key in [key for key in self._objects if key not in found]:
            self._replace(key, None)
        for key, item in found.items():
            self._replace(key, item)
        self._version, self._listed_at = page["metadata"]["resourceVersion"], time.monotonic()
        self._on_listed()
        self._recovered()
        self.synced.set()

    async def _watch(self) -> None:
        query = {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": self._version,
            "timeoutSeconds": str(random.randint(*_WATCH_SECONDS)),  # noqa: S311  (spreads load, guards nothing)
        } | self._query()
        stream = self._client.stream(self._path, query=query, idle_seconds=_IDLE_TIMEOUT, opened=self._opened)
        async with aclosing(stream) as lines:
            async for line in lines:
                self._heard, self.tried_at = True, time.monotonic()
                if line:
                    self._take(read_object(line, f"watch of {self._name}: a line"))

    def _take(self, event: Json) -> None:
        kind, item = event["type"], event["object"]
        if kind == "ERROR":
            # From the same place it would come to the same error again.
            self._version = ""
            raise ApiError(int(item.get("code") or 500), item)
        self._version = item["metadata"]["resourceVersion"]
        if kind == "BOOKMARK":
            return
        self._replace(_key(item), None if kind == "DELETED" else self._trim(item), last=item)

    def _replace(self, key: Key, item: Json | None, last: Json | None = None) -> None:
        before = self._objects.get(key)
        if item is None:
            self._objects.pop(key, None)
            # The event of a deletion carries the object's last state, which may be news.
            gone = self._trim(last) if last is not None else before
            if gone is not None:
                self._on_change(gone, None)
            return
        self._objects[key] = item
        if before is None:
            self._on_change(None, item)
        elif before["metadata"]["uid"] != item["metadata"]["uid"]:
            self._on_change(before, None)
            self._on_change(None, item)
        elif before["metadata"]["resourceVersion"] != item["metadata"]["resourceVersion"]:
            self._on_change(before, item)

    def _may_be_ahead(self, error: ApiError | Unreachable) -> bool:
        """Whether the server may have been restored to before where the last watch was: it says so, or says nothing."""
        if isinstance(error, Unreachable):
            return not self._heard and time.monotonic() - self._listed_at >= _SILENCE
        return any(cause.get("reason") == _AHEAD for cause in error.details.get("causes") or [])

    def _query(self) -> dict[str, str]:
        return {"labelSelector": self._selector} if self._selector else {}

    def _failed(self, error: Exception, delay: float) -> None:
        level = logging.WARNING if self._connected else logging.DEBUG
        self._connected = False
        _log.log(level, "watch of %s: %s; next try in %.1f s", self._name, error, delay)

    def _opened(self) -> None:
        self._heard = False
        self.lost_at = self.error = None
        self._recovered()

    def _lost(self, error: Exception | None) -> None:
        self.lost_at = time.monotonic() if self.lost_at is None else self.lost_at
        self.error = error

    def _recovered(self) -> None:
        if not self._connected:
            self._connected = True
            _log.info("watch of %s works again", self._name)


def _delays(cap: float) -> Iterator[float]:
    """Seconds to wait, doubling up to a cap, spread so that clients do not come back together."""
    delay = min(_BACKOFF[0], cap)
    while True:
        yield delay * random.uniform(0.5, 1.0)  # noqa: S311  (spreads load, guards nothing)
        delay = min(delay * 2, cap)


def _key(item: Json) -> Key:
    metadata: dict[str, Any] = item["metadata"]
    return metadata.get("namespace", ""), metadata["name"]
