"""The note on a ScheduledJob that pauses it, and whether a pause is in force. Pure; `now` is an argument."""

import json
from datetime import datetime
from typing import Any, Final

from merp_api.conditions import condition
from merp_api.schemas import PausedView
from merp_api.translate import Json
from merp_crds.common import parse_rfc3339
from merp_crds.names import ANNOTATION_PAUSED
from merp_crds.reasons import ConditionReason, ConditionType

# As much of a text as the operator puts into a condition.
_MESSAGE_LENGTH: Final = 1024


def pause_note(metadata: Json) -> PausedView | None:
    """The operational pause that is written down, whoever wrote it."""
    text = (metadata.get("annotations") or {}).get(ANNOTATION_PAUSED)
    if text is None:
        return None
    try:
        written = json.loads(text)
    except (ValueError, RecursionError):
        # `kubectl annotate … paused=true` pauses as well.
        written = None
    said = written if isinstance(written, dict) else {}
    return PausedView(**{key: _text(said.get(key)) for key in PausedView.model_fields})


def moment(written: str | None) -> datetime | None:
    """A time that a note says; written by hand it may be any text, and then it says none."""
    try:
        return None if written is None else parse_rfc3339(written)
    except ValueError:
        return None


def wants_pause(job: Json, now: datetime) -> bool:
    """Whether it is to be paused, in force already or not."""
    if (job.get("spec") or {}).get("suspend"):
        return True
    return standing_note(job, now) is not None


def pause_in_force(job: Json) -> bool:
    """Whether the operator has stopped the clock for the pause that is written down now."""
    found = condition(job, ConditionType.PAUSED)
    if found is None or found.get("status") != "True":
        return False
    return found.get("reason") == ConditionReason.SUSPENDED or _annotation_in_force(job)


def standing_note(job: Json, now: datetime) -> PausedView | None:
    """The operational pause that holds or is to hold; None for a note that was left behind when its pause ended."""
    note = pause_note(job["metadata"])
    # Past its end the operator lifts it; until it has, nothing becomes due.
    return None if note is None or (is_over(note, now) and not _annotation_in_force(job)) else note


def is_over(note: PausedView, now: datetime) -> bool:
    """Whether a pause has an end that has passed."""
    until = moment(note.until)
    return until is not None and until <= now


def resume_in_force(job: Json) -> bool:
    """Whether the operator lets the clock run."""
    found = condition(job, ConditionType.PAUSED)
    return found is not None and found.get("status") == "False"


def _annotation_in_force(job: Json) -> bool:
    """Whether the operator names the note that is written down now as what holds."""
    found = condition(job, ConditionType.PAUSED)
    if found is None or found.get("status") != "True" or found.get("reason") == ConditionReason.SUSPENDED:
        return False
    text = (job["metadata"].get("annotations") or {}).get(ANNOTATION_PAUSED)
    return text is not None and found.get("message") == text[:_MESSAGE_LENGTH]


def _text(value: Any) -> str | None:
    # Half of a surrogate pair, which an escape in a note may be, is in no answer.
    return value.encode(errors="replace").decode() if isinstance(value, str) else None
