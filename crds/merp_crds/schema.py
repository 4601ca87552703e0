"""Models → CustomResourceDefinitions: structural OpenAPI, CEL rules and printer columns.

A structural schema has no references, no alternatives and no titles, and every node has a type; pydantic's JSON schema
has all of the former, so it is rewritten node by node.
"""

from dataclasses import dataclass, field
from typing import Any, Final, Literal

from merp_crds import businesscalendar, jobpool, jobrun, scheduledjob
from merp_crds.common import LABEL_LENGTH, Model
from merp_crds.names import (
    BUSINESS_CALENDARS,
    GROUP,
    JOB_POOLS,
    JOB_RUNS,
    MAX_NAME_LENGTH,
    RESERVED_NAMES,
    SCHEDULED_JOBS,
    VERSION,
)

Json = dict[str, Any]

# A map or a list without a limit makes the API server refuse the CEL rules above it: their cost has no bound.
_DEFAULT_MAX_PROPERTIES: Final = 256
_KEPT: Final = frozenset(
    {
        "type", "description", "enum", "format", "pattern", "default", "nullable", "required", "properties", "items",
        "minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems", "maxProperties", "additionalProperties",
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Column:
    """A column of `kubectl get`."""

    name: str
    path: str
    type: str = "string"
    priority: int = 0
    description: str = ""

    def render(self) -> Json:
        """As a CustomResourceDefinition has it."""
        column: Json = {"name": self.name, "type": self.type, "jsonPath": self.path, "priority": self.priority}
        return column | ({"description": self.description} if self.description else {})


@dataclass(frozen=True, slots=True)
class Kind:
    """One custom resource: what its definition needs beyond the models."""

    kind: str
    plural: str
    short_name: str
    description: str
    spec: type[Model]
    status: type[Model]
    spec_rules: Json
    columns: tuple[Column, ...]
    name_rules: list[dict[str, str]] = field(default_factory=list)
    selectable: tuple[str, ...] = ()
    scope: Literal["Namespaced", "Cluster"] = "Namespaced"


def _condition(kind: str) -> str:
    return f'.status.conditions[?(@.type=="{kind}")].status'


def _a_label(why: str) -> dict[str, str]:
    """The rule that a name is one that another object's field may hold."""
    return scheduledjob.rule(
        f"self.metadata.name.size() <= {LABEL_LENGTH} && self.metadata.name.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",
        f"metadata.name has lower-case letters, digits and hyphens only, at most {LABEL_LENGTH}: {why}",
    )


_AGE: Final = Column("Age", ".metadata.creationTimestamp", "date")

SCHEDULED_JOB: Final = Kind(
    kind="ScheduledJob",
    plural=SCHEDULED_JOBS,
    short_name="sj",
    description="A job that is due at given times, after other jobs, or by hand.",
    spec=scheduledjob.ScheduledJobSpec,
    status=scheduledjob.ScheduledJobStatus,
    spec_rules=scheduledjob.SPEC_RULES,
    name_rules=[
        scheduledjob.rule(
            f"self.metadata.name.size() <= {MAX_NAME_LENGTH}",
            f"metadata.name has at most {MAX_NAME_LENGTH} characters: put a longer one into spec.displayName",
        ),
        scheduledjob.rule(
            "self.metadata.name.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",
            "metadata.name has lower-case letters, digits and hyphens only: it names pods and stands in URLs",
        ),
        scheduledjob.rule(
            f"!(self.metadata.name in {sorted(RESERVED_NAMES)!r})",
            "metadata.name is a fixed word of the REST API: choose another",
        ),
    ],
    selectable=(".spec.suspend", ".spec.priority"),
    columns=(
        Column("Schedule", ".status.schedule", description="Cron expression, interval or moment."),
        Column("TZ", ".status.timeZone", description="Zone the schedule is written in."),
        Column("Ready", _condition("Ready"), description="Whether the definition is good."),
        Column("Paused", _condition("Paused"), description="Whether it is paused."),
        Column("Active", ".status.activeCount", "integer", description="Runs without a verdict."),
        Column("Last Run", ".status.lastScheduleTime", "date", description="Since the newest due time started."),
        Column("Result", ".status.recent[0].verdict", description="How the newest finished run ended."),
        # Not of type date: kubectl prints a date's age, and the next run has none.
        Column("Next Run", ".status.nextRunTime", description="Next due time, UTC."),
        _AGE,
        Column("Name for People", ".spec.displayName", priority=1, description="The display name."),
        Column("Clock", ".status.clock", priority=1, description="Which clock starts it."),
        Column(
            "Message",
            '.status.conditions[?(@.type=="Ready")].message',
            priority=1,
            description="What is wrong with the definition.",
        ),
    ),
)

JOB_RUN: Final = Kind(
    kind="JobRun",
    plural=JOB_RUNS,
    short_name="jr",
    description="The request for a run by hand, a rerun, or a backfill.",
    spec=jobrun.JobRunSpec,
    status=jobrun.JobRunStatus,
    spec_rules=jobrun.JOB_RUN_RULES,
    selectable=(".spec.scheduledJob",),
    columns=(
        Column("Scheduled Job", ".spec.scheduledJob", description="Whose run it is."),
        Column("Run", ".status.run", description="Name of the run and of its Job."),
        Column("Due", ".status.dueTime", description="The moment the run stands for, UTC."),
        Column("State", ".status.state", description="waiting or running, until it ends."),
        Column("Result", ".status.verdict", description="How it ended."),
        Column("Reason", ".status.reason", description="Why it ended so."),
        _AGE,
    ),
)

BUSINESS_CALENDAR: Final = Kind(
    kind="BusinessCalendar",
    plural=BUSINESS_CALENDARS,
    short_name="bc",
    description="The working days of a country or a company, and up to which day they are known.",
    spec=businesscalendar.BusinessCalendarSpec,
    status=businesscalendar.BusinessCalendarStatus,
    spec_rules=businesscalendar.SPEC_RULES,
    scope="Cluster",
    name_rules=[_a_label("schedule.calendar names it")],
    columns=(
        Column("Built-In", ".spec.builtIn", description="Country whose public holidays count."),
        # Not of type date: kubectl prints a date's age.
        Column("Valid Through", ".status.validThrough", description="Last day that it knows."),
        Column("Ready", _condition("Ready"), description="Whether the definition is good."),
        _AGE,
        Column(
            "Message",
            '.status.conditions[?(@.type=="Ready")].message',
            priority=1,
            description="What is wrong with the definition, or that it ends.",
        ),
    ),
)

JOB_POOL: Final = Kind(
    kind="JobPool",
    plural=JOB_POOLS,
    short_name="jp",
    description="Room that the runs of many ScheduledJobs share.",
    spec=jobpool.JobPoolSpec,
    status=jobpool.JobPoolStatus,
    spec_rules={},
    name_rules=[_a_label("spec.pool names it")],
    columns=(
        Column("Slots", ".spec.slots", "integer", description="How many there are."),
        Column("Used", ".status.used", "integer", description="How many are taken."),
        Column("Waiting", ".status.waitingCount", "integer", description="Runs that wait for room."),
        Column("Ready", _condition("Ready"), description="Whether it can admit what waits."),
        _AGE,
        Column(
            "Message",
            '.status.conditions[?(@.type=="Ready")].message',
            priority=1,
            description="What can never be admitted, and what to do.",
        ),
    ),
)

KINDS: Final = (SCHEDULED_JOB, JOB_RUN, BUSINESS_CALENDAR, JOB_POOL)


def definition(kind: Kind) -> Json:
    """The CustomResourceDefinition of a kind."""
    names = {
        "kind": kind.kind,
        "listKind": f"{kind.kind}List",
        "plural": kind.plural,
        "singular": kind.kind.lower(),
        "shortNames": [kind.short_name],
        "categories": ["merp"],
    }
    version: Json = {
        "name": VERSION,
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": _object(kind)},
        "subresources": {"status": {}},
        "additionalPrinterColumns": [column.render() for column in kind.columns],
    }
    if kind.selectable:
        version["selectableFields"] = [{"jsonPath": path} for path in kind.selectable]
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{kind.plural}.{GROUP}"},
        "spec": {"group": GROUP, "names": names, "scope": kind.scope, "versions": [version]},
    }


def _object(kind: Kind) -> Json:
    spec = structural(kind.spec) | {"description": f"{kind.description} What is asked for."} | kind.spec_rules
    status = structural(kind.status) | {"description": "What the operator says of it. Written by the operator only."}
    schema: Json = {
        "description": kind.description,
        "type": "object",
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string", "description": "scheduler.merp.io/v1."},
            "kind": {"type": "string", "description": f"{kind.kind}."},
            "metadata": {"type": "object"},
            "spec": spec,
            "status": status,
        },
    }
    return schema | (scheduledjob.rules(*kind.name_rules) if kind.name_rules else {})


