"""The picture of one ScheduledJob: everything that is known of it at this moment, from the caches."""

from collections.abc import Callable

from merp_crds.businesscalendar import WorkingDays
from merp_crds.schedule import Timetable
from merp_crds.scheduledjob import Schedule
from merp_operator import calendars, observe
from merp_operator.desired import Defaults
from merp_operator.expectations import Expectations
from merp_operator.observe import Json, Observed, Run
from merp_operator.own import Key
from merp_operator.watch import Watch


class Pictures:
    """Pictures of ScheduledJobs, each made anew; of their runs only those that have changed."""

    def __init__(self, watch: Watch, expectations: Expectations, defaults: Callable[[], Defaults]) -> None:
        self._watch = watch
        self._expectations = expectations
        self._defaults = defaults
        # By name, with the version they were read from: hundreds of jobs share one.
        self._calendars: dict[str, tuple[str, WorkingDays | None, str]] = {}
        # The runs of each job's last picture, by UID.
        self._runs: dict[Key, dict[str, Run]] = {}

    def cached(self, key: Key) -> Observed | None:
        """As the caches have it; None where there is no such ScheduledJob, or it is on its way out."""
        body = self._watch.scheduled_jobs.get(*key)
        if body is None or body["metadata"].get("deletionTimestamp"):
            return None
        return self.of(key, body, self._watch.cron_jobs.get(*key), self._watch.jobs_of(*key))

    def of(self, key: Key, body: Json, cron_job: Json | None, jobs: list[tuple[Json, list[Json]]]) -> Observed:
        """With a CronJob and Jobs that were read by somebody else."""
        found = observe.observe(
            body,
            cron_job,
            jobs,
            self._watch.requests_of(*key),
            timetable=self._timetable,
            graph=self._watch.depends_on,
            expected=self._expectations.of(key, [job["metadata"]["name"] for job, _ in jobs]),
            known=self._runs.get(key, {}),
        )
        self._runs[key] = {run.uid: run for run in found.runs}
        return found

    def forget(self, key: Key) -> None:
        """A ScheduledJob that is gone."""
        self._runs.pop(key, None)

    def _timetable(self, schedule: Schedule) -> Timetable:
        name = None if schedule.calendar is None else schedule.calendar.name
        days = None if name is None else self._working_days(name)
        return Timetable.of(schedule, self._defaults().time_zone, days)

    def _working_days(self, name: str) -> WorkingDays:
        """Raises ValueError that begins with `calendar`."""
        body = self._watch.calendars.get("", name)
        if body is None:
            raise ValueError(f"calendar: there is no BusinessCalendar {name}: create it, or name another")
        version = body["metadata"]["resourceVersion"]
        known = self._calendars.get(name)
        if known is None or known[0] != version:
            known = (version, *calendars.read(body))
            self._calendars[name] = known
        _, days, problem = known
        if days is None:
            raise ValueError(f"calendar: the BusinessCalendar {name} cannot be used: {problem}")
        return days
