"""That the native clock counts by other rules of the zone is told, and nothing else is taken for that."""

from typing import Any

import pytest
from cluster_objects import NOW, complete, job, scheduled_job

from merp_crds import names
from merp_operator import observe, outcome, status, zonerules
from merp_operator.desired import Defaults
from merp_operator.status import Judged

Json = dict[str, Any]
# Hourly, in UTC.
BODY = scheduled_job()
GENERATION = BODY["metadata"]["generation"]


def native(due: str, *, generation: int = GENERATION, zone: str = "UTC", **labels: str) -> Json:
    """A run that the native clock made."""
    made = job(
        "j-29926830",
        uid=f"uid-{due}",
        annotations={names.ANNOTATION_CRONJOB_TIME: due, names.ANNOTATION_GENERATION: str(generation)},
        labels={names.LABEL_TRIGGER: "schedule", **labels},
        status=complete(),
    )
    made["spec"]["template"] |= {"metadata": {"annotations": {names.ANNOTATION_TIME_ZONE: zone}}}
    return made


def seen(*jobs: Json) -> observe.Observed:
    return observe.observe(BODY, None, [(item, []) for item in jobs], [])


@pytest.mark.parametrize(
    ("jobs", "differ"),
    [
        pytest.param([], False, id="does-nothing-before-the-first-run"),
        pytest.param([native("2026-11-25T11:00:00Z")], False, id="does-nothing-where-both-agree"),
        pytest.param([native("2026-11-25T11:30:00Z")], True, id="half-an-hour-apart"),
        pytest.param([native("2026-11-25T10:30:00Z"), native("2026-11-25T11:00:00Z")], False, id="it-has-been-mended"),
        pytest.param([native("2026-11-25T11:30:00Z", generation=GENERATION - 1)], False, id="before-an-edit"),
        pytest.param([native("2026-11-25T11:30:00Z", zone="Asia/Kolkata")], False, id="before-the-default-zone-was-another"),
        pytest.param(
            [native("2026-11-25T11:30:00Z", **{names.LABEL_TRIGGER: "manual"})], False, id="a-run-by-hand"
        ),
        pytest.param([job(annotations={names.ANNOTATION_DUE_TIME: "2026-11-25T11:30:00Z"})], False, id="a-run-of-ours"),
    ],
)  # fmt: skip
def test_whether_the_rules_of_a_zone_differ(jobs: list[Json], differ: bool) -> None:
    assert bool(zonerules.difference(seen(*jobs))) is differ


def test_it_is_a_condition_with_the_remedy() -> None:
    found = seen(native("2026-11-25T11:30:00Z"))
    judged = [Judged(run, outcome.judge(run)) for run in found.runs]
    told = status.compute(found, judged, None, Defaults(image="tasks:1", time_zone="UTC"), NOW)
    [condition] = [entry for entry in told["conditions"] if entry["type"] == "OnSchedule"]
    assert (condition["status"], condition["reason"]) == ("False", "ZoneRulesDiffer")
    assert "2026-11-25T11:30:00Z" in condition["message"]
    assert "tzdata" in condition["message"]
