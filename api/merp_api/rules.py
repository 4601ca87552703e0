"""What a job's body must fulfil: every wrong field is found in one go. Pure; `now` is an argument."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, TypeVar

from pydantic import ValidationError

from merp_api import problems
from merp_api.job_parts import DependencyBody
from merp_api.models import Body
from merp_api.outlooks import PreviewBody
from merp_api.problems import FieldError
from merp_api.schemas import READ_ONLY, JobBody, JobType
from merp_api.times import parse_time
from merp_api.translate import PART_FIELDS, SEED_DEFAULTS, TIMING_FIELDS, Json
from merp_crds.catalogue import Catalogue
from merp_crds.connections import given
from merp_crds.cron import Cron
from merp_crds.names import RESERVED_NAMES
from merp_crds.parameters import unfit_parameters, wrong_parameters
from merp_crds.schedule import check
from merp_crds.scheduledjob import Schedule, Template
from merp_crds.zones import find_zone

Parsed = TypeVar("Parsed", bound=Body)

# The custom resource's words in sentences, and REST's.
_WORDS: Final = {
    "schedule.timeZone": "time_zone",
    "schedule.intervalSeconds": "interval_seconds",
    "intervalSeconds": "interval_seconds",
    "schedule.calendar": "a calendar",
    "onHoliday": "on_holiday",
}


# What decides whether a task can be called.
_TASK_FIELDS: Final = frozenset({"func", "args", "kwargs", "connections"})
_SCHEDULE_FIELDS: Final = {
    "cron": "cron_expression",
    "intervalSeconds": "interval_seconds",
    "at": "run_date",
    "timeZone": "time_zone",
    "calendar": "calendar",
}


@dataclass(frozen=True, slots=True)
class JobRules:
    """What this installation takes of a job.

    `catalogue` are the tasks of the job's image, None for no check; `template` is what a job has and REST does not
    show; `default_env` is the environment of jobs on the default image.
    """

    default_zone: str
    catalogue: Catalogue | None = None
    template: Template | None = None
    default_env: tuple[Json, ...] = ()

    def read(self, data: Any, now: datetime, current: Json | None = None) -> Json:
        """The fields that a body sets, as `translate.with_fields` takes them; `id` too if it is there.

        `current` is the contract of the job that a PUT is for, with its `id`. Fields of answers that are none of
        requests are ignored. Raises Problem 400 with every wrong field.
        """
        if isinstance(data, dict):
            data = {key: value for key, value in data.items() if key not in READ_ONLY}
        body, errors = _parse(JobBody, data)
        if isinstance(data, dict):
            wrong = frozenset(error.field for error in errors)
            right = {key: value for key, value in data.items() if key not in wrong}
            errors += _Check(self, right, wrong, current or {}, now).all()
        if errors or body is None:
            raise problems.validation(errors)
        return self._fields(body, current)

    def read_preview(self, data: Any, now: datetime) -> tuple[PreviewBody, Json]:
        """The body of a preview, and the fields of a job with its schedule. Raises Problem 400 with every error."""
        body, errors = _parse(PreviewBody, data)
        if isinstance(data, dict):
            wrong = frozenset(error.field for error in errors)
            right = {key: value for key, value in data.items() if key not in wrong}
            errors += _Check(self, right, wrong, {}, now).schedule()
        if errors or body is None:
            raise problems.validation(errors)
        fields = body.model_dump(mode="json", exclude_none=True, exclude={"start", "count"})
        if body.run_date is not None:
            fields["run_date"] = parse_time(body.run_date, find_zone(self.zone_of(data, {})))
        return body, fields

    def wrong_parameters(self, spec: Json, args: Any, kwargs: Any) -> list[FieldError]:
        """What is wrong with parameters that a run is given instead of those of its job's spec (None)."""
        task = spec.get("task") or {}
        given = {"args": args, "kwargs": kwargs}
        parameters = {field: task.get(field) if value is None else value for field, value in given.items()}
        # Those of the request and those of the job are handed over together.
        too_large = size_error(parameters["args"], parameters["kwargs"])
        if too_large is not None:
            return [too_large]
        return self.task_errors({**parameters, "func": task.get("func"), "connections": spec.get("connections")})

    def task_errors(self, fields: Json) -> list[FieldError]:
        """What is wrong with args and kwargs of a func with these connections, by the catalogue."""
        func, args, kwargs = fields["func"], fields["args"] or [], fields["kwargs"] or {}
        if self.catalogue is None or func is None:
            return []
        is_connection = given(fields["connections"] or [], self.template, self.default_env)
        # Not validated as a Task: a func that is none is in no catalogue.
        found = wrong_parameters(self.catalogue.tasks.get(func) or {}, args, kwargs, is_connection)
        return [FieldError.in_body(entry.path, entry.code, f"{entry.name} {entry.detail}") for entry in found]

    def zone_of(self, data: Json, current: Json) -> str:
        """The zone that a body's times are in; the default one where it names none, or what is none."""
        written = data["time_zone"] if "time_zone" in data else current.get("time_zone")
        try:
            find_zone(written or self.default_zone)
        except (ValueError, TypeError):
            return self.default_zone
        return str(written or self.default_zone)

    def _fields(self, body: JobBody, current: Json | None) -> Json:
        given = body.model_dump(mode="json", exclude_unset=True)
        fields = SEED_DEFAULTS | given
        for field, default in SEED_DEFAULTS.items():
            if fields[field] is None:
                fields[field] = default
        if body.run_date is not None:
            fields["run_date"] = parse_time(body.run_date, find_zone(self.zone_of(given, current or {})))
        if fields.get("depends_on") is not None:
            fields["depends_on"] = [_dependency(entry) for entry in body.depends_on or []]
        for field in PART_FIELDS & given.keys():
            part: Body | None = getattr(body, field)
            fields[field] = None if part is None else part.model_dump(mode="json")
        return fields


