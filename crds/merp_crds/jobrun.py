"""JobRun: the request for one run by hand, for a rerun, or for the runs of a past range."""

from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Any, Final

from pydantic import Field

from merp_crds.common import LABEL_LENGTH, AnyJson, Condition, DueTime, Model, ObjectName, Time
from merp_crds.reasons import Reason, RunState, Verdict
from merp_crds.scheduledjob import ConcurrencyPolicy, rule, rules

# What one backfill may run at a time, which is also how many names its status lists.
MAX_PARALLEL: Final = 100
# One request runs no more than this: six years of minutes are a mistake, not a wish.
MAX_DUE_TIMES: Final = 1_000
# How far ahead of its request a run may stand for a moment: one of 2999 would count in every window until then.
LONGEST_AHEAD: Final = timedelta(days=366)
# Why a request waits that is answered once the cause is gone; any other condition Accepted that is False is final.
UNKNOWN_JOB: Final = "UnknownScheduledJob"
NOT_READY: Final = "NotReady"
PENDING_REASONS: Final = frozenset({UNKNOWN_JOB, NOT_READY})


class BackfillOnly(StrEnum):
    """Which due times of the range are run."""

    MISSING = "Missing"
    ALL = "All"


class Backfill(Model):
    """Runs for the due times of a past range."""

    start: Annotated[DueTime, Field(description="Due times after this, RFC 3339.")]
    end: Annotated[DueTime, Field(description="Due times up to this and including it, RFC 3339.")]
    only: Annotated[
        BackfillOnly,
        Field(default=BackfillOnly.MISSING, description="Missing (the default): those without a success; or All."),
    ]
    max_parallel: Annotated[
        int,
        Field(
            default=1,
            ge=1,
            le=MAX_PARALLEL,
            description="How many of its runs at a time, where the overlap policy is Allow; else one. Default: 1.",
        ),
    ]
    dry_run: Annotated[
        bool,
        Field(default=False, description="true: only count, in status.planned and status.passedOver. Default: false."),
    ]


class JobRunSpec(Model):
    """What is asked for."""

    scheduled_job: Annotated[
        ObjectName, Field(max_length=36, description="Name of the ScheduledJob of the same namespace.")
    ]
    args: Annotated[
        list[AnyJson] | None,
        Field(default=None, max_length=256, description="Positional arguments instead of the job's own."),
    ]
    kwargs: Annotated[
        dict[str, Any] | None,
        Field(
            default=None,
            json_schema_extra={"x-kubernetes-preserve-unknown-fields": True},
            description="Keyword arguments instead of the job's own.",
        ),
    ]
    due_time: Annotated[
        DueTime | None,
        Field(
            default=None,
            description="The moment that the run stands for, RFC 3339; also one to come, by 366 days at most, and it "
            "runs at once. "
            "Default: that of `run`, else its creation.",
        ),
    ]
    run: Annotated[
        str | None,
        Field(
            default=None,
            max_length=LABEL_LENGTH,
            description="Name of an earlier run to run again, for its due time and with its parameters. Of one that is "
            "not known any more, give the dueTime too.",
        ),
    ]
    backfill: Annotated[Backfill | None, Field(default=None, description="Run a past range instead of one run.")]
    concurrency_policy: Annotated[
        ConcurrencyPolicy | None,
        Field(default=None, description="Allow: run beside an unfinished one. Default: as the job has it."),
    ]


JOB_RUN_RULES: Final = rules(
    rule("self == oldSelf", "a JobRun is not changed once it is made: create another"),
    rule(
        "!has(self.backfill) || (!has(self.dueTime) && !has(self.run))",
        "backfill goes with neither dueTime nor run",
    ),
    rule(
        "!has(self.backfill) || self.backfill.start < self.backfill.end",
        "backfill.end must be after backfill.start",
    ),
)


class JobRunStatus(Model):
    """What became of it."""

    observed_generation: Annotated[
        int | None, Field(default=None, ge=0, description="The metadata.generation this was computed from.")
    ]
    conditions: Annotated[
        list[Condition],
        Field(
            default_factory=list,
            max_length=8,
            json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
            description="Accepted: the run exists, or the backfill goes on. Waiting: what a backfill waits for. "
            "Stopped: why a backfill starts nothing more. Succeeded: how it ended.",
        ),
    ]
    run: Annotated[
        str | None, Field(default=None, max_length=LABEL_LENGTH, description="Name of the run, which is its Job's.")
    ]
    execution_id: Annotated[str | None, Field(default=None, max_length=36, description="Id of its execution record.")]
    due_time: Annotated[Time | None, Field(default=None, description="The moment the run stands for, UTC.")]
    state: Annotated[RunState | None, Field(default=None, description="waiting or running, until it ends.")]
    verdict: Annotated[Verdict | None, Field(default=None, description="How it ended.")]
    reason: Annotated[Reason | None, Field(default=None, description="Why it ended so.")]
    message: Annotated[str | None, Field(default=None, max_length=1024, description="The same for people.")]
    start_time: Annotated[Time | None, Field(default=None, description="When it was released, UTC.")]
    end_time: Annotated[Time | None, Field(default=None, description="When it ended, UTC.")]
    planned: Annotated[int | None, Field(default=None, ge=0, description="Due times in the backfill's range.")]
    passed_over: Annotated[
        int | None,
        Field(default=None, ge=0, description="Of these, how many needed no run: only Missing was asked for."),
    ]
    started: Annotated[int | None, Field(default=None, ge=0, description="Of these, how many were given a run.")]
    finished: Annotated[int | None, Field(default=None, ge=0, description="Runs of it that have a verdict.")]
    succeeded: Annotated[int | None, Field(default=None, ge=0, description="Of these, how many succeeded.")]
    failed: Annotated[int | None, Field(default=None, ge=0, description="Of these, how many ended in another way.")]
    until: Annotated[
        Time | None, Field(default=None, description="Due times up to here are started or passed over, UTC.")
    ]
    active: Annotated[
        list[Annotated[str, Field(max_length=LABEL_LENGTH)]],
        Field(
            default_factory=list, max_length=MAX_PARALLEL, description="Runs of the backfill that are not counted yet."
        ),
    ]
