"""What a reason means and what to do, as a reader is told: for the operator, REST and the console alike."""

from collections.abc import Mapping
from typing import Any

from merp_crds.conditiontexts import CONDITIONS
from merp_crds.languages import Language
from merp_crds.reasons import ConditionReason, Reason
from merp_crds.texts import Text
from merp_crds.verdicttexts import REASONS


def diagnosis(reason: str | None, language: Language, parameters: Mapping[str, Any] | None = None) -> Text | None:
    """What a reason means in a language. None for no reason, and for one of a newer version."""
    if reason is None or reason not in REASONS:
        return None
    return REASONS[Reason(reason)].of(language).filled(parameters or {})


def condition_diagnosis(reason: str | None, language: Language) -> Text | None:
    """What the reason of a condition means. None for no reason, and for one of a newer version."""
    if reason is None or reason not in CONDITIONS:
        return None
    return CONDITIONS[ConditionReason(reason)].of(language)
