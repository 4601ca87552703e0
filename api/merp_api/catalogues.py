"""The catalogues that the tasks of jobs are checked against: the installation's, and those published in namespaces."""

import logging
from collections.abc import Callable, Mapping
from contextlib import aclosing
from typing import Final

from merp_api.cluster import Cluster
from merp_api.identity import Caller
from merp_crds.catalogue import Catalogue
from merp_kube.client import ApiError

_FORBIDDEN: Final = 403

logger = logging.getLogger(__name__)


class Catalogues:
    """Catalogues by image. `installed` gives those of the installation, as they are now."""

    def __init__(self, cluster: Cluster, image: str, installed: Callable[[], Mapping[str, Catalogue]]) -> None:
        """`image` is the default one."""
        self._cluster = cluster
        self._image = image
        self._installed = installed

    @property
    def default(self) -> Catalogue | None:
        """That of the default image; None where there is none."""
        return self._installed().get(self._image)

    async def of(self, caller: Caller, namespace: str, image: str | None) -> Catalogue | None:
        """That of an image, None for the default one; None where nobody has told its tasks.

        What is published in the namespace is read with the caller's own rights: whoever may not read ConfigMaps is told
        by the operator, a moment later.
        """
        wanted = self._image if image is None else image
        installed = self._installed().get(wanted)
        if installed is not None or not wanted:
            return installed
        try:
            return await self._published(caller, namespace, wanted)
        except ApiError as error:
            if error.status != _FORBIDDEN:
                raise
            return None

    async def _published(self, caller: Caller, namespace: str, image: str) -> Catalogue | None:
        """As the operator chooses: the first by name, which is the API server's order."""
        async with aclosing(self._cluster.catalogues(caller.token, namespace)) as items:
            async for item in items:
                try:
                    found = Catalogue.of_config_map(item)
                except ValueError as error:
                    logger.warning("ConfigMap %s/%s: %s", namespace, item["metadata"]["name"], error)
                    continue
                if found.image == image:
                    return found
        return None
