"""One HTTP exchange on the wire: time limits, redirects, repeats."""

import base64
import contextlib
import http.client
import json
import logging
import random
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, Self
from urllib.parse import quote, urljoin, urlsplit

_LOG: Final = logging.getLogger("merp_tasks.http")
# What a server may be asked any number of times with the effect of once (RFC 9110).
_REPEATABLE: Final = frozenset({"GET", "HEAD", "PUT", "DELETE"})
_FOLLOWED: Final = frozenset({301, 302, 303, 307, 308})
# The service, or one before it, says that it did not get to it.
_REPEATED: Final = frozenset({429, 502, 503, 504})
_MAX_REDIRECTS: Final = 5
# Bytes. Beyond this the answer belongs in a file, not in a record.
_MAX_BODY: Final = 1_048_576
# Seconds before the first repeat; doubled for each further one.
_PAUSE: Final = 1.0
# A service that wants more is asked again by the run's own retry, or not at all.
_MAX_PAUSE: Final = 60.0
_JITTER: Final = random.SystemRandom()


class Refusal(Exception):
    """The exchange failed for a reason that the text tells; it holds no header and no query."""


class _Unsent(Refusal):
    """No byte of the request was sent."""


class _Lost(Refusal):
    """The request may have arrived."""


@dataclass(frozen=True)
class Payload:
    """What is sent beside method and URL."""

    data: bytes | None
    headers: dict[str, str]

    @classmethod
    def of(cls, body: Any, headers: Mapping[str, str]) -> Self:
        """Text as it is, anything else as JSON; `headers` may name another content type."""
        own = {name.lower(): value for name, value in headers.items()}
        if body is None:
            return cls(None, own)
        if isinstance(body, str):
            return cls(body.encode(), {"content-type": "text/plain; charset=utf-8"} | own)
        return cls(json.dumps(body, ensure_ascii=False).encode(), {"content-type": "application/json"} | own)


@dataclass(frozen=True)
class Answer:
    """What the service answered. `document` is the parsed JSON, None where the body is none, or was cut."""

    status: int
    reason: str
    url: str
    content_type: str
    text: str
    document: Any
    truncated: bool
    location: str
    retry_after: str
    attempts: int = 1
    seconds: float = 0.0

    @property
    def wanted_pause(self) -> int:
        """Seconds that the service wants to be left alone; 0 where it names none, or a date."""
        return int(self.retry_after) if re.fullmatch("[0-9]{1,9}", self.retry_after) else 0


