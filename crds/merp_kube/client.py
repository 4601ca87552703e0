"""One client of the API server: raw JSON in, raw JSON out, a time-out on everything."""

import asyncio
import json
import logging
import math
import re
import ssl
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing, asynccontextmanager
from http import HTTPStatus
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import aiohttp
from kubernetes.aio import config
from kubernetes.aio.client import Configuration

from merp_kube.serverclock import ServerClock

Json = dict[str, Any]

_JSON: Final = "application/json"
MERGE_PATCH: Final = "application/merge-patch+json"
JSON_PATCH: Final = "application/json-patch+json"
APPLY_PATCH: Final = "application/apply-patch+yaml"

# The API server gives up on a request after 60 s; a client that hangs longer only hides that.
_REQUEST_TIMEOUT: Final = 30.0
_CONNECT_TIMEOUT: Final = 5.0
# A connection that is closed is gone at the loop's next turn; nobody waits for one that hangs.
_CLOSE_TIMEOUT: Final = 2.0
# The server's answers are at most a few MiB a page; a watch line holds one object of at most 1.5 MiB.
_READ_BUFFER: Final = 2**21
_NOT_PLAIN: Final = re.compile(r"[^\x20-\x7e]")
# The last character that YAML's short escape can name.
_LAST_BMP: Final = 0xFFFF
# The kubelet writes a token anew when four fifths of its hour have passed, so that a minute is soon enough.
_TOKEN_SECONDS: Final = 60.0
# The API server asks for seconds; a proxy that is being maintained may ask for a day.
_LONGEST_WAIT: Final = 30.0
_CLIENT_ERROR: Final = HTTPStatus.BAD_REQUEST
_SERVER_ERROR: Final = HTTPStatus.INTERNAL_SERVER_ERROR
# What means the same whoever says it; nginx has a limit of its own for bodies.
_SAID_BY_ANYBODY: Final = frozenset({HTTPStatus.REQUEST_ENTITY_TOO_LARGE, HTTPStatus.TOO_MANY_REQUESTS})
# What the API server says, in plain text, of a kind that it does not serve.
_UNSERVED: Final = "404 page not found"
# What is shown of an answer that nobody here can read.
_SHOWN: Final = 200
# aiohttp's word for as many connections as are asked for.
_NO_BOUND: Final = 0
# 500 is the page size that kubectl uses.
PAGE_SIZE: Final = 500

_log = logging.getLogger(__name__)


class ApiError(Exception):
    """The API server answered, and the answer is no.

    `status` is the HTTP status, `reason` the word of the Status object (for example AlreadyExists), `message` its
    sentence, `details` what it says beyond, `retry_after` the seconds it asks to wait.
    """

    def __init__(self, status: int, body: Json, retry_after: float | None = None) -> None:
        self.status = status
        phrase = _phrase(status)
        reason, message, details = (body.get(key) for key in ("reason", "message", "details"))
        # A gateway before the cluster may mean something else by these words.
        self.reason = reason if isinstance(reason, str) and reason else phrase.replace(" ", "")
        self.message = message if isinstance(message, str) and message else phrase
        self.details: Json = details if isinstance(details, dict) else {}
        self.retry_after = retry_after
        super().__init__(f"{status} {self.reason}: {self.message}")


class Unreachable(Exception):
    """The API server did not answer: refused, cut off, too slow, or something in between answered in its place.

    Whether a write took place is unknown.
    """


async def load_configuration(kubeconfig: Path | None = None) -> Configuration:
    """Server, certificates and credentials: from a kubeconfig if one is given, else those of the pod.

    Raises kubernetes.aio.config.ConfigException if there are none.
    """
    configuration = Configuration()
    if kubeconfig is not None:
        await config.load_kube_config(config_file=str(kubeconfig), client_configuration=configuration)
    else:
        config.load_incluster_config(client_configuration=configuration)
    return configuration


def with_token_of(*, host: str, ca_file: str | None, token_file: Path) -> Configuration:
    """A configuration with the token of a file, which is read again: who keeps the file renews it.

    A file that cannot be read later on leaves the token that was read last. Raises ValueError where there is none.
    """
    configuration = server_only(host=host, ca_file=ca_file)
    read_at = -math.inf

    async def refresh(own: Configuration) -> None:
        nonlocal read_at
        if time.monotonic() - read_at < _TOKEN_SECONDS:
            return
        read_at = time.monotonic()
        try:
            own.api_key["BearerToken"] = f"Bearer {_token(token_file)}"
        except (OSError, ValueError) as error:
            _log.warning("the token of %s cannot be read: %s", token_file, error)

    try:
        configuration.api_key["BearerToken"] = f"Bearer {_token(token_file)}"
    except (OSError, ValueError) as error:
        raise ValueError(f"no token can be read from {token_file}: {error}") from error
    configuration.refresh_api_key_hook = refresh
    return configuration