def readable_template(spec: Json) -> Template | None:
    """The template of a job's spec; None where it has none, or none that can be read."""
    try:
        return Template.model_validate(spec["template"]) if spec.get("template") else None
    except ValidationError:
        return None


def read_body(model: type[Parsed], data: Any) -> Parsed:
    """A small body as its model. Raises Problem 400 with every wrong field."""
    body, errors = _parse(model, data)
    if body is None:
        raise problems.validation(errors)
    return body


def check_schedule(written: Json | None, default_zone: str) -> None:
    """Raises Problem 400 where fields of a schedule do not go together, also with what is kept: startAt, dst …"""
    if written is None:
        return
    try:
        check(Schedule.model_validate(written), default_zone)
    except ValidationError:
        # What is kept is no schedule at all: the API server says so when it is written.
        return
    except ValueError as error:
        field, _, sentence = str(error).partition(": ")
        known = _SCHEDULE_FIELDS.get(field)
        # A field that REST does not have: the custom resource's own name says most.
        wrong = FieldError(f"spec.schedule.{field}", "mismatch", sentence)
        if known is not None:
            wrong = FieldError.in_body([known], "mismatch", in_rest_words(sentence))
        raise problems.validation([wrong]) from error


def size_error(args: Any, kwargs: Any) -> FieldError | None:
    """What is wrong with the size of the parameters: the operator hands them over in an annotation."""
    found = unfit_parameters(args, kwargs)
    return None if found is None else FieldError.in_body(found.path, found.code, found.detail)


