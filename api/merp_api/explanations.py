"""What is read to explain why a job does not run, with the caller's own rights."""

from pydantic import ValidationError

from merp_api import problems
from merp_api.calendars import read_working_days
from merp_api.diagnosed import diagnosed_execution
from merp_api.explain import Facts, Hidden, explain, summary
from merp_api.filters import OneHistoryQuery
from merp_api.identity import Caller
from merp_api.jobs import Jobs
from merp_api.outlooks import ExplainView
from merp_api.problems import Problem
from merp_api.reading import Reading
from merp_api.runs import Runs
from merp_api.schemas import ExecutionView
from merp_api.translate import Json
from merp_crds.languages import Language
from merp_crds.schedule import Timetable
from merp_crds.scheduledjob import Schedule
from merp_kube.client import ApiError


class Explanations:
    """Explains single jobs."""

    def __init__(self, reading: Reading, jobs: Jobs, runs: Runs) -> None:
        self._reading = reading
        self._jobs = jobs
        self._runs = runs

    async def explain(self, caller: Caller, namespace: str, name: str, language: Language) -> ExplainView:
        """Why a job does not run. What the caller may not read beside the job is said in its check."""
        job = await self._jobs.get(caller, namespace, name)
        facts = Facts(job, await self._timetable(caller, job), await self._pool(caller, job))
        checks = explain(facts, self._jobs.now(), language)
        view = self._jobs.view(job)
        last = await self._last(caller, namespace, name)
        return ExplainView(
            job_id=name,
            namespace=namespace,
            status=view.status,
            summary=summary(checks, view.next_run_time, language),
            checks=checks,
            last_execution=None if last is None else diagnosed_execution(last, language),
        )

    async def _timetable(self, caller: Caller, job: Json) -> Timetable | Hidden | str | None:
        written = job["spec"].get("schedule")
        if not written:
            return None
        try:
            schedule = Schedule.model_validate(written)
            days = None
            if schedule.calendar is not None:
                name = schedule.calendar.name
                days = await read_working_days(name, self._reading.calendar(caller, name))
            return Timetable.of(schedule, self._jobs.default_zone, days)
        except ValidationError:
            return "schedule: is none that this version knows"
        except ValueError as error:
            return str(error)
        except ApiError as error:
            if error.status != 403:
                raise
            return Hidden("you may not read the job's BusinessCalendar")

    async def _pool(self, caller: Caller, job: Json) -> Json | Hidden | str | None:
        pool = (job["spec"].get("pool") or {}).get("name")
        if pool is None:
            return None
        try:
            return await self._reading.pool(caller, job["metadata"]["namespace"], pool)
        except ApiError as error:
            if error.status == 403:
                return Hidden(f"you may not read JobPool {pool}")
            if error.status != 404:
                raise
            return f"there is no JobPool {pool}: create it"

    async def _last(self, caller: Caller, namespace: str, name: str) -> ExecutionView | None:
        """The newest execution; None where there is none, or the caller or the gateway cannot read the records now."""
        try:
            items, _ = await self._runs.job_history(
                caller, OneHistoryQuery.model_validate({"limit": 1}), namespace, name
            )
        except Problem as problem:
            if problem.kind not in (problems.RECORDS_AWAY, problems.FORBIDDEN):
                raise
            return None
        return items[0] if items else None
