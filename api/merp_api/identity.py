"""Who calls, and what they may see: both asked of the API server, with the caller's own token."""

import base64
import binascii
import hashlib
import json
import re
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, Generic, TypeVar

from merp_api import problems
from merp_api.cluster import Cluster
from merp_api.problems import Problem
from merp_kube.client import ApiError

Key = TypeVar("Key")
Value = TypeVar("Value")

# Seconds. How long a token that was revoked still reads; writes are judged by the API server each time.
IDENTITY_SECONDS: Final = 60.0
PERMISSION_SECONDS: Final = 10.0
_REMEMBERED: Final = 10_000
# RFC 6750: anything else is no token, and must not get into a header.
_TOKEN: Final = re.compile(r"[A-Za-z0-9._~+/-]+=*", re.ASCII)
_MAX_TOKEN: Final = 16_384
_ANONYMOUS: Final = "system:anonymous"


@dataclass(frozen=True, slots=True)
class Caller:
    """Somebody with a valid token. `user` is the API server's name for them."""

    user: str
    token: str = field(repr=False)


class Remembered(Generic[Key, Value]):
    """A bounded memory in which everything has an end."""

    def __init__(self, clock: Callable[[], float], size: int = _REMEMBERED) -> None:
        self._clock = clock
        self._size = size
        self._entries: OrderedDict[Key, tuple[float, Value]] = OrderedDict()

    def get(self, key: Key) -> Value | None:
        """What is remembered, None if nothing is any more."""
        found = self._entries.get(key)
        if found is None:
            return None
        end, value = found
        if self._clock() >= end:
            del self._entries[key]
            return None
        return value

    def put(self, key: Key, value: Value, seconds: float) -> None:
        """Remember for so long; the oldest entry makes room."""
        self._entries[key] = (self._clock() + seconds, value)
        self._entries.move_to_end(key)
        while len(self._entries) > self._size:
            self._entries.popitem(last=False)


class Identities:
    """Who the callers are, and in which namespaces they may see jobs."""

    def __init__(
        self,
        cluster: Cluster,
        *,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        """`clock` measures how long something is remembered, `wall_clock` (seconds since 1970) when tokens expire."""
        self._cluster = cluster
        self._wall_clock = wall_clock
        self._users: Remembered[bytes, str] = Remembered(clock)
        self._permissions: Remembered[tuple[bytes, str | None], bool] = Remembered(clock)

    async def caller(self, authorization: list[str]) -> Caller:
        """Who sends these Authorization headers.

        Raises Problem 401 for anything but exactly one bearer token that the API server accepts.
        """
        token = _bearer_token(authorization)
        digest = _digest(token)
        user = self._users.get(digest)
        if user is None:
            user = await self._ask(token)
            left = _seconds_left(token, self._wall_clock())
            self._users.put(digest, user, min(IDENTITY_SECONDS, left))
        return Caller(user, token)

    async def may_list(self, caller: Caller, namespace: str | None) -> bool:
        """Whether the caller may list ScheduledJobs of a namespace, or of all (None)."""
        key = (_digest(caller.token), namespace)
        allowed = self._permissions.get(key)
        if allowed is None:
            allowed = await self._cluster.may_list(caller.token, namespace)
            self._permissions.put(key, allowed, PERMISSION_SECONDS)
        return allowed

    async def readable(self, caller: Caller, namespace: str | None) -> frozenset[str] | None:
        """The namespaces whose history the caller sees of what was asked for; None, asked and answered, is all.

        Raises Problem 403 where the caller may see nothing of it.
        """
        if await self.may_list(caller, None):
            return None if namespace is None else frozenset({namespace})
        if namespace is not None and await self.may_list(caller, namespace):
            return frozenset({namespace})
        where = "in all namespaces: name one with ?namespace=" if namespace is None else f"in namespace {namespace!r}"
        raise Problem(problems.FORBIDDEN, f"{caller.user} may not list scheduledjobs {where}")

    async def _ask(self, token: str) -> str:
        try:
            user = await self._cluster.user(token)
        except ApiError as error:
            if error.status != 401:
                raise
            raise unauthorized("the API server does not accept the token", "invalid_token") from error
        if not user or user == _ANONYMOUS:
            raise unauthorized("the API server does not know whose token this is", "invalid_token")
        return user


def unauthorized(detail: str, error: str | None = None) -> Problem:
    """The 401 problem, with the header that RFC 6750 asks for."""
    challenge = 'Bearer realm="merp"' + (f', error="{error}"' if error else "")
    return Problem(problems.UNAUTHORIZED, detail, headers={"WWW-Authenticate": challenge})


def _digest(token: str) -> bytes:
    """What a token is remembered by: a memory dump of the gateway should hold as few of them as possible."""
    return hashlib.sha256(token.encode()).digest()


def _bearer_token(authorization: list[str]) -> str:
    if not authorization:
        raise unauthorized("send the header Authorization: Bearer <token>")
    if len(authorization) > 1:
        raise unauthorized("send one Authorization header", "invalid_request")
    scheme, _, token = authorization[0].partition(" ")
    token = token.strip()
    if scheme.lower() != "bearer":
        raise unauthorized("only bearer tokens are taken: send the header Authorization: Bearer <token>")
    if len(token) > _MAX_TOKEN or not _TOKEN.fullmatch(token):
        raise unauthorized("this is no bearer token", "invalid_token")
    return token


def _seconds_left(token: str, now: float) -> float:
    """How long a JSON web token is still valid, without end for other tokens.

    Nothing is verified here: the API server just did that, and this only shortens what is remembered.
    """
    parts = token.split(".")
    if len(parts) != 3:
        return IDENTITY_SECONDS
    try:
        claims: Any = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (ValueError, binascii.Error):
        return IDENTITY_SECONDS
    expiry = claims.get("exp") if isinstance(claims, dict) else None
    return float(expiry) - now if isinstance(expiry, int | float) else IDENTITY_SECONDS
