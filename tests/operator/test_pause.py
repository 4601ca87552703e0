"""Whether a ScheduledJob is paused."""

import json
from datetime import timedelta
from typing import Any

import pytest
from cluster_objects import NOW, scheduled_job

from merp_crds import names
from merp_crds.common import rfc3339
from merp_crds.reasons import ConditionReason
from merp_operator import observe, pause

Json = dict[str, Any]
SOON = rfc3339(NOW + timedelta(hours=1))
BEFORE = rfc3339(NOW - timedelta(hours=1))


def annotated(text: str) -> Json:
    return scheduled_job(annotations={names.ANNOTATION_PAUSED: text})


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        pytest.param(scheduled_job(), None, id="not-paused"),
        pytest.param(scheduled_job(suspend=True), (ConditionReason.SUSPENDED, "spec.suspend is true"), id="declared"),
        pytest.param(
            annotated(json.dumps({"by": "ann", "reason": "年末盘点"})),
            (ConditionReason.PAUSED_BY_ANNOTATION, "paused by ann: 年末盘点"),
            id="by-annotation",
        ),
        pytest.param(
            annotated(json.dumps({"by": "ann", "until": SOON})),
            (ConditionReason.PAUSED_BY_ANNOTATION, f"paused by ann until {SOON}"),
            id="until-later",
        ),
        pytest.param(annotated(json.dumps({"until": BEFORE})), None, id="until-has-passed"),
        pytest.param(
            annotated(json.dumps({"until": "tomorrow"})),
            (ConditionReason.PAUSED_BY_ANNOTATION, "paused until tomorrow"),
            id="until-that-cannot-be-read-does-not-end",
        ),
        pytest.param(
            annotated("true"), (ConditionReason.PAUSED_BY_ANNOTATION, "paused by annotation (true)"), id="no-object"
        ),
        pytest.param(annotated("{"), (ConditionReason.PAUSED_BY_ANNOTATION, "paused by annotation ({)"), id="no-json"),
    ],
)
def test_a_pause_in_force(body: Json, expected: tuple[ConditionReason, str] | None) -> None:
    found = pause.in_force(observe.observe(body, None, [], []), NOW)
    assert (None if found is None else (found.reason, found.message)) == expected
