"""The page that users read names every reason that there is."""

import re
from pathlib import Path

import pytest

from merp_crds.reasons import ConditionReason, Reason, Verdict

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "scheduled-jobs.md").read_text()
SOURCES = [path.read_text() for path in (ROOT / "operator" / "merp_operator").glob("*.py")]
TABLE = {cells[0]: cells[1] for line in PAGE.splitlines() if len(cells := line.strip("| ").split(" | ")) == 2}


def test_every_reason_of_a_verdict_is_in_the_table() -> None:
    told = {word for verdict in Verdict for word in TABLE[verdict.value].split(", ")}
    given = {Reason[name].value for text in SOURCES for name in re.findall(r"\bReason\.([A-Z_]+)\b", text)}
    assert told == given


@pytest.mark.parametrize(
    "reason",
    [
        ConditionReason.MISSED,
        ConditionReason.CANNOT_START,
        ConditionReason.CLOCK_SET_BACK,
        ConditionReason.ZONE_RULES_DIFFER,
        ConditionReason.POOL_NOT_FOUND,
        ConditionReason.POOL_TOO_SMALL,
        ConditionReason.UPSTREAM_CANNOT_RUN,
        ConditionReason.CALENDAR_UNKNOWN,
        ConditionReason.COMPLETED,
    ],
)
def test_every_reason_of_on_schedule_is_told(reason: ConditionReason) -> None:
    assert reason.value in TABLE["OnSchedule"]
