"""Who calls, and what they may see: both asked of the API server, and remembered for a short while."""

import base64
import hashlib
import json
import re
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Final, Generic, TypeVar

from merp_api import problems
from merp_api.problems import Problem
from merp_api.reviews import Access, Reviews, Subject
from merp_crds.names import SCHEDULED_JOBS
from merp_kube.client import ApiError

Key = TypeVar("Key")
Value = TypeVar("Value")

# Seconds. How long a token that was revoked still reads; writes are judged by the API server each time.
IDENTITY_SECONDS: Final = 60.0
PERMISSION_SECONDS: Final = 10.0
REFUSAL_SECONDS: Final = 10.0
_REMEMBERED: Final = 10_000
# RFC 6750: anything else is no token, and must not get into a header.
_TOKEN: Final = re.compile(r"[A-Za-z0-9._~+/-]+=*", re.ASCII)
_NEVER: Final = 10**12
_MAX_TOKEN: Final = 16_384
_ANONYMOUS: Final = "system:anonymous"


@dataclass(frozen=True, slots=True)
class Caller:
    """Somebody with a valid token. `expires_at` is the end of a token that says when: seconds since 1970, else None."""

    subject: Subject
    token: str = field(repr=False)
    expires_at: float | None = None

    @property
    def user(self) -> str:
        """The API server's name for them."""
        return self.subject.user


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
    """Who the callers are, and what they may read."""

    def __init__(
        self,
        reviews: Reviews,
        *,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        """`clock` measures how long something is remembered, `wall_clock` (seconds since 1970) when tokens expire."""
        self._reviews = reviews
        self._wall_clock = wall_clock
        self._subjects: Remembered[bytes, Subject] = Remembered(clock)
        self._refused: Remembered[bytes, str] = Remembered(clock)
        self._permissions: Remembered[tuple[Subject, Access], bool] = Remembered(clock)

    async def caller(self, authorization: list[str]) -> Caller:
        """Who sends these Authorization headers.

        Raises Problem 401 for anything but exactly one bearer token that the API server accepts.
        """
        return await self.owner(_bearer_token(authorization))

    async def owner(self, token: str) -> Caller:
        """Whose token it is. Raises Problem 401 once the API server does not accept it, or it has expired."""
        digest = _digest(token)
        expires_at = _expiry(token)
        left = IDENTITY_SECONDS if expires_at is None else expires_at - self._wall_clock()
        subject = self._subjects.get(digest)
        if subject is None:
            subject = await self._ask(token, digest)
            self._subjects.put(digest, subject, min(IDENTITY_SECONDS, left))
        return Caller(subject, token, expires_at)

    def seconds_left(self, caller: Caller) -> float | None:
        """How long the caller's token is still valid, None where it does not say."""
        return None if caller.expires_at is None else caller.expires_at - self._wall_clock()

    async def allows(self, caller: Caller, access: Access) -> bool:
        """Whether the caller has a right."""
        key = (caller.subject, access)
        allowed = self._permissions.get(key)
        if allowed is None:
            allowed = await self._reviews.allows(caller.subject, caller.token, access)
            self._permissions.put(key, allowed, PERMISSION_SECONDS)
        return allowed

    async def demand(self, caller: Caller, access: Access) -> None:
        """Raises ApiError 403, as the API server would, where the caller has not the right.

        The right to every object is asked for first, so that one question serves for all of them.
        """
        if access.name is not None and await self.allows(caller, replace(access, name=None)):
            return
        if not await self.allows(caller, access):
            raise ApiError(403, {"reason": "Forbidden", "message": access.refusal(caller.user)})

    async def may_list(self, caller: Caller, namespace: str | None) -> bool:
        """Whether the caller may list ScheduledJobs of a namespace, or of all (None)."""
        return await self.allows(caller, Access("list", SCHEDULED_JOBS, namespace))

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

    async def _ask(self, token: str, digest: bytes) -> Subject:
        detail = self._refused.get(digest)
        if detail is None:
            subject = await self._reviews.subject(token)
            if subject is not None and subject.user not in ("", _ANONYMOUS):
                return subject
            known = "does not accept the token" if subject is None else "does not know whose token this is"
            detail = f"the API server {known}"
            # Whoever guesses tokens must not keep the API server busy with each of their requests.
            self._refused.put(digest, detail, REFUSAL_SECONDS)
        raise unauthorized(detail, "invalid_token")


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


def _expiry(token: str) -> float | None:
    """When a JSON web token ends, in seconds since 1970; None for other tokens.

    Nothing is verified here: the API server does that, and this only shortens what is remembered.
    """
    parts = token.split(".")
    if len(parts) != 3:
        return None
    try:
        claims: Any = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (ValueError, RecursionError):
        return None
    expiry = claims.get("exp") if isinstance(claims, dict) else None
    # A whole number may be larger than any float.
    return float(min(expiry, _NEVER)) if isinstance(expiry, int | float) else None
