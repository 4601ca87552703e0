"""What somebody wants cancelled: annotations of the ScheduledJob, each naming a run or a JobRun. Pure."""

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from merp_crds import names
from merp_crds.common import parse_rfc3339, rfc3339
from merp_crds.reasons import Reason, Verdict
from merp_operator import endings
from merp_operator.observe import Json, Observed

# The name of a user of the API server is not longer in practice, and what is written on a Job must stay small.
_BY_LENGTH: Final = 256


@dataclass(frozen=True, slots=True)
class Cancellation:
    """`name` is that of a run or of a JobRun; `by`, and `at` in RFC 3339, are empty where the annotation does not say
    who asks, and when."""

    name: str
    annotation: str
    value: str
    by: str
    at: str = ""

    def ending(self, now: datetime) -> Json:
        """What is left on a Job that is ended for this."""
        told = endings.written(Verdict.CANCELLED, Reason.CANCELLED_BY_USER, self.message, now)
        return told | ({"by": self.by} if self.by else {})

    @property
    def message(self) -> str:
        """In a sentence."""
        who = f" by {self.by}" if self.by else ""
        when = f" at {self.at}" if self.at else ""
        return f"cancelled{who}{when}"


def asked(observed: Observed) -> dict[str, Cancellation]:
    """Every cancellation that is asked for, by the name of what it is for."""
    found = {}
    for annotation, value in sorted(observed.annotations.items()):
        if annotation.startswith(names.ANNOTATION_CANCEL_PREFIX):
            name = annotation.removeprefix(names.ANNOTATION_CANCEL_PREFIX)
            found[name] = Cancellation(name, annotation, value, *_told(value))
    return found


def _told(value: str) -> tuple[str, str]:
    """Who asks, and when. `kubectl annotate … cancel.scheduler.merp.io/x=` cancels too, with nobody named."""
    try:
        told = json.loads(value)
    except (ValueError, RecursionError):
        return "", ""
    if not isinstance(told, dict):
        return "", ""
    by = told.get("by")
    return by[:_BY_LENGTH] if isinstance(by, str) else "", _moment(told.get("at"))


def _moment(at: object) -> str:
    """As Kubernetes writes it; empty where it is none."""
    try:
        return rfc3339(parse_rfc3339(at)) if isinstance(at, str) else ""
    except (ValueError, OverflowError):
        # By kubectl anything can be written there.
        return ""
