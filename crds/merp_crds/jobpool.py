"""JobPool: room that the runs of many ScheduledJobs of a namespace share, counted in slots."""

from typing import Annotated, Final

from pydantic import Field

from merp_crds.common import LABEL_LENGTH, Condition, Model, Time
from merp_crds.names import MAX_NAME_LENGTH
from merp_crds.scheduledjob import MAX_SLOTS, Priority

# Whoever looks at a queue looks at its head; the rest is counted.
LISTED_WAITING: Final = 20
# A pool may be made smaller than what runs in it, and runs that began elsewhere are counted too.
_MOST_ADMITTED: Final = 2 * MAX_SLOTS


class JobPoolSpec(Model):
    """How much room there is."""

    slots: Annotated[
        int,
        Field(
            ge=1,
            le=MAX_SLOTS,
            description="How many slots the runs of the pool may take together; a run takes spec.pool.slots of them. "
            "A change takes effect at once; nothing that runs is ended for it. Example: 5.",
        ),
    ]
    description: Annotated[
        str | None, Field(default=None, max_length=500, description="For people. Default: none. Example: 夜间批处理.")
    ]


class Admitted(Model):
    """A run that has room, until its Job has ended."""

    run: Annotated[str, Field(max_length=LABEL_LENGTH, description="Name of the run and of its Job.")]
    uid: Annotated[str, Field(max_length=LABEL_LENGTH, description="UID of its Job.")]
    scheduled_job: Annotated[str, Field(max_length=MAX_NAME_LENGTH, description="Whose run it is.")]
    slots: Annotated[int, Field(ge=1, le=MAX_SLOTS, description="How many slots it takes.")]


class PlaceEntry(Model):
    """A run that waits for room; the list is in the order of turns."""

    run: Annotated[str, Field(max_length=LABEL_LENGTH, description="Name of the run and of its Job.")]
    scheduled_job: Annotated[str, Field(max_length=MAX_NAME_LENGTH, description="Whose run it is.")]
    priority: Annotated[Priority, Field(description="Its priority when it was made.")]
    due_time: Annotated[Time, Field(description="The moment that it stands for, UTC.")]
    slots: Annotated[int, Field(ge=1, le=MAX_SLOTS, description="How many slots it waits for.")]


class JobPoolStatus(Model):
    """What the operator says of it."""

    observed_generation: Annotated[
        int | None, Field(default=None, ge=0, description="The metadata.generation this was computed from.")
    ]
    conditions: Annotated[
        list[Condition],
        Field(
            default_factory=list,
            max_length=8,
            json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
            description="Ready: runs are admitted. False where one asks for more slots than there are.",
        ),
    ]
    used: Annotated[
        int,
        Field(default=0, ge=0, description="Slots that are taken; more than there are, where it was made smaller."),
    ]
    admitted: Annotated[
        list[Admitted],
        Field(
            default_factory=list,
            max_length=_MOST_ADMITTED,
            json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["uid"]},
            description="Who has room. What stands here is released, and nothing else.",
        ),
    ]
    waiting: Annotated[
        list[PlaceEntry],
        Field(
            default_factory=list,
            max_length=LISTED_WAITING,
            json_schema_extra={"x-kubernetes-list-type": "atomic"},
            description="The first that wait for room: priority first, then due time.",
        ),
    ]
    waiting_count: Annotated[int, Field(default=0, ge=0, description="How many runs wait for room.")]
