"""Whether a ScheduledJob is paused, by whom, and until when. Pure."""

import json
from dataclasses import dataclass
from datetime import datetime

from merp_crds import names
from merp_crds.common import parse_rfc3339
from merp_crds.reasons import ConditionReason, ConditionType
from merp_operator.observe import Json, Observed


@dataclass(frozen=True, slots=True)
class Pause:
    """A pause that is in force; `until` is None where somebody has to end it."""

    reason: ConditionReason
    message: str
    until: datetime | None = None


def in_force(observed: Observed, now: datetime) -> Pause | None:
    """The pause at `now`: the declared one, else the annotation's unless its `until` has passed."""
    if observed.spec is not None and observed.spec.suspend:
        return Pause(ConditionReason.SUSPENDED, "spec.suspend is true")
    text = observed.annotations.get(names.ANNOTATION_PAUSED)
    if text is None:
        return None
    told = _read(text)
    until = _moment(told.get("until"))
    if until is not None and until <= now:
        return None
    # The annotation as it is: by that the gateway sees that the very pause it wrote is in force.
    return Pause(ConditionReason.PAUSED_BY_ANNOTATION, text, until)


def ended(observed: Observed, now: datetime) -> datetime | None:
    """When the pause that the annotation still tells of ended by itself; None if none did.

    The annotation stays when its pause is over: what has stopped the clock since then it knows nothing of.
    """
    text = observed.annotations.get(names.ANNOTATION_PAUSED)
    until = None if text is None else _moment(_read(text).get("until"))
    return until if until is not None and until <= now and not _stopped_otherwise(observed) else None


def stopped(observed: Observed) -> bool:
    """Whether, as the last look has told it, nothing was to become due."""
    return _was_bad(observed) or any(
        entry.type == ConditionType.PAUSED and entry.status == "True" for entry in observed.told.conditions
    )


def _stopped_otherwise(observed: Observed) -> bool:
    """Whether, as the last look has told it, something else than the annotation lets nothing become due."""
    return _was_bad(observed) or any(
        entry.type == ConditionType.PAUSED and entry.status == "True" and entry.reason == ConditionReason.SUSPENDED
        for entry in observed.told.conditions
    )


def _was_bad(observed: Observed) -> bool:
    """Whether, as the last look has told it, the definition was not good."""
    return any(
        entry.type == ConditionType.READY and entry.status == "False" and entry.reason != ConditionReason.CANNOT_APPLY
        for entry in observed.told.conditions
    )


def _read(text: str) -> Json:
    """The annotation's object. `kubectl annotate … paused=true` is a pause too, with nothing more to say."""
    try:
        told = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return told if isinstance(told, dict) else {}


def _moment(value: object) -> datetime | None:
    try:
        return parse_rfc3339(value) if isinstance(value, str) and value else None
    except ValueError:
        # A moment that cannot be read must not end a pause: somebody has to.
        return None
