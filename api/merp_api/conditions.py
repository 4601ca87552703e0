"""The conditions that the operator writes on a ScheduledJob. Pure."""

from merp_api.translate import Json
from merp_crds.reasons import ConditionType


def condition(job: Json, kind: ConditionType) -> Json | None:
    """A condition of a job, None where the operator has not said so."""
    conditions: list[Json] = (job.get("status") or {}).get("conditions") or []
    return next((entry for entry in conditions if entry.get("type") == kind), None)
