"""Jobs that meet a filter, in an order: places in it, cursors, and a page out of all jobs that stream by. Pure."""

import base64
import heapq
import json
from collections.abc import Callable
from datetime import datetime
from typing import Final

from merp_api.filters import JobSort, JobsQuery
from merp_api.schemas import JobView
from merp_crds.common import rfc3339
from merp_crds.scheduledjob import Priority

# Whether there is no value, the value, namespace and id: a place in the order, which JSON keeps as it is.
Place = tuple[bool, str, str, str]
_RANKS: Final = {priority: str(rank) for rank, priority in enumerate(Priority)}
# What tells a cursor of an order from one of the API server's own pages.
PREFIX: Final = "sorted:"
# Pages that are held before all but one of them are let go.
_HELD: Final = 4


def _time(moment: datetime | None) -> str | None:
    # Of one length and one zone: as texts they have the order of the moments.
    return None if moment is None else rfc3339(moment)


_VALUES: Final[dict[str, Callable[[JobView], str | None]]] = {
    "id": lambda job: job.id,
    "name": lambda job: job.name.casefold(),
    "priority": lambda job: _RANKS[Priority(job.priority)],
    "next_run_time": lambda job: _time(job.next_run_time),
    "created_at": lambda job: _time(job.created_at),
    "updated_at": lambda job: _time(job.updated_at),
}


# The order of the API server's own pages, which a query without filters and another order has.
PLAIN: Final = "plain"
_VALUES[PLAIN] = lambda job: job.namespace


def is_wanted(job: JobView, query: JobsQuery) -> bool:
    """Whether a job meets every filter of a query."""
    if query.text is not None:
        sought = query.text.casefold()
        if not any(sought in (text or "").casefold() for text in (job.id, job.name, job.func, job.description)):
            return False
    return (
        (not query.status or job.status in query.status)
        and (not query.job_type or job.job_type in query.job_type)
        and (not query.priority or job.priority in query.priority)
        and (query.pool is None or (job.pool or {}).get("name") == query.pool)
    )


def order_of(query: JobsQuery) -> str:
    """The order in which a query has its jobs, with a hyphen before it the other way round."""
    return PLAIN if is_plain(query) else query.sort.value


def place(job: JobView, order: str) -> Place:
    """Where a job stands in an order. Those without a value come last, whichever way the order goes."""
    value = _VALUES[order.removeprefix("-")](job)
    return ((value is None) is not order.startswith("-"), value or "", job.namespace, job.id)


def place_after(query: JobsQuery) -> Place | None:
    """The place behind which a query's page begins, None for the beginning.

    Raises ValueError for a cursor that is none of its order.
    """
    return None if query.cursor is None else _open(query.cursor, order_of(query))


def cursor_behind(query: JobsQuery, last: Place) -> str:
    """The cursor of the page after the one that ends with `last`."""
    text = PREFIX + json.dumps([order_of(query), *last])
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


class Ranking:
    """The first `limit` of the jobs that are wanted, behind the place that a cursor names."""

    def __init__(self, query: JobsQuery) -> None:
        """Raises ValueError for a cursor that is none of this order."""
        self._query = query
        self._order = order_of(query)
        self._after = place_after(query)
        self._held: list[tuple[Place, JobView]] = []

    def add(self, job: JobView) -> None:
        """Take a job into account."""
        if not is_wanted(job, self._query):
            return
        where = place(job, self._order)
        if self._after is None or (where < self._after if self._descending else where > self._after):
            self._held.append((where, job))
        if len(self._held) > _HELD * self._query.limit + 1:
            self._held = self._first()

    def page(self) -> tuple[list[JobView], str | None]:
        """The page, and the cursor of the next one (None: this is the last)."""
        first = self._first()
        shown = first[: self._query.limit]
        following = cursor_behind(self._query, shown[-1][0]) if len(first) > len(shown) else None
        return [job for _, job in shown], following

    @property
    def _descending(self) -> bool:
        return self._order.startswith("-")

    def _first(self) -> list[tuple[Place, JobView]]:
        choose = heapq.nlargest if self._descending else heapq.nsmallest
        return choose(self._query.limit + 1, self._held, key=lambda entry: entry[0])


def is_plain(query: JobsQuery) -> bool:
    """Whether the API server's own pages answer a query: every job, by name."""
    filters = (query.status, query.job_type, query.priority, query.pool, query.text)
    return query.sort is JobSort.ID and not any(filters)


def _open(cursor: str, order: str) -> Place:
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode("ascii")
        written, last, value, namespace, name = json.loads(text.removeprefix(PREFIX))
    except (ValueError, TypeError, RecursionError) as error:
        raise ValueError("cursor: not one that a page gave") from error
    texts = (value, namespace, name)
    if written != order or not isinstance(last, bool) or not all(isinstance(text, str) for text in texts):
        raise ValueError("cursor: not one that a page of this order gave")
    return last, value, namespace, name
