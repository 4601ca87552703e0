"""Value types that several kinds share, and the base that every model of a custom resource has."""

import functools
import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, PlainSerializer
from pydantic.alias_generators import to_camel

# Kubernetes' own limit of a label value and of most names.
LABEL_LENGTH: Final = 63
MAX_SUBDOMAIN: Final = 253

_DURATION: Final = re.compile(r"(\d{1,6})([dhms])", re.ASCII)
# What is longer means for ever: no calendar that computers know is long enough to subtract it.
_LONGEST: Final = timedelta(days=36_500)
# What lies a little before or after a due time must still be a time, in every zone.
_YEARS: Final = range(2, 9999)
_SECONDS: Final = {"d": 86_400, "h": 3_600, "m": 60, "s": 1}


class Model(BaseModel):
    """A part of a custom resource: snake_case in Python, camelCase in Kubernetes."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        frozen=True,
        # What the schema does not know was pruned by the API server, or belongs to a newer version.
        extra="ignore",
    )

    def as_json(self) -> dict[str, Any]:
        """As Kubernetes writes it: camelCase, times in RFC 3339, what is not set left out."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


def rfc3339(moment: datetime) -> str:
    """A time as Kubernetes writes it: UTC, whole seconds, `Z`."""
    # In UTC first: in another zone the two passes of a repeated hour count as equal.
    return _text(moment.astimezone(UTC))


# A status has dozens of times, and is written anew with one or two that are new.
@functools.lru_cache(maxsize=4096)
def _text(moment: datetime) -> str:
    return moment.replace(microsecond=0).isoformat().replace("+00:00", "Z")


def parse_rfc3339(text: str) -> datetime:
    """A time that Kubernetes keeps, aware and in UTC. Raises ValueError, and TypeError for what is no text."""
    # RFC 3339 has its T and Z in small letters too, and what people write so is kept so.
    moment = datetime.fromisoformat(str.upper(text))
    if moment.tzinfo is None:
        raise ValueError(f"{text!r} has no time zone: write it as 2026-12-01T00:00:00Z")
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError(f"{text!r} is before or after all time") from None


def check_due_time(moment: datetime) -> datetime:
    """A moment that something may be due at, as it is. Raises ValueError where nobody can count with it."""
    if moment.year not in _YEARS or moment.astimezone(UTC).year not in _YEARS:
        raise ValueError(f"{moment} cannot be counted with: write a year from 1970 to 9900")
    return moment


def parse_duration(text: str) -> timedelta:
    """`1d12h`, `90m` or `45s` as a timedelta, at most 100 years. Raises ValueError with the spelling that works."""
    parts = _DURATION.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ValueError(f"{text!r} is not a duration: write it as 24h, 90m, 45s or 1d12h")
    return min(timedelta(seconds=sum(int(number) * _SECONDS[unit] for number, unit in parts)), _LONGEST)


def _check_duration(text: str) -> str:
    parse_duration(text)
    return text


Time = Annotated[AwareDatetime, PlainSerializer(rfc3339, return_type=str)]
DueTime = Annotated[Time, AfterValidator(check_due_time)]
Duration = Annotated[str, Field(pattern=r"^([0-9]{1,6}[dhms]){1,4}$", max_length=28), AfterValidator(_check_duration)]
ObjectName = Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", min_length=1, max_length=LABEL_LENGTH)]
# What Kubernetes itself validates, when the operator renders it with a strict dry run.
Untyped = Annotated[dict[str, Any], Field(json_schema_extra={"x-kubernetes-preserve-unknown-fields": True})]
AnyJson = Annotated[Any, Field(json_schema_extra={"x-kubernetes-preserve-unknown-fields": True, "nullable": True})]


class Condition(Model):
    """One condition, as the conventions of the Kubernetes API have it."""

    type: Annotated[str, Field(max_length=316, description="Which condition this is, for example Ready.")]
    status: Annotated[
        Literal["True", "False", "Unknown"], Field(description="Whether it holds: True, False or Unknown.")
    ]
    reason: Annotated[
        str, Field(max_length=1024, description="One CamelCase word for why; a stable contract, for example Valid.")
    ]
    message: Annotated[
        str, Field(default="", max_length=4096, description="A sentence for people: what is so and what to do.")
    ]
    last_transition_time: Annotated[Time, Field(description="When the status last changed, UTC.")]
    observed_generation: Annotated[
        int | None, Field(default=None, ge=0, description="The metadata.generation that this was computed from.")
    ]
