"""What somebody wants cancelled: annotations of the ScheduledJob, each naming a run or a JobRun. Pure."""

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from merp_crds import names
from merp_crds.common import rfc3339
from merp_crds.reasons import Reason, Verdict
from merp_operator.observe import Json, Observed

# The name of a user of the API server is not longer in practice, and what is written on a Job must stay small.
_BY_LENGTH: Final = 256


@dataclass(frozen=True, slots=True)
class Cancellation:
    """`name` is that of a run or of a JobRun; `by` is empty where the annotation does not say who asks."""

    name: str
    annotation: str
    value: str
    by: str

    def ending(self, now: datetime) -> Json:
        """What is left on a Job that is ended for this."""
        told = {"verdict": Verdict.CANCELLED.value, "reason": Reason.CANCELLED_BY_USER.value, "at": rfc3339(now)}
        return told | ({"by": self.by} if self.by else {})

    @property
    def message(self) -> str:
        """In a sentence."""
        return f"cancelled by {self.by}" if self.by else "cancelled"


def asked(observed: Observed) -> dict[str, Cancellation]:
    """Every cancellation that is asked for, by the name of what it is for."""
    found = {}
    for annotation, value in sorted(observed.annotations.items()):
        if annotation.startswith(names.ANNOTATION_CANCEL_PREFIX):
            name = annotation.removeprefix(names.ANNOTATION_CANCEL_PREFIX)
            found[name] = Cancellation(name, annotation, value, _by(value))
    return found


def _by(value: str) -> str:
    """Who asks. `kubectl annotate … cancel.scheduler.merp.io/x=` cancels too, with nobody named."""
    try:
        told = json.loads(value)
    except ValueError:
        return ""
    by = told.get("by") if isinstance(told, dict) else None
    return by[:_BY_LENGTH] if isinstance(by, str) else ""
