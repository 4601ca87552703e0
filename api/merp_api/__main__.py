"""`python -m merp_api`: the gateway as a process."""

import logging
import signal
import socket
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Final, NoReturn

import uvicorn
from fastapi import FastAPI
from pydantic import ValidationError

from merp_api import metrics
from merp_api.app import create_app
from merp_api.event_streams import EventStreams
from merp_api.settings import Settings
from merp_crds.catalogue import Catalogue
from merp_crds.catalogue_files import CatalogueFiles
from merp_kube import garbage, logs, nesting
from merp_kube.client import Client, server_only, with_token_of

logger = logging.getLogger("merp_api")

_BAD_SETTINGS: Final = 2
# As uvicorn has it, for example where the port is taken.
_NOT_STARTED: Final = 3
# Seconds that requests under way get when the pod is asked to end; a pause waits for three.
_GRACE: Final = 10


def main() -> int:
    """Serve until a signal ends it. Returns 2 where a setting is wrong, after naming it on stderr."""
    nesting.read_all_that_kubernetes_stores()
    try:
        settings = Settings()
        app = build(settings)
        _configure_logs(settings)
        _serve_metrics(settings)
    except ValidationError as error:
        # Without the values: one of them is a password.
        for entry in error.errors(include_input=False, include_url=False):
            field = str(entry["loc"][0]).upper() if entry["loc"] else "settings"
            sys.stderr.write(f"{field}: {entry['msg'].removeprefix('Value error, ')}\n")
        return _BAD_SETTINGS
    except ValueError as error:
        sys.stderr.write(f"{error}\n")
        return _BAD_SETTINGS
    logger.info("listening", extra={"address": settings.merp_listen, "port": settings.service_port})
    # uvicorn ends what is under way, then raises the signal again: as an end that was asked for, not as a failure.
    signal.signal(signal.SIGTERM, _end)
    configuration = uvicorn.Config(
        app,
        host=settings.merp_listen,
        port=settings.service_port,
        # Our own handlers and our own line per request; uvicorn's would hold query strings.
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=_GRACE,
    )
    server = Server(configuration, app.state.services.events)
    garbage.shorten_pauses()
    with suppress(KeyboardInterrupt):
        # After what was under way has ended, uvicorn raises the signal again.
        server.run()
    return 0 if server.started else _NOT_STARTED


class Server(uvicorn.Server):
    """uvicorn, which ends the streams of events before it waits for the requests that are under way."""

    def __init__(self, configuration: uvicorn.Config, events: EventStreams) -> None:
        super().__init__(configuration)
        self._events = events

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """When a signal has come."""
        self._events.close()
        await super().shutdown(sockets)


def build(settings: Settings) -> FastAPI:
    """The application that these settings describe. Raises ValueError that names the variable."""
    host, ca_file, token_file = settings.api_server(), settings.api_server_ca(), settings.token_file()
    own = None
    if token_file is not None:
        try:
            own = Client(with_token_of(host=host, ca_file=ca_file, token_file=token_file))
        except ValueError as error:
            raise ValueError(f"MERP_TOKEN_FILE: {error}") from error
    # What callers write goes by a client that has no token it could fall back to.
    client = Client(server_only(host=host, ca_file=ca_file))
    engine = settings.create_engine(pool_size=5, max_overflow=5, read_only=True)
    return create_app(settings, client, engine, own=own, catalogues=_catalogues(settings))


def _configure_logs(settings: Settings) -> None:
    try:
        logs.configure(settings.log_level, settings.log_file)
    except OSError as error:
        raise ValueError(f"LOG_FILE: {settings.log_file} cannot be written: {error.strerror}") from error
    # Asked what the schema is, it says at INFO each time that it was asked.
    logging.getLogger("alembic").setLevel(logging.WARNING)


def _serve_metrics(settings: Settings) -> None:
    if settings.merp_metrics_port is None:
        return
    try:
        metrics.serve(settings.merp_listen, settings.merp_metrics_port)
    except OSError as error:
        port = settings.merp_metrics_port
        raise ValueError(f"MERP_METRICS_PORT: {port} cannot be listened on: {error.strerror}") from error


def _end(*_: object) -> NoReturn:
    sys.exit(0)


def _catalogues(settings: Settings) -> Callable[[], Mapping[str, Catalogue]]:
    """Those of the installation. Raises ValueError where the default image's is broken already."""
    try:
        Catalogue.load(settings.merp_catalogue, settings.merp_default_image)
    except (ValueError, OSError) as error:
        raise ValueError(f"MERP_CATALOGUE: {settings.merp_catalogue} is no catalogue of tasks: {error}") from error
    return CatalogueFiles(settings.merp_catalogue, settings.merp_default_image, settings.merp_catalogues).by_image


if __name__ == "__main__":
    sys.exit(main())
