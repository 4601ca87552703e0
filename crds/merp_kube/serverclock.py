"""The API server's time. Whether a due time has passed is for its clock to say, not for the one of this machine."""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Final

# The date of an answer has whole seconds.
_RESOLUTION: Final = timedelta(seconds=1)
_NONE: Final = timedelta()


def _steady() -> Callable[[], datetime]:
    began, since = datetime.now(UTC), time.monotonic()
    return lambda: began + timedelta(seconds=time.monotonic() - since)


class ServerClock:
    """How far the server's clock is from this machine's, as narrow as the dates of its answers allow.

    A clock that agrees within what can be seen is taken as it is, so that the time does not jitter by a second.
    """

    def __init__(self, local: Callable[[], datetime] | None = None) -> None:
        """`local` is this machine's time, UTC: as it was at first and, whoever sets the clock, only ever going on."""
        self.local = local or _steady()
        self._low: timedelta | None = None
        self._high: timedelta | None = None

    def heard(self, date: str, sent: datetime, received: datetime) -> None:
        """An answer's Date header, and this machine's time when it was asked for and when it came."""
        try:
            told = parsedate_to_datetime(date)
        except ValueError:
            # A proxy's own spelling says nothing; the next answer may.
            return
        if told.tzinfo is None:
            return
        low, high = told - received, told + _RESOLUTION - sent
        if self._low is not None and self._high is not None and low <= self._high and high >= self._low:
            low, high = max(low, self._low), min(high, self._high)
        # Where they exclude each other one of the clocks was set: only the newest answer counts.
        self._low, self._high = low, high

    @property
    def offset(self) -> timedelta:
        """What is added to this machine's time."""
        if self._low is None or self._high is None or self._low <= _NONE <= self._high:
            return _NONE
        return self._low if self._low > _NONE else self._high

    def now(self) -> datetime:
        """The server's time, UTC."""
        return self.local() + self.offset
