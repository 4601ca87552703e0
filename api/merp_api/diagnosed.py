"""Views with what their reasons mean, in a reader's language. Pure."""

from collections.abc import Mapping
from typing import Any, TypeVar

from merp_api.schemas import DiagnosisView, ExecutionView, JobView
from merp_crds.diagnoses import condition_diagnosis, diagnosis
from merp_crds.languages import Language
from merp_crds.texts import Text

Shown = TypeVar("Shown", ExecutionView, JobView)


def diagnosed_execution(view: ExecutionView, language: Language) -> ExecutionView:
    """An execution that says what its reason means; as it is where it has none."""
    return _told(view, diagnosis(view.reason, language, _parameters(view)))


def diagnosed_job(view: JobView, language: Language) -> JobView:
    """A job that says what is wrong with it; as it is where nothing is."""
    return _told(view, condition_diagnosis(view.reason, language))


def diagnosis_view(text: Text) -> DiagnosisView:
    """A text as REST shows it."""
    return DiagnosisView(sentence=text.sentence, remedy=text.remedy or None)


def _told(view: Shown, text: Text | None) -> Shown:
    return view if text is None else view.model_copy(update={"diagnosis": diagnosis_view(text)})


def _parameters(view: ExecutionView) -> Mapping[str, Any]:
    # Of one due time or one attempt there is nothing to count.
    several = {name: value for name in ("attempts", "count") if (value := getattr(view, name)) > 1}
    return several | {name: getattr(view, name) for name in ("exit_code", "image", "node")}
