"""Keeps what the BusinessCalendars' statuses say: until when each is known, and what is wrong with it."""

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime
from typing import Final

from merp_kube import paths
from merp_kube.client import ApiError, Unreachable
from merp_operator import calendars
from merp_operator.cluster import Cluster
from merp_operator.watch import Watch

# A calendar's warning begins with a day, not with an event.
_SECONDS: Final = 3600.0
# After a failure: a calendar's status is for people, who can wait for it.
_RETRY_SECONDS: Final = 10.0

_log = logging.getLogger(__name__)


class CalendarStatuses:
    """One writer for all calendars; there are few of them. `now` gives the API server's time, UTC."""

    def __init__(self, *, cluster: Cluster, watch: Watch, now: Callable[[], datetime]) -> None:
        self._cluster = cluster
        self._watch = watch
        self._now = now

    async def run(self) -> None:
        """Write what has changed, at each change of a calendar and every hour, until cancelled."""
        while True:
            self._watch.calendar_changed.clear()
            seconds = _SECONDS if await self._write() else _RETRY_SECONDS
            try:
                async with asyncio.timeout(seconds):
                    await self._watch.calendar_changed.wait()
            except TimeoutError:
                continue

    async def _write(self) -> bool:
        """Returns whether all of them say what they should."""
        done = True
        for body in self._watch.calendars.all():
            wanted = calendars.status(body, self._now())
            if wanted == (body.get("status") or {}):
                continue
            try:
                self._watch.calendars.put(await self._cluster.write_status(paths.BUSINESS_CALENDAR, body, wanted))
            except (ApiError, Unreachable) as error:
                _log.warning("status of BusinessCalendar %s: %s", body["metadata"]["name"], error)
                done = False
        return done
