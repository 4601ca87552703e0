"""Days in numbers, from the roll-ups of the records, as far as the caller may see them."""

from dataclasses import asdict
from datetime import UTC, date, timedelta
from typing import Final

from merp_api import problems
from merp_api.cluster import Cluster
from merp_api.filters import ALL_NAMESPACES, DaysQuery, OneDaysQuery, WorstQuery
from merp_api.identity import Caller, Identities
from merp_api.problems import FieldError
from merp_api.reading import Reading
from merp_api.records import Records
from merp_api.rollup_views import DayView, JobDayView, JobTotalsView
from merp_records import rollups

# Days that are shown where none are asked for: a month.
_DEFAULT_DAYS: Final = 30
# The first day from which these can be counted back.
_EARLIEST: Final = date.min + timedelta(days=_DEFAULT_DAYS)


class Rollups:
    """Reads the numbers of days."""

    def __init__(self, cluster: Cluster, reading: Reading, identities: Identities, records: Records) -> None:
        self._cluster = cluster
        self._reading = reading
        self._identities = identities
        self._records = records

    async def days(self, caller: Caller, query: DaysQuery, namespace: str) -> list[DayView]:
        """The days of a namespace (`*`: of all), newest first."""
        first, last = self._range(query)
        allowed = await self._allowed(caller, namespace)
        found = await self._records.read(
            lambda connection: rollups.totals_by_day(connection, namespaces=allowed, first=first, last=last)
        )
        return [DayView(**asdict(day)) for day in found]

    async def job_days(self, caller: Caller, query: OneDaysQuery, namespace: str, name: str) -> list[JobDayView]:
        """The days of the job that has this id now, newest first."""
        first, last = self._range(query)
        allowed = await self._identities.readable(caller, namespace)
        uid = (await self._reading.job(caller, namespace, name))["metadata"]["uid"]
        found = await self._records.read(
            lambda connection: rollups.job_days(connection, uid, namespaces=allowed, first=first, last=last)
        )
        return [JobDayView(**asdict(day)) for day in found]

    async def worst(self, caller: Caller, query: WorstQuery, namespace: str) -> list[JobTotalsView]:
        """The jobs of a namespace (`*`: of all) with most due times that are without a success, at most `limit`."""
        first, last = self._range(query)
        allowed = await self._allowed(caller, namespace)
        found = await self._records.read(
            lambda connection: rollups.totals_by_job(
                connection, namespaces=allowed, first=first, last=last, limit=query.limit
            )
        )
        return [_job(totals) for totals in found]

    async def _allowed(self, caller: Caller, namespace: str) -> frozenset[str] | None:
        return await self._identities.readable(caller, None if namespace == ALL_NAMESPACES else namespace)

    def _range(self, query: OneDaysQuery) -> tuple[date, date]:
        """The days that are asked for, both ends counted. Raises Problem 400 for a range that is none or too long."""
        last = query.end or self._cluster.now().astimezone(UTC).date()
        first = query.start or max(last, _EARLIEST) - timedelta(days=_DEFAULT_DAYS - 1)
        if not 0 <= (last - first).days < rollups.MAX_DAYS:
            detail = f"is not start or after it, within {rollups.MAX_DAYS} days"
            raise problems.validation([FieldError("end", "out_of_range", detail, "query")])
        return first, last


def _job(totals: rollups.JobTotals) -> JobTotalsView:
    told = asdict(totals)
    return JobTotalsView(
        job_uid=told.pop("job_id"), job_id=told.pop("resource_name"), job_name=told.pop("name"), **told
    )
