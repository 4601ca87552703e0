"""HTTP requests: to hosts that are allowed, bounded in time and size, repeated only where that is safe."""

import os
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal
from urllib.parse import urlsplit

from merp_runner import Connection, Context, ParameterError, TaskFailed, task

VARIABLE: Final = "MERP_HTTP_HOSTS"
# What carries credentials, which parameters never hold, and what the request's own form decides.
_OWN_HEADERS: Final = frozenset(
    {
        "authorization",
        "connection",
        "content-length",
        "cookie",
        "host",
        "idempotency-key",
        "proxy-authorization",
        "transfer-encoding",
    }
)
_MAX_SECONDS: Final = 3600
_MAX_RETRIES: Final = 10
# Characters of a body in the result or the error; a termination message holds about so many.
_SHOWN: Final = 1500

Method = Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]


@task(title={"en": "HTTP request", "zh": "HTTP 请求"}, description={"zh": "发送一个请求，并返回服务的应答。"})
def http_request(
    context: Context,
    url: Annotated[str, "The whole URL; with a connection what follows its URL, such as /api/orders"],
    method: Annotated[Method, "HEAD and GET only read; the others change something"] = "GET",
    *,
    connection: Annotated[Connection | None, "Service: its url, and token or username and password"] = None,
    headers: Annotated[Mapping[str, str] | None, "Headers beside the task's own; no credentials"] = None,
    body: Annotated[Any, "Text as it is; anything else as JSON"] = None,
    expect: Annotated[list[int] | None, "Statuses of a success; without it 200 to 299"] = None,
    timeout_seconds: Annotated[float, "For one attempt, from connecting to the last byte"] = 30,
    retries: Annotated[int, "Attempts after the first, where they are safe"] = 2,
    idempotent: Annotated[bool, "The service knows Idempotency-Key, so POST and PATCH may be repeated too"] = False,
) -> dict[str, Any]:
    """Send one request and return what the service answers.

    Only to the hosts of MERP_HTTP_HOSTS and that of the connection; redirects are followed to the same host only.
    """
    given = dict(headers or {})
    whole = _whole(url, connection)
    _check(given, timeout_seconds, retries)
    # Here: TLS and its certificates take time that every other task of the image would wait for too.
    from merp_tasks.http_exchange import Exchange, Payload, Refusal

    payload = Payload.of(body, given)
    if idempotent:
        payload.headers["Idempotency-Key"] = context.idempotency_key
    values = {} if connection is None else connection.values
    exchange = Exchange(lambda target: _allowed(target, connection), values, timeout_seconds)
    try:
        answer = exchange.send(method, whole, payload, retries, repeatable=idempotent)
    except Refusal as refusal:
        raise TaskFailed(f"{method} {shown(whole)}: {refusal}") from refusal
    expected = answer.status in expect if expect else 200 <= answer.status < 300
    if not expected:
        raise TaskFailed(f"{method} {shown(whole)}: {answer.status} {answer.reason}\n{answer.text[:_SHOWN]}")
    return {
        "status": answer.status,
        "url": shown(answer.url),
        "attempts": answer.attempts,
        "seconds": round(answer.seconds, 3),
        "content_type": answer.content_type,
        "body": answer.document if answer.document is not None else answer.text[:_SHOWN],
        "truncated": answer.truncated or (answer.document is None and len(answer.text) > _SHOWN),
    }


def shown(url: str) -> str:
    """A URL for results and errors: without its query, which often has keys in it."""
    return url.partition("?")[0]


def _whole(url: str, connection: Connection | None) -> str:
    if connection is not None:
        if not url.startswith("/") and url:
            raise ParameterError(f"url: {shown(url)!r} does not begin with /: with a connection it follows its URL")
        url = connection.url.rstrip("/") + url
    try:
        parts = urlsplit(url)
        unusable = parts.scheme not in ("http", "https") or not parts.hostname or parts.port == 0
    except ValueError:  # a port that is no number, an unfinished IPv6 address
        unusable = True
    if unusable or not url.isprintable() or " " in url:
        raise ParameterError(f"url: {shown(url)!r} is no http or https URL (quote spaces as %20)")
    if parts.username is not None:
        raise ParameterError("url: has credentials in it: put them into a Secret and name it as the connection")
    if not _allowed(url, connection):
        allowed = os.environ.get(VARIABLE) or "none"
        raise ParameterError(
            f"url: {parts.netloc} is not allowed: the variable {VARIABLE} of the job's template names the hosts that "
            f"are (it has {allowed}), or use a connection"
        )
    return url


def _allowed(url: str, connection: Connection | None) -> bool:
    """Whether a URL's host and port are those of the connection, or in the allow-list."""
    host, port, usual = _place(url)
    if connection is not None and (host, port) == _place(connection.url)[:2]:
        return True
    return any(
        _fits(entry.strip().lower(), host, port, usual=usual) for entry in os.environ.get(VARIABLE, "").split(",")
    )


def _fits(entry: str, host: str, port: int, *, usual: bool) -> bool:
    """`host`, `*.domain` (any host below it), or either with `:port`; without one the scheme's own port."""
    name, colon, number = entry.rpartition(":")
    if not colon or entry.endswith("]"):
        name, number = entry, ""
    if number != str(port) and (number or not usual):
        return False
    name = name.strip("[]")
    return bool(name) and (host == name or (name.startswith("*.") and host.endswith(name[1:])))


def _place(url: str) -> tuple[str, int, bool]:
    """Host, port, and whether that is the scheme's own."""
    parts = urlsplit(url)
    usual = 443 if parts.scheme == "https" else 80
    port = parts.port or usual
    return (parts.hostname or "").rstrip(".").lower(), port, port == usual


def _check(headers: Mapping[str, str], timeout_seconds: float, retries: int) -> None:
    problems = []
    for name, value in headers.items():
        if name.lower() in _OWN_HEADERS:
            problems.append(f"headers.{name}: is the task's own; credentials come from a connection")
        elif not name.isascii() or not name.replace("-", "").replace("_", "").isalnum():
            problems.append(f"headers.{name[:50]!r}: is no header's name")
        elif not value.isascii() or not value.isprintable():
            problems.append(f"headers.{name}: has more than printable ASCII characters")
    if not 0 < timeout_seconds <= _MAX_SECONDS:
        problems.append(f"timeout_seconds: {timeout_seconds:g} is not above 0 and at most {_MAX_SECONDS}")
    if not 0 <= retries <= _MAX_RETRIES:
        problems.append(f"retries: {retries} is not between 0 and {_MAX_RETRIES}")
    if problems:
        raise ParameterError(*problems)