@dataclass(frozen=True, slots=True)
class _Check:
    """The rules that span fields, or need more than a type. A field that is wrong already is not in `data`."""

    rules: JobRules
    data: Json
    wrong: frozenset[str]
    current: Json
    now: datetime

    def all(self) -> list[FieldError]:
        """Every error."""
        return [*self._id(), *self.schedule(), *self._task(), *self._dependencies(), *self._connections()]

    def schedule(self) -> list[FieldError]:
        """Those of the schedule alone."""
        return [*self._timing(), *self._zone(), *self._cron(), *self._run_date(), *self._calendar()]

    def _id(self) -> Iterator[FieldError]:
        chosen = self.data.get("id")
        if self.current and chosen is not None and chosen != self.current["id"]:
            yield FieldError.in_body(["id"], "invalid", f"a job keeps its id: this one's is {self.current['id']}")
        elif chosen in RESERVED_NAMES:
            yield FieldError.in_body(["id"], "reserved", f"{chosen} is a word of this API: choose another")

    def _timing(self) -> Iterator[FieldError]:
        """Each job_type has its field, and none of the others."""
        job_type = self._job_type()
        if job_type is None:
            return
        for other, field in TIMING_FIELDS.items():
            if other is job_type:
                if field not in self.wrong and self.data.get(field) is None:
                    yield FieldError.in_body([field], "required", f"is needed with job_type {job_type}")
            elif self.data.get(field) is not None:
                yield FieldError.in_body(
                    [field], "mismatch", f"goes with job_type {other}, and job_type is {job_type}: leave one out"
                )

    def _zone(self) -> Iterator[FieldError]:
        name = self.data.get("time_zone")
        if name is None:
            return
        if self._job_type() in (JobType.DEPENDENCY, JobType.MANUAL):
            yield FieldError.in_body(
                ["time_zone"], "mismatch", "a job without a schedule has no time zone: leave it out"
            )
            return
        try:
            find_zone(name)
        except ValueError as error:
            yield FieldError.in_body(["time_zone"], "invalid", str(error).removeprefix("timeZone: "))

    def _cron(self) -> Iterator[FieldError]:
        expression = self.data.get("cron_expression")
        if not isinstance(expression, str) or self._job_type() not in (JobType.CRON, None):
            return
        try:
            found = Cron.parse(expression, self.rules.zone_of(self.data, self.current)).after(self.now)
        except ValueError as error:
            yield FieldError.in_body(["cron_expression"], "invalid", in_rest_words(str(error)))
            return
        if found is None:
            detail = f"{expression!r} matches no moment of the next five years"
            yield FieldError.in_body(["cron_expression"], "never_fires", detail)

    def _run_date(self) -> Iterator[FieldError]:
        text = self.data.get("run_date")
        if not isinstance(text, str):
            return
        try:
            parse_time(text, find_zone(self.rules.zone_of(self.data, self.current)))
        except ValueError as error:
            yield FieldError.in_body(["run_date"], "invalid", str(error))

    def _task(self) -> Iterator[FieldError]:
        if "func" in self.data:
            yield from self._func(self.data["func"])
        error = size_error(self.data.get("args"), self.data.get("kwargs"))
        if error is not None:
            yield error
        elif not self.wrong & _TASK_FIELDS:
            yield from self.rules.task_errors({field: self._with_current(field) for field in _TASK_FIELDS})

    def _with_current(self, field: str) -> Any:
        """A field as the job will have it: what the seed's contract has and is left out is set to its default."""
        default = SEED_DEFAULTS.get(field, self.current.get(field))
        return self.data.get(field, default)

    def _func(self, func: Any) -> Iterator[FieldError]:
        if func is None:
            if not self.current or self.current["func"] is not None:
                yield FieldError.in_body(["func"], "required", "is needed: the name of a task")
            for field in ("args", "kwargs"):
                if self.data.get(field):
                    yield FieldError.in_body([field], "mismatch", "there is no task to give it to")
            return
        found = None if self.rules.catalogue is None else self.rules.catalogue.unknown(func)
        if found is not None:
            yield FieldError.in_body(["func"], "unknown_task", found)

    def _dependencies(self) -> Iterator[FieldError]:
        entries = self.data.get("depends_on")
        seen: set[str] = set()
        for index, entry in enumerate(entries or []):
            upstream = entry["id"]
            if upstream in seen:
                yield FieldError.in_body(["depends_on", index, "id"], "duplicate", f"{upstream} is in the list twice")
            if upstream == (self.current.get("id") or self.data.get("id")):
                yield FieldError.in_body(["depends_on", index, "id"], "cycle", "a job cannot wait for itself")
            seen.add(upstream)
            window = entry.get("window")
            if window is not None and sum(value is not None for value in window.values()) != 1:
                detail = "exactly one of since_last_run, within and period is needed"
                yield FieldError.in_body(["depends_on", index, "window"], "invalid", detail)
        yield from self._dependency_type(entries)

    def _dependency_type(self, entries: Any) -> Iterator[FieldError]:
        if "depends_on" in self.wrong:
            return
        present = self.current.get("depends_on") if "depends_on" not in self.data else entries
        job_type = self._job_type()
        if job_type is JobType.DEPENDENCY and not present:
            yield FieldError.in_body(["depends_on"], "required", "is needed with job_type dependency")
        if job_type is JobType.MANUAL and present:
            detail = "a manual job waits for nothing: write job_type dependency, or an empty list"
            yield FieldError.in_body(["depends_on"], "mismatch", detail)

    def _calendar(self) -> Iterator[FieldError]:
        if self.data.get("calendar") is not None and self._job_type() in (JobType.DEPENDENCY, JobType.MANUAL):
            detail = "a job without a schedule has no working days: leave it out"
            yield FieldError.in_body(["calendar"], "mismatch", detail)

    def _connections(self) -> Iterator[FieldError]:
        seen: set[str] = set()
        for index, name in enumerate(self.data.get("connections") or []):
            if name in seen:
                yield FieldError.in_body(["connections", index], "duplicate", f"{name} is in the list twice")
            seen.add(name)

    def _job_type(self) -> JobType | None:
        written = self.data.get("job_type")
        return JobType(written) if written in list(JobType) else None


def _parse(model: type[Parsed], data: Any) -> tuple[Parsed | None, list[FieldError]]:
    if not isinstance(data, dict):
        return None, [FieldError.in_body([], "wrong_type", "the body must be a JSON object")]
    try:
        return model.model_validate(data), []
    except ValidationError as error:
        return None, problems.from_pydantic(error.errors(), model.model_fields)


def _dependency(entry: DependencyBody) -> Json:
    """In the form of `translate.contract`, which always says the window."""
    window = None if entry.window is None else entry.window.model_dump(mode="json", exclude_none=True)
    return {
        "id": entry.id,
        "condition": entry.condition.value,
        "window": window or {"since_last_run": True},
        "latest": entry.latest,
    }


def in_rest_words(sentence: str) -> str:
    """A sentence about the custom resource, with the names that its fields have in REST."""
    sentence = sentence.removeprefix("cron: ")
    for theirs, ours in _WORDS.items():
        sentence = sentence.replace(theirs, ours)
    return sentence
