"""The catalogues of tasks that were published in namespaces: ConfigMaps with a label, each for the jobs beside it.

Anybody who may write a ConfigMap may publish one: what is wrong with it is told of it by name, and touches no other.
"""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final

from merp_crds import names
from merp_crds.catalogue import Catalogue
from merp_kube import paths
from merp_kube.client import ApiError, Client, Unreachable
from merp_kube.reflector import Reflector
from merp_operator import events
from merp_operator.cluster import Cluster
from merp_operator.observe import Json

_SELECTOR: Final = f"{names.LABEL_CATALOGUE}=true"
# Each may have a megabyte.
_PAGE_SIZE: Final = 20

_log = logging.getLogger(__name__)


class Published:
    """The catalogues by namespace and image.

    `changed(namespace)` is called whenever those of a namespace have changed; `now` is the API server's time, UTC.
    """

    def __init__(
        self,
        client: Client,
        cluster: Cluster,
        *,
        namespace: str | None,
        changed: Callable[[str], None],
        now: Callable[[], datetime],
    ) -> None:
        self._cluster = cluster
        self._changed = changed
        self._now = now
        self._untold: asyncio.Queue[Json] = asyncio.Queue()
        # By namespace, then by name.
        self._read: defaultdict[str, dict[str, Catalogue]] = defaultdict(dict)
        self._by_image: dict[tuple[str, str], Catalogue] = {}
        self.reflector = Reflector(
            client,
            paths.CONFIG_MAP,
            on_change=self._on_change,
            selector=_SELECTOR,
            namespace=namespace,
            trim=read,
            page_size=_PAGE_SIZE,
        )

    @property
    def by_image(self) -> Mapping[tuple[str, str], Catalogue]:
        """By namespace and image; of two of one image in a namespace the first by name counts."""
        return self._by_image

    async def run(self) -> None:
        """Keep them current, and tell of those that are broken, until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.reflector.run())
            group.create_task(self._tell())

    async def _tell(self) -> None:
        while True:
            event = await self._untold.get()
            about = event["involvedObject"]
            _log.warning("ConfigMap %s/%s: %s", about["namespace"], about["name"], event["message"])
            try:
                await self._cluster.create_event(event)
            except (ApiError, Unreachable) as error:
                # Told again at the next start, or when the object changes; nothing waits for it.
                _log.warning("Event of ConfigMap %s/%s: %s", about["namespace"], about["name"], error)

    def _on_change(self, before: Json | None, after: Json | None) -> None:
        item = after or before
        assert item is not None, "a change has a before or an after"
        namespace, name = item["metadata"]["namespace"], item["metadata"]["name"]
        known = self._read[namespace].pop(name, None)
        if after is not None and after["catalogue"] is not None:
            self._read[namespace][name] = after["catalogue"]
        elif after is not None:
            self._untold.put_nowait(events.broken_catalogue(after, after["problem"], self._now()))
        if known == self._read[namespace].get(name):
            return
        self._by_image = {key: found for key, found in self._by_image.items() if key[0] != namespace}
        for _name, catalogue in sorted(self._read[namespace].items()):
            self._by_image.setdefault((namespace, catalogue.image), catalogue)
        self._changed(namespace)


def read(config_map: Json) -> Json:
    """A ConfigMap as {"metadata", "catalogue", "problem"}: one of the last two is None."""
    metadata = config_map["metadata"]
    kept: dict[str, Any] = {key: metadata[key] for key in ("namespace", "name", "uid", "resourceVersion")}
    try:
        return {"metadata": kept, "catalogue": Catalogue.of_config_map(config_map), "problem": None}
    except ValueError as error:
        return {"metadata": kept, "catalogue": None, "problem": str(error)}
