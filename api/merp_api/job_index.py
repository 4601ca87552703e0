"""The views of all jobs, kept as long as they stay true, and in every order that was asked for."""

import heapq
import logging
from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import accumulate
from typing import Final

from merp_api.filters import JobsQuery
from merp_api.mirrors import Key
from merp_api.rankings import Place, cursor_behind, order_of, place, place_after
from merp_api.schemas import JobView
from merp_api.translate import Json
from merp_api.views import job_view, job_view_until, listed_runs
from merp_crds.names import execution_id

logger = logging.getLogger(__name__)

# A namespace (None: all of them) and an order with its direction.
_Order = tuple[str | None, str]
# Between the texts that a search looks through: no UTF-8 holds it, so that no search matches across two texts.
_BORDER: Final = "\ud800"
# Between the texts of two jobs, for the same reason.
_END: Final = "\ud801"
# Orders that are kept: each change is sorted into all of them, and a namespace is whatever somebody asks for.
_MOST_ORDERS: Final = 256
# Jobs that a search finds at most for their places to be sorted by themselves.
_FEW: Final = 200


@dataclass(slots=True)
class _Known:
    """A job and what is made of it. `until` is when the view may be another one, `executions` is made when needed."""

    job: Json
    view: JobView
    until: datetime | None
    text: str
    executions: frozenset[str] | None = None


