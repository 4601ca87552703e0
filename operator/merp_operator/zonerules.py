"""Whether the native clock counts a zone's hours as we do: its zone database is another one than ours. Pure."""

from datetime import timedelta
from typing import Final

from merp_crds import names
from merp_crds.common import rfc3339
from merp_crds.reasons import Trigger
from merp_operator.observe import Observed, Run

_INSTANT: Final = timedelta(microseconds=1)


def difference(observed: Observed) -> str:
    """What the native clock has started last that is no due time here; empty where both agree, or nothing tells.

    Governments change the rules of a zone, and databases learn of it at different times. What both clocks start then
    has two moments for each due time.
    """
    timetable = observed.timetable
    if timetable is None:
        return ""
    started = [run for run in observed.runs if _is_native(run) and _is_as_declared(run, observed, timetable.zone)]
    newest = max(started, key=lambda run: run.due_time, default=None)
    if newest is None or timetable.after(newest.due_time - _INSTANT) == newest.due_time:
        return ""
    return (
        f"the cluster's own clock started {newest.name} for {rfc3339(newest.due_time)}, which is no due time by the "
        f"operator's rules of {timetable.zone}: the job may run at both times until the older zone database (tzdata), "
        "that of kube-controller-manager or that of the operator's image, is brought up to date"
    )


def _is_native(run: Run) -> bool:
    written = run.job["metadata"].get("annotations") or {}
    return run.trigger is Trigger.SCHEDULE and names.ANNOTATION_CRONJOB_TIME in written


def _is_as_declared(run: Run, observed: Observed, zone: str) -> bool:
    """Whether a run was made by the definition as it is, in the zone that it has: an edit moves due times too."""
    written = run.job["metadata"].get("annotations") or {}
    template = run.job["spec"].get("template") or {}
    zoned = (template.get("metadata") or {}).get("annotations") or {}
    generation = written.get(names.ANNOTATION_GENERATION)
    return generation == str(observed.generation) and zoned.get(names.ANNOTATION_TIME_ZONE) == zone
