"""Streams of what happens, one for each client that listens: bounded in number, in time and in what waits for them."""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractContextManager, ExitStack, aclosing
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final

from fastapi.sse import EventSourceResponse, format_sse_event
from starlette.requests import ClientDisconnect
from starlette.types import Message as AsgiMessage
from starlette.types import Receive, Scope, Send

from merp_api import problems
from merp_api.cache import Cache
from merp_api.feed import Feed, Message, Place, Source, is_behind, written_place
from merp_api.identity import Caller, Identities
from merp_api.limits import Streams
from merp_api.problems import FieldError, Problem
from merp_api.reviews import Access
from merp_crds.names import JOB_RUNS, SCHEDULED_JOBS
from merp_kube.client import ApiError, Unreachable

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds.

    `heartbeat`: a proxy in between cuts off what is silent for a minute. `recheck`: as long as a permission is
    remembered. `send`: how long a reader may leave what was sent to it.
    """

    heartbeat: float = 15.0
    recheck: float = 10.0
    send: float = 20.0


# Messages that are told before the token and the rights are looked at again.
_AT_ONCE: Final = 100
# Milliseconds that a client waits before it comes again.
_RETRY: Final = 3000


@dataclass(slots=True)
class _Listener:
    """One client: what it may see, and where it is."""

    caller: Caller
    namespace: str | None
    place: Place
    number: int
    sources: frozenset[Source]
    checked_at: float
    # What it is told before anything else.
    pending: list[Message] = field(default_factory=list)

    def wants(self, message: Message) -> bool:
        """Whether a message is for this client."""
        if message.source is None:
            return True
        return message.source in self.sources and self.namespace in (None, message.namespace)


class EventStreams:
    """Opens streams, and ends them when the process ends."""

    def __init__(
        self,
        cache: Cache | None,
        identities: Identities,
        streams: Streams,
        limits: Limits | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Without a `cache` nothing is told, and every stream is refused; `streams` bounds how many there are."""
        self._cache = cache
        self._identities = identities
        self._limits = limits or Limits()
        self._clock = clock
        self._streams = streams
        self._closing = False

    def close(self) -> None:
        """End every stream, and open no other."""
        self._closing = True
        if self._cache is not None:
            self._cache.feed.wake()

    async def open(self, caller: Caller, namespace: str | None, last: Place | None) -> "EventStream":
        """A stream of a namespace, or of all (None), from behind the place `last`, else from now on.

        Raises Problem 403, 400 for what is not watched here, 429, and 503 where there is nothing to tell now.
        """
        cache = self._cache
        if cache is None:
            raise Problem(problems.NO_EVENTS, "this gateway has no token of its own to watch the cluster with")
        sources = await self._sources(caller, namespace)
        if not cache.jobs.covers(namespace):
            # For as long as it is installed so: to come again would be of no use.
            detail = f"is not watched: this installation serves {cache.namespace} alone"
            raise problems.validation([FieldError("namespace", "out_of_range", detail, "query")])
        if self._closing or not all(cache.has(mirror, namespace) for mirror in (cache.jobs, cache.runs)):
            why = cache.trouble() or "the gateway is ending"
            raise Problem(problems.NO_EVENTS, f"nothing can be told now: {why}", headers={"Retry-After": "3"})
        place, number, pending = cache.feed.place, cache.feed.end, list[Message]()
        if last is not None:
            number, complete = cache.feed.since(last)
            if complete:
                place = last
            else:
                pending = [Message("reset", "{}", place)]
        listener = _Listener(caller, namespace, place, number, sources, self._clock(), pending)
        with ExitStack() as held:
            held.enter_context(self._streams.one(caller.user))
            return EventStream(self._text(listener, cache.feed), self._limits.send, held.pop_all())

    async def _text(self, listener: _Listener, feed: Feed) -> AsyncGenerator[bytes]:
        yield format_sse_event(comment="open", id=written_place(listener.place), retry=_RETRY)
        for message in listener.pending:
            yield _written(message)
        replayed_until = feed.end
        spoke_at = self._clock()
        while not self._closing and await self._is_allowed(listener):
            messages = feed.read(listener.number)
            if messages is None:
                # Too slow, or lists came in between: nothing is kept for anybody alone.
                listener.number, spoke_at = feed.end, self._clock()
                yield _written(Message("reset", "{}", feed.place))
                continue
            found = list(islice(messages, _AT_ONCE))
            for number, message in enumerate(found, start=listener.number):
                # Only what was there when it came may be known to it: later versions may begin anew with the cluster.
                known = number < replayed_until and not is_behind(message, listener.place)
                if not known and listener.wants(message):
                    yield _written(message)
                    spoke_at = self._clock()
            listener.number += len(found)
            if found:
                continue
            if self._clock() - spoke_at >= self._limits.heartbeat:
                yield format_sse_event(comment="heartbeat", id=written_place(feed.place))
                spoke_at = self._clock()
            await feed.wait(listener.number, self._pause(listener, spoke_at))

    def _pause(self, listener: _Listener, spoke_at: float) -> float:
        """Seconds until something is to be done, if nothing happens."""
        now = self._clock()
        ends = [spoke_at + self._limits.heartbeat - now, listener.checked_at + self._limits.recheck - now]
        left = self._identities.seconds_left(listener.caller)
        return max(0.0, min([*ends, *([] if left is None else [left])]))

    async def _is_allowed(self, listener: _Listener) -> bool:
        """Whether the token is still valid and the rights are still there; asked anew every few seconds."""
        left = self._identities.seconds_left(listener.caller)
        if left is not None and left <= 0:
            return False
        if self._clock() - listener.checked_at < self._limits.recheck:
            return True
        try:
            listener.caller = await self._identities.owner(listener.caller.token)
            listener.sources = await self._sources(listener.caller, listener.namespace)
        except (Problem, ApiError, Unreachable) as error:
            # Also where nobody can say: what cannot be checked is not shown.
            logger.info("a stream of events ends", extra={"user": listener.caller.user, "reason": str(error)})
            return False
        listener.checked_at = self._clock()
        return True

    async def _sources(self, caller: Caller, namespace: str | None) -> frozenset[Source]:
        """What the caller may hear of. Raises Problem 403 where that is nothing."""
        await self._identities.demand(caller, Access("watch", SCHEDULED_JOBS, namespace))
        runs = await self._identities.allows(caller, Access("watch", JOB_RUNS, namespace))
        return frozenset(Source) if runs else frozenset({Source.JOBS})


class EventStream(EventSourceResponse):
    """The answer that is a stream. Who does not take in time what was sent is cut off."""

    def __init__(self, text: AsyncGenerator[bytes], send_seconds: float, held: AbstractContextManager[Any]) -> None:
        """`held` is let go of when it ends."""
        # Proxies that gather answers before they pass them on are told not to.
        super().__init__(text, headers={"X-Accel-Buffering": "no"})
        self._text = text
        self._send_seconds = send_seconds
        self._held = held

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As ASGI has it."""

        async def send_in_time(message: AsgiMessage) -> None:
            try:
                async with asyncio.timeout(self._send_seconds):
                    await send(message)
            except TimeoutError:
                raise ClientDisconnect from None

        with self._held:
            async with aclosing(self._text):
                await super().__call__(scope, receive, send_in_time)


def _written(message: Message) -> bytes:
    place = None if message.place is None else written_place(message.place)
    return format_sse_event(event=message.event, data_str=message.data, id=place)