class JobIndex:
    """Views of jobs. What changes is told by `changed`; views are made when they are asked for."""

    def __init__(self, default_zone: str) -> None:
        self._zone = default_zone
        self._known: dict[Key, _Known] = {}
        self._news: dict[Key, Json | None] = {}
        self._ends: list[tuple[datetime, Key]] = []
        self._orders: dict[_Order, list[Place]] = {}
        # Of all jobs: their keys, where the text of each begins, and all texts in one: the quickest to look through.
        self._texts: tuple[list[Key], list[int], str] | None = None

    def __len__(self) -> int:
        return len(self._known)

    def changed(self, before: Json | None, after: Json | None) -> None:
        """Another version of a job; None before is a new one, None after is one that went away."""
        item = after if after is not None else before
        assert item is not None
        self._news[item["metadata"]["namespace"], item["metadata"]["name"]] = after

    def refresh(self, now: datetime, most: int | None = None) -> bool:
        """Make the views that are due, at most so many. Returns whether all are made."""
        while self._ends and self._ends[0][0] <= now:
            ended, key = heapq.heappop(self._ends)
            known = self._known.get(key)
            if known is not None and known.until == ended:
                self._news.setdefault(key, known.job)
        for key in list(self._news)[:most]:
            job = self._news.pop(key)
            try:
                self._take(key, job, now)
            except Exception:
                # Whoever may write one job must not take all others from everybody.
                logger.exception("the view of %s/%s cannot be made: it is left out of lists", *key)
                self._take(key, None, now)
        return not self._news

    def view(self, job: Json, now: datetime) -> JobView:
        """The view of a job of any version."""
        self.refresh(now)
        known = self._known.get((job["metadata"]["namespace"], job["metadata"]["name"]))
        return known.view if known is not None and known.job is job else job_view(job, self._zone, now)

    def page(self, namespace: str | None, query: JobsQuery, now: datetime) -> tuple[list[JobView], str | None]:
        """A page of jobs and the cursor of the next one. Raises ValueError for a cursor that is none of its order."""
        order, after = order_of(query), place_after(query)
        self.refresh(now)
        is_wanted = self._filter(query)
        shown: list[JobView] = []
        last: Place | None = None
        few = None if query.text is None else self._few(query.text.casefold())
        places = self._places(namespace, order, after) if few is None else self._sorted(few, namespace, order, after)
        for where in places:
            known = self._known[where[2], where[3]]
            if is_wanted(known):
                if len(shown) == query.limit:
                    assert last is not None
                    return shown, cursor_behind(query, last)
                shown.append(known.view)
                last = where
        return shown, None

    def with_execution(self, namespace: str | None, wanted: str, now: datetime) -> Iterator[Json]:
        """The jobs whose status lists an execution."""
        self.refresh(now)
        for (where, _), known in self._known.items():
            if namespace in (None, where):
                if known.executions is None:
                    uid = known.job["metadata"]["uid"]
                    known.executions = frozenset(execution_id(uid, run) for run in listed_runs(known.job))
                if wanted in known.executions:
                    yield known.job

    def _take(self, key: Key, job: Json | None, now: datetime) -> None:
        before = self._known.get(key)
        if job is None:
            if before is not None:
                self._texts = None
                del self._known[key]
                self._move(before.view, None)
            return
        view = job_view(job, self._zone, now)
        known = _Known(job, view, job_view_until(job, self._zone, now), _searched(view))
        if before is not None and before.job is job:
            known.executions = before.executions
        if before is None or before.text != known.text:
            self._texts = None
        self._known[key] = known
        # One that is as it was is among them still: a job may change often before that.
        if known.until is not None and (before is None or before.until != known.until):
            heapq.heappush(self._ends, (known.until, key))
        self._move(None if before is None else before.view, view)

    def _move(self, before: JobView | None, after: JobView | None) -> None:
        """Keep every order that somebody has asked for."""
        for (namespace, order), places in self._orders.items():
            old = None if before is None or namespace not in (None, before.namespace) else place(before, order)
            new = None if after is None or namespace not in (None, after.namespace) else place(after, order)
            if old == new:
                continue
            if old is not None:
                del places[bisect_left(places, old)]
            if new is not None:
                insort(places, new)

    def _few(self, sought: str) -> list[Key] | None:
        """The jobs that a text is in, None for many: then a page is full before all are looked at."""
        if self._texts is None:
            keys = list(self._known)
            lengths = [len(known.text) + 1 for known in self._known.values()]
            joined = _END.join(known.text for known in self._known.values())
            self._texts = keys, list(accumulate(lengths, initial=0)), joined
        keys, starts, joined = self._texts
        found: list[Key] = []
        at = joined.find(sought)
        while at >= 0:
            number = bisect_right(starts, at) - 1
            found.append(keys[number])
            if len(found) > _FEW:
                return None
            at = joined.find(sought, starts[number + 1])
        return found

    def _sorted(self, keys: list[Key], namespace: str | None, order: str, after: Place | None) -> list[Place]:
        """The places of some jobs in an order, behind one of them."""
        down = order.startswith("-")
        views = [self._known[key].view for key in keys if namespace in (None, key[0])]
        places = sorted((place(view, order) for view in views), reverse=down)
        return [where for where in places if after is None or (where < after if down else where > after)]

    def _places(self, namespace: str | None, order: str, after: Place | None) -> Iterable[Place]:
        """The places of a namespace's jobs in an order, behind one of them."""
        places = self._orders.pop((namespace, order), None)
        if places is None:
            views = (known.view for known in self._known.values())
            places = sorted(place(view, order) for view in views if namespace in (None, view.namespace))
        # The one that was asked for last is the last to go.
        self._orders[namespace, order] = places
        if len(self._orders) > _MOST_ORDERS:
            del self._orders[next(iter(self._orders))]
        if order.startswith("-"):
            return reversed(places if after is None else places[: bisect_left(places, after)])
        return places if after is None else places[bisect_right(places, after) :]

    def _filter(self, query: JobsQuery) -> Callable[[_Known], bool]:
        status, types, priorities = frozenset(query.status), frozenset(query.job_type), frozenset(query.priority)
        sought, pool = None if query.text is None else query.text.casefold(), query.pool

        def is_wanted(known: _Known) -> bool:
            view = known.view
            return (
                (sought is None or sought in known.text)
                and (not status or view.status in status)
                and (not types or view.job_type in types)
                and (not priorities or view.priority in priorities)
                and (pool is None or (view.pool or {}).get("name") == pool)
            )

        return is_wanted


def _searched(view: JobView) -> str:
    return _BORDER.join(text.casefold() for text in (view.id, view.name, view.func, view.description) if text)