def _token(file: Path) -> str:
    token = file.read_text(encoding="ascii").strip()
    if not token:
        raise ValueError("the file is empty")
    return token


def server_only(*, host: str, ca_file: str | None) -> Configuration:
    """A configuration that knows the server and its certificate authority, and holds no credentials at all."""
    configuration = Configuration(host=host)
    configuration.ssl_ca_cert = ca_file
    return configuration


class Client:
    """Calls of the API server, by path. Use as an async context manager, or end it with `close`."""

    def __init__(self, configuration: Configuration, *, connections: int = 40) -> None:
        """`connections` bounds the connections of calls: one per request would be thousands after a restart.

        Streams have others beside them, which whoever opens streams bounds: some that go on for hours would leave none
        for calls.
        """
        self._configuration = configuration
        self._connections = connections
        self._session: aiohttp.ClientSession | None = None
        self._streaming: aiohttp.ClientSession | None = None
        # Set when the connection of a stream is closed: the session forgets one that was cut off in the middle.
        self._streams: set[asyncio.Future[None]] = set()
        # Of the server that answered last.
        self.clock = ServerClock()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """End every connection."""
        for session in (self._session, self._streaming):
            if session is not None:
                await session.close()
        self._session = self._streaming = None
        if self._streams:
            await asyncio.wait(self._streams, timeout=_CLOSE_TIMEOUT)

    @property
    def host(self) -> str:
        """The server's URL."""
        return str(self._configuration.host).rstrip("/")

    @property
    def session(self) -> aiohttp.ClientSession:
        """The bounded session, made at the first use because it belongs to the running loop."""
        if self._session is None:
            self._session = self._new_session(self._connections)
        return self._session

    def _new_session(self, connections: int) -> aiohttp.ClientSession:
        # Reading the machine's authorities takes longer than all else of a session that has no use for them.
        tls = ssl_context(self._configuration) if self._configuration.host.startswith("https:") else False
        connector = aiohttp.TCPConnector(limit=connections, ssl=tls)
        return aiohttp.ClientSession(connector=connector, read_bufsize=_READ_BUFFER)

    async def call(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Any = None,
        content_type: str = _JSON,
        token: str | None = None,
        seconds: float = _REQUEST_TIMEOUT,
    ) -> Json:
        """Send one request and return the answer's JSON.

        `token` is a caller's bearer token and takes the place of the client's own credentials; after `seconds` without
        an answer it is given up. Raises ApiError for an answer that is a refusal, Unreachable for none.
        """
        limits = aiohttp.ClientTimeout(total=seconds, sock_connect=_CONNECT_TIMEOUT)
        async with self._exchange(self.session, method, path, query, body, content_type, token, limits) as response:
            return read_object(await response.read(), f"{method} {path}: the answer")

    async def stream(
        self,
        path: str,
        *,
        query: Mapping[str, str],
        idle_seconds: float,
        token: str | None = None,
        opened: Callable[[], None] = lambda: None,
    ) -> AsyncGenerator[bytes]:
        """The lines of a long answer, each without its end; all else is as with `pieces`.

        A line that does not end is kept until it does: what may have none is read by pieces.
        """
        pending = bytearray()
        found = self.pieces(path, query=query, idle_seconds=idle_seconds, token=token, opened=opened)
        async with aclosing(found) as pieces:
            async for piece in pieces:
                pending += piece
                # Only where a line ended: an object of a megabyte comes in many pieces.
                if b"\n" in piece:
                    *lines, rest = bytes(pending).split(b"\n")
                    pending = bytearray(rest)
                    for line in lines:
                        yield line
        if pending:
            yield bytes(pending)

    async def pieces(
        self,
        path: str,
        *,
        query: Mapping[str, str],
        idle_seconds: float,
        token: str | None = None,
        opened: Callable[[], None] = lambda: None,
    ) -> AsyncGenerator[bytes]:
        """A long answer as it comes; `opened` is called when it has begun.

        Raises Unreachable where nothing came for `idle_seconds`, so that a connection that died without a word is
        noticed. Close it with contextlib.aclosing.
        """
        limits = aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_TIMEOUT, sock_read=idle_seconds)
        if self._streaming is None:
            self._streaming = self._new_session(_NO_BOUND)
        exchange = self._exchange(self._streaming, "GET", path, query, None, _JSON, token, limits)
        async with exchange as response:
            self._note_stream(response)
            opened()
            async for piece in response.content.iter_any():
                yield piece

    def _note_stream(self, response: aiohttp.ClientResponse) -> None:
        protocol = None if response.connection is None else response.connection.protocol
        closed = None if protocol is None else protocol.closed
        if closed is not None:
            self._streams.add(closed)
            closed.add_done_callback(self._forget_stream)

    def _forget_stream(self, closed: asyncio.Future[None]) -> None:
        self._streams.discard(closed)
        # One that ended with an error told it to whoever read from it, or nobody read any more: a TLS connection whose
        # server was still sending ends so. Unless it is looked at, asyncio logs it as an error that nobody saw.
        if not closed.cancelled() and (error := closed.exception()) is not None:
            _log.debug("the connection of a stream ended: %s", error)

    @asynccontextmanager
    async def _exchange(
        self,
        session: aiohttp.ClientSession,
        method: str,
        path: str,
        query: Mapping[str, str] | None,
        body: Any,
        content_type: str,
        token: str | None,
        limits: aiohttp.ClientTimeout,
    ) -> AsyncGenerator[aiohttp.ClientResponse]:
        headers = await self._authorization(token)
        headers |= {"Accept": _JSON, "Content-Type": content_type}
        sent = self.clock.local()
        try:
            async with session.request(
                method,
                f"{self.host}{path}",
                params=query,
                data=None if body is None else encode(body, content_type),
                headers=headers,
                timeout=limits,
                # A redirect would carry the token to wherever it points.
                allow_redirects=False,
            ) as response:
                if response.content_type == _JSON:
                    # A proxy's page has the proxy's time.
                    self.clock.heard(response.headers.get("Date", ""), sent, self.clock.local())
                if response.status >= HTTPStatus.MULTIPLE_CHOICES:
                    text = await response.text(errors="replace")
                    raise _refusal(response.status, text, _retry_after(response), f"{method} {path}")
                yield response
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            raise Unreachable(f"{method} {path}: {str(error) or type(error).__name__}") from error

    async def _authorization(self, token: str | None) -> dict[str, str]:
        """Who asks: the caller, else the process itself, else nobody."""
        if token is not None:
            if not token.strip():
                raise ValueError("an empty token would make the request anonymous")
            return {"Authorization": f"Bearer {token}"}
        own = await self._configuration.get_api_key_with_prefix("BearerToken")
        return {"Authorization": own} if own else {}


