"""Names are locks: the same run has the same name on every try."""

from datetime import UTC, datetime

import pytest

from merp_crds import names


@pytest.mark.parametrize(
    ("due_time", "expected"),
    [
        pytest.param(datetime(2026, 12, 1, tzinfo=UTC), "j-29934720", id="whole-minute-as-the-cronjob-controller"),
        pytest.param(datetime(2026, 12, 1, 0, 0, 45, tzinfo=UTC), "j-1796083245", id="C62-within-a-minute"),
        pytest.param(datetime(2026, 12, 1, 0, 1, 30, tzinfo=UTC), "j-1796083290", id="C62-next-within-a-minute"),
    ],
)
def test_a_scheduled_run_is_named_by_its_due_time_and_back(due_time: datetime, expected: str) -> None:
    name = names.run_name_for_due_time("j", due_time)
    assert name == expected
    assert names.due_time_from_run_name("j", name) == due_time


@pytest.mark.parametrize(
    "name",
    [pytest.param(text, id=text) for text in ("j", "j-r-0123456789", "k-29934720", "j-2993x", "j-٣", f"j-{'9' * 15}")],
)
def test_other_names_say_no_due_time(name: str) -> None:
    assert names.due_time_from_run_name("j", name) is None


def test_a_request_has_one_name_and_another_request_another() -> None:
    due = datetime(2026, 12, 1, tzinfo=UTC)
    once = names.run_name_for_request("j", "uid-1", due)
    assert names.run_name_for_request("j", "uid-1", due) == once
    assert names.run_name_for_request("j", "uid-2", due) != once
    assert names.run_name_for_request("j", "uid-1", None) != once
    assert len(names.run_name_for_request("j" * names.MAX_NAME_LENGTH, "uid", due)) <= 63


def test_an_execution_id_is_the_same_for_ever() -> None:
    # Written out: rows in databases carry it.
    assert names.execution_id("4d1c", "j-1") == names.execution_id("4d1c", "j-1")
    assert names.execution_id("4d1c", "j-1") == "e4742bcc-897a-5bcd-97b9-b94c487807c8"
    assert names.execution_id("4d1d", "j-1") != names.execution_id("4d1c", "j-1")


def test_a_naive_due_time_is_refused() -> None:
    with pytest.raises(ValueError, match="time zone"):
        names.run_name_for_due_time("j", datetime(2026, 12, 1))
