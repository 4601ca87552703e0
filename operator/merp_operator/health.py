"""What the kubelet and Prometheus ask the process: /healthz, /readyz and /metrics."""

import time
from collections.abc import Callable, Iterable
from typing import Final, Protocol

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

# A watch falls silent after 70 s and is tried again at once; longer than this, nothing tries any more.
_SILENT_SECONDS: Final = 90.0


class Tried(Protocol):
    """What asks the API server again and again, and when it last tried to (monotonic)."""

    tried_at: float


def application(tried: Callable[[], Iterable[Tried]], ready: Callable[[], bool]) -> web.Application:
    """The three endpoints. An unreachable API server or database is not the process's fault, and never ends it."""

    async def healthz(_: web.Request) -> web.Response:
        oldest = max(time.monotonic() - each.tried_at for each in tried())
        if oldest > _SILENT_SECONDS:
            return web.Response(status=500, text=f"the API server was last asked {oldest:.0f} s ago\n")
        return web.Response(text="ok\n")

    async def readyz(_: web.Request) -> web.Response:
        if ready():
            return web.Response(text="ok\n")
        return web.Response(status=503, text="the cluster has not been read yet\n")

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(body=generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    app = web.Application()
    app.router.add_get("/healthz", healthz)
    app.router.add_get("/readyz", readyz)
    app.router.add_get("/metrics", metrics)
    return app
