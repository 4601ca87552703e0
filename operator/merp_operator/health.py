"""What the kubelet and Prometheus ask the process: /healthz, /readyz and /metrics."""

import time
from collections.abc import Callable, Iterable
from typing import Final

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from merp_kube.reflector import Reflector

# A watch falls silent after 70 s and is tried again at once; longer than this, nothing tries any more.
_SILENT_SECONDS: Final = 90.0


def application(reflectors: Iterable[Reflector], ready: Callable[[], bool]) -> web.Application:
    """The three endpoints. An unreachable API server or database is not the process's fault, and never ends it."""
    watched = tuple(reflectors)

    async def healthz(_: web.Request) -> web.Response:
        oldest = max(time.monotonic() - reflector.tried_at for reflector in watched)
        if oldest > _SILENT_SECONDS:
            return web.Response(status=500, text=f"a watch was last tried {oldest:.0f} s ago\n")
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