def structural(model: type[Model]) -> Json:
    """A model's schema without references, alternatives and titles."""
    schema = model.model_json_schema(by_alias=True, mode="validation")
    return _rewrite(schema, schema.get("$defs", {}))


def _rewrite(node: Json, definitions: Json) -> Json:
    node = _resolve(node, definitions)
    schema = {key: value for key, value in node.items() if key in _KEPT or key.startswith("x-kubernetes-")}
    if "properties" in node:
        schema["properties"] = {name: _rewrite(part, definitions) for name, part in node["properties"].items()}
    if "items" in node:
        schema["items"] = _rewrite(node["items"], definitions)
        # A default inside a list or an object makes a GitOps tool see a difference that nobody made.
        schema.pop("default", None)
    if schema.get("type") == "object":
        schema.pop("default", None)
        _close(schema, node, definitions)
    if schema.get("default", "") is None:
        del schema["default"]
    if schema.get("format") == "date-time":
        schema["maxLength"] = 64
    if schema.get("type") == "integer":
        schema["format"] = "int64"
    return schema


def _close(schema: Json, node: Json, definitions: Json) -> None:
    """Objects are either properties, a map with a limit, or left to Kubernetes."""
    schema.pop("additionalProperties", None)
    if schema.get("x-kubernetes-preserve-unknown-fields") or "properties" in schema:
        return
    values = node.get("additionalProperties")
    if isinstance(values, dict):
        schema["additionalProperties"] = _rewrite(values, definitions)
    schema.setdefault("maxProperties", _DEFAULT_MAX_PROPERTIES)


def _resolve(node: Json, definitions: Json) -> Json:
    """Follow a reference, and take the one real alternative of an optional field; what stands beside it is kept."""
    while "$ref" in node or "allOf" in node or "anyOf" in node:
        if "$ref" in node:
            target = definitions[node["$ref"].removeprefix("#/$defs/")]
        else:
            alternatives = [part for part in node.get("anyOf") or node["allOf"] if part.get("type") != "null"]
            if len(alternatives) != 1:
                raise ValueError(f"a structural schema has no alternatives: {node}")
            target = alternatives[0]
        beside = {key: value for key, value in node.items() if key not in ("$ref", "allOf", "anyOf")}
        rules = [*target.get("x-kubernetes-validations", []), *beside.get("x-kubernetes-validations", [])]
        node = target | beside | ({"x-kubernetes-validations": rules} if rules else {})
    return node
