"""Every reason is told in every language, and a parameter that is not known leaves no gap."""

import re
from typing import Any

import pytest

from merp_crds.conditiontexts import CONDITIONS
from merp_crds.diagnoses import condition_diagnosis, diagnosis
from merp_crds.languages import Language
from merp_crds.reasons import ConditionReason, Reason
from merp_crds.texts import Texts
from merp_crds.verdicttexts import REASONS

KNOWN = {"exit_code": 3, "image": "erp:1", "node": "n1", "attempts": 2, "count": 5}
NOTHING_TO_DO = {
    Reason.COMPLETED, Reason.SCHEDULED_JOB_DELETED, ConditionReason.VALID, ConditionReason.NOT_PAUSED,
    ConditionReason.NO_RUN_YET, ConditionReason.ON_SCHEDULE, ConditionReason.COMPLETED, ConditionReason.PAUSED,
}  # fmt: skip
HAN = re.compile(r"[\u4e00-\u9fff]")


@pytest.mark.parametrize("reason", [*Reason, *ConditionReason], ids=lambda reason: f"{type(reason).__name__}-{reason}")
def test_every_reason_is_told_in_both_languages(reason: Reason | ConditionReason) -> None:
    found: Texts = REASONS[reason] if isinstance(reason, Reason) else CONDITIONS[reason]
    assert found.en.sentence.endswith(".")
    assert found.zh.sentence.endswith("。")
    assert not HAN.search(found.en.sentence + found.en.remedy)
    assert HAN.search(found.zh.sentence)
    to_do = reason not in NOTHING_TO_DO
    assert (bool(found.en.remedy), bool(found.zh.remedy)) == (to_do, to_do)


@pytest.mark.parametrize("reason", Reason)
@pytest.mark.parametrize("parameters", [{}, dict.fromkeys(KNOWN), KNOWN], ids=["none", "null", "all"])
def test_parameters_leave_no_trace_of_their_places(reason: Reason, parameters: dict[str, Any]) -> None:
    for language in Language:
        text = diagnosis(reason, language, parameters)
        assert text is not None
        assert not re.search(r"[\[\]]|  | [.,;]", text.sentence + text.remedy)
        assert not re.search(r"[{}]", text.sentence)


@pytest.mark.parametrize(
    ("reason", "language", "parameters", "expected"),
    [
        pytest.param("ExitCode", "en", {"exit_code": 3}, "Its program failed with exit code 3.", id="parameter"),
        pytest.param("ExitCode", "zh", {"exit_code": 3}, "程序运行失败，退出码 3。", id="in-chinese"),
        pytest.param("ExitCode", "en", {}, "Its program failed.", id="unknown-parameter"),
        pytest.param("ImagePull", "en", {"image": "{x}[y]"}, "Its image {x}[y] could not be pulled.", id="verbatim"),
    ],
)
def test_sentences(reason: str, language: str, parameters: dict[str, Any], expected: str) -> None:
    found = diagnosis(reason, Language(language), parameters)
    assert found is not None
    assert found.sentence == expected


@pytest.mark.parametrize("reason", [None, "", "OfANewerVersion"])
def test_what_is_no_reason_is_told_nothing_of(reason: str | None) -> None:
    assert diagnosis(reason, Language.EN) is None
    assert condition_diagnosis(reason, Language.EN) is None
