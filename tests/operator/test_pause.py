"""Whether a ScheduledJob is paused."""

import json
from datetime import timedelta
from typing import Any

import pytest
from cluster_objects import NOW, scheduled_job

from merp_crds import names
from merp_crds.common import rfc3339
from merp_crds.reasons import ConditionReason, ConditionType
from merp_operator import observe, pause

Json = dict[str, Any]
SOON = rfc3339(NOW + timedelta(hours=1))
BY_ANN = json.dumps({"by": "ann", "reason": "年末盘点"})
BEFORE = rfc3339(NOW - timedelta(hours=1))


def annotated(text: str) -> Json:
    return scheduled_job(annotations={names.ANNOTATION_PAUSED: text})


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        pytest.param(scheduled_job(), None, id="not-paused"),
        pytest.param(
            scheduled_job(suspend=True), (ConditionReason.SUSPENDED, "spec.suspend is true", None), id="declared"
        ),
        pytest.param(
            annotated(BY_ANN), (ConditionReason.PAUSED_BY_ANNOTATION, BY_ANN, None), id="named-as-it-was-written"
        ),
        pytest.param(
            annotated(json.dumps({"until": SOON})),
            (ConditionReason.PAUSED_BY_ANNOTATION, json.dumps({"until": SOON}), NOW + timedelta(hours=1)),
            id="until-later",
        ),
        pytest.param(annotated(json.dumps({"until": BEFORE})), None, id="until-has-passed"),
        pytest.param(annotated(json.dumps({"until": BEFORE.lower()})), None, id="until-in-small-letters"),
        pytest.param(
            annotated('{"until": "tomorrow"}'),
            (ConditionReason.PAUSED_BY_ANNOTATION, '{"until": "tomorrow"}', None),
            id="until-that-cannot-be-read-does-not-end",
        ),
        pytest.param(annotated("true"), (ConditionReason.PAUSED_BY_ANNOTATION, "true", None), id="no-object"),
        pytest.param(annotated("{"), (ConditionReason.PAUSED_BY_ANNOTATION, "{", None), id="no-json"),
    ],
)
def test_a_pause_in_force(body: Json, expected: tuple[ConditionReason, str, object] | None) -> None:
    found = pause.in_force(observe.observe(body, None, [], []), NOW)
    assert (None if found is None else (found.reason, found.message, found.until)) == expected


def told(kind: ConditionType, status: str, reason: ConditionReason) -> Json:
    entry = {"type": kind.value, "status": status, "reason": reason.value, "message": "", "lastTransitionTime": BEFORE}
    return {"conditions": [entry]}


@pytest.mark.parametrize(
    ("until", "status", "expected"),
    [
        pytest.param(SOON, {}, False, id="not-yet"),
        pytest.param(BEFORE, {}, True, id="nobody-has-looked"),
        pytest.param(
            BEFORE, told(ConditionType.PAUSED, "True", ConditionReason.PAUSED_BY_ANNOTATION), True, id="that-very-one"
        ),
        pytest.param(
            BEFORE, told(ConditionType.PAUSED, "True", ConditionReason.SUSPENDED), False, id="a-declared-one-since-then"
        ),
        pytest.param(
            BEFORE,
            told(ConditionType.READY, "False", ConditionReason.INVALID_TEMPLATE),
            False,
            id="a-bad-definition-since-then",
        ),
        pytest.param(
            BEFORE, told(ConditionType.READY, "False", ConditionReason.CANNOT_APPLY), True, id="refused-and-still-due"
        ),
    ],
)
def test_whether_the_pause_that_is_written_down_has_ended_by_itself(until: str, status: Json, expected: bool) -> None:
    body = scheduled_job(annotations={names.ANNOTATION_PAUSED: json.dumps({"until": until})}, status=status)
    found = pause.ended(observe.observe(body, None, [], []), NOW)
    assert found == (NOW - timedelta(hours=1) if expected else None)