@dataclass
class Exchange:
    """`allowed` says whether a URL may be asked; `values` are those of the connection.

    Its keys token, or username and password, and ca.crt count. `timeout_seconds` is the limit for one attempt, with
    its redirects.
    """

    allowed: Callable[[str], bool]
    values: Mapping[str, str]
    timeout_seconds: float
    pause: Callable[[float], object] = field(default=time.sleep)

    def send(self, method: str, url: str, payload: Payload, retries: int, *, repeatable: bool) -> Answer:
        """The last answer, whatever its status. Raises Refusal where there was none.

        Repeated, with growing pauses, where the service was not reached, and for methods that may be repeated (and
        where `repeatable`) also where the answer was lost or says that the service is not there.
        """
        began = time.monotonic()
        safe = repeatable or method in _REPEATABLE
        attempt = 0
        while True:
            attempt += 1
            pause = min(_MAX_PAUSE, _PAUSE * 2 ** (attempt - 1) * (1 + _JITTER.random() / 4))
            try:
                answer = self._follow(method, url, payload)
                again = safe and answer.status in _REPEATED
                told = f"{answer.status} {answer.reason}"
                again = again and answer.wanted_pause <= _MAX_PAUSE
                pause = max(pause, answer.wanted_pause)
            except (_Unsent, _Lost) as failure:
                if attempt > retries or not (safe or isinstance(failure, _Unsent)):
                    raise
                again, told = True, str(failure)
            if not again or attempt > retries:
                return replace(answer, attempts=attempt, seconds=time.monotonic() - began)
            _LOG.warning("attempt %d: %s; again in %.1f s", attempt, told, pause)
            self.pause(pause)

    def _follow(self, method: str, url: str, payload: Payload) -> Answer:
        deadline = time.monotonic() + self.timeout_seconds
        for _ in range(_MAX_REDIRECTS + 1):
            answer = self._once(method, url, payload, deadline)
            if method not in ("GET", "HEAD") or answer.status not in _FOLLOWED or not answer.location:
                return answer
            url = self._redirected(url, answer)
        raise Refusal(f"more than {_MAX_REDIRECTS} redirects")

    def _redirected(self, url: str, answer: Answer) -> str:
        target = urljoin(url, answer.location)
        old, new = urlsplit(url), urlsplit(target)
        try:
            # To TLS on the same host is the one change that makes nothing worse.
            same = new.hostname == old.hostname and (
                (new.scheme, new.port) == (old.scheme, old.port)
                or (old.scheme, old.port, new.scheme, new.port) == ("http", None, "https", None)
            )
        except ValueError:
            same = False
        if not same or not self.allowed(target) or not target.isprintable():
            raise Refusal(f"{answer.status} redirects to {new.scheme}://{new.hostname}, which is not followed")
        return target

    def _once(self, method: str, url: str, payload: Payload, deadline: float) -> Answer:
        parts = urlsplit(url)
        left = deadline - time.monotonic()
        if left <= 0:
            raise _Lost(f"no answer within {self.timeout_seconds:g} s")
        connection = self._connection(parts.scheme, parts.hostname or "", parts.port, left)
        try:
            self._connect(connection)
            # A limit for each read alone would let a server drip for ever.
            watch = threading.Timer(max(0.001, deadline - time.monotonic()), _cut, [connection.sock])
            watch.start()
            try:
                return self._exchange(connection, method, url, payload, deadline)
            finally:
                watch.cancel()
        finally:
            connection.close()

    def _connection(self, scheme: str, host: str, port: int | None, left: float) -> http.client.HTTPConnection:
        if scheme == "http":
            return http.client.HTTPConnection(host, port, timeout=left)
        authority = self.values.get("ca.crt")
        try:
            context = ssl.create_default_context(cadata=authority)
        except ssl.SSLError as error:
            raise Refusal(f"the connection's ca.crt is no certificate: {error}") from error
        return http.client.HTTPSConnection(host, port, timeout=left, context=context)

    def _connect(self, connection: http.client.HTTPConnection) -> None:
        try:
            connection.connect()
        except ssl.SSLCertVerificationError as error:
            raise Refusal(f"its certificate is not trusted: {error.verify_message}") from error
        except TimeoutError as error:
            raise _Unsent(f"no connection within {self.timeout_seconds:g} s") from error
        except (OSError, UnicodeError) as error:  # UnicodeError: a host name that IDNA has no form for
            raise _Unsent(f"no connection: {error}") from error

    def _exchange(
        self, connection: http.client.HTTPConnection, method: str, url: str, payload: Payload, deadline: float
    ) -> Answer:
        parts = urlsplit(url)
        path = quote(parts.path or "/", safe="/%:@!$&'()*+,;=~") + (
            f"?{quote(parts.query, safe='/%:@!$&()*+,;=~?')}" if parts.query else ""
        )
        try:
            connection.request(method, path, payload.data, payload.headers | self._credentials())
            response = connection.getresponse()
            body = b"" if method == "HEAD" else response.read(_MAX_BODY + 1)
        except (OSError, http.client.HTTPException) as error:
            if time.monotonic() >= deadline or isinstance(error, TimeoutError):
                raise _Lost(f"no answer within {self.timeout_seconds:g} s") from error
            raise _Lost(f"the connection was lost: {type(error).__name__}") from error
        if time.monotonic() >= deadline:
            # Where the length was not told, a cut is a proper end to the client.
            raise _Lost(f"no whole answer within {self.timeout_seconds:g} s")
        return _answer(response, url, body)

    def _credentials(self) -> dict[str, str]:
        if self.values.get("token"):
            return {"authorization": f"Bearer {self.values['token']}"}
        if self.values.get("username"):
            pair = f"{self.values['username']}:{self.values.get('password', '')}"
            return {"authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}
        return {}


def _answer(response: http.client.HTTPResponse, url: str, body: bytes) -> Answer:
    truncated = len(body) > _MAX_BODY
    kind = response.headers.get_content_type() if "content-type" in response.headers else ""
    try:
        text = body[:_MAX_BODY].decode(response.headers.get_content_charset() or "utf-8", "replace")
    except LookupError:  # a character set that only the service knows
        text = body[:_MAX_BODY].decode("utf-8", "replace")
    document = None
    if kind.endswith("json") and not truncated:
        try:
            document = json.loads(text)
        except (ValueError, RecursionError):
            document = None
    return Answer(
        status=response.status,
        reason=response.reason,
        url=url,
        content_type=kind,
        text=text,
        document=document,
        truncated=truncated,
        location=response.headers.get("location", ""),
        retry_after=response.headers.get("retry-after", ""),
    )


def _cut(connected: socket.socket | None) -> None:
    if connected is not None:
        with contextlib.suppress(OSError):  # ended by itself in the same moment
            # Not by the TLS socket's own: it would take the layer away under the thread that reads.
            socket.socket.shutdown(connected, socket.SHUT_RDWR)