def encode(body: Any, content_type: str) -> bytes:
    """A body as the API server reads it. A server-side apply is read as YAML, which lacks JSON's surrogate pairs."""
    if content_type != APPLY_PATCH:
        return json.dumps(body).encode()
    return _NOT_PLAIN.sub(_escape, json.dumps(body, ensure_ascii=False)).encode()


def _escape(found: re.Match[str]) -> str:
    code = ord(found.group())
    return f"\\u{code:04x}" if code <= _LAST_BMP else f"\\U{code:08x}"


def ssl_context(configuration: Configuration) -> ssl.SSLContext:
    """TLS as the configuration has it."""
    context = ssl.create_default_context(cafile=configuration.ssl_ca_cert, cadata=configuration.ca_cert_data)
    # Python 3.13 asks for key identifiers that cluster authorities made by openssl often lack; kubectl does not.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if configuration.cert_file:
        context.load_cert_chain(configuration.cert_file, keyfile=configuration.key_file)
    if not configuration.verify_ssl:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def read_object(content: bytes, what: str) -> Json:
    """A JSON object from the API server.

    Raises Unreachable that begins with `what` where it is none: a proxy in between shows a page of its own, or cuts an
    answer off and ends it well.
    """
    try:
        found = json.loads(content.decode())
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise Unreachable(f"{what} is not the API server's: {content[:_SHOWN]!r}")
    return found


def _phrase(status: int) -> str:
    """The words for a status, also for one that only load balancers know."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return f"Status {status}"


def _refusal(status: int, text: str, retry_after: float | None, asked: str) -> ApiError | Unreachable:
    """What an answer that is no means.

    Whoever says 404 or 403 with a page of its own says nothing of what is there, or of who may what.
    """
    try:
        body = json.loads(text)
    except ValueError:
        body = None
    if isinstance(body, dict):
        return ApiError(status, body, retry_after)
    told = status in _SAID_BY_ANYBODY or not _CLIENT_ERROR <= status < _SERVER_ERROR or text.strip() == _UNSERVED
    if not told:
        return Unreachable(f"{asked}: the answer is not the API server's: {status} {text[:_SHOWN]!r}")
    return ApiError(status, {"message": text[:500]}, retry_after)


def _retry_after(response: aiohttp.ClientResponse) -> float | None:
    value = response.headers.get("Retry-After", "")
    return min(float(value), _LONGEST_WAIT) if value.isascii() and value.isdigit() else None
