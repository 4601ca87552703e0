"""Tasks are functions, so their tests call them: `pytest examples/own-tasks`."""

from __future__ import annotations

import asyncio
import sys
from datetime import date, datetime, timezone
from decimal import Decimal
from pathlib import Path

import pytest

from merp_runner import Context, ParameterError, TaskFailed

sys.path.insert(0, str(Path(__file__).parent))

from own_tasks import allocate_cost, await_files

CONTEXT = Context(
    due_time=datetime(2026, 12, 1, tzinfo=timezone.utc),
    business_date=date(2026, 12, 1),
    time_zone="UTC",
    run_name="allocate-1",
    job_name="allocate",
    idempotency_key="erp/allocate-1",
)


@pytest.mark.parametrize(
    ("amount", "shares", "parts"),
    [
        pytest.param("100", {"a": "1", "b": "1", "c": "1"}, {"a": "33.34", "b": "33.33", "c": "33.33"}, id="thirds"),
        pytest.param("0.01", {"a": "1", "b": "3"}, {"a": "0.00", "b": "0.01"}, id="one-cent"),
        pytest.param("90", {"a": "2", "b": "0"}, {"a": "90.00", "b": "0.00"}, id="nothing-for-no-share"),
    ],
)
def test_allocation_adds_up(amount: str, shares: dict[str, str], parts: dict[str, str]) -> None:
    result = allocate_cost(Decimal(amount), {name: Decimal(share) for name, share in shares.items()}, context=CONTEXT)
    assert {name: str(part) for name, part in result["parts"].items()} == parts
    assert sum(result["parts"].values()) == Decimal(amount)


@pytest.mark.parametrize("shares", [{}, {"a": Decimal(0)}, {"a": Decimal(2), "b": Decimal(-1)}])
def test_shares_are_refused(shares: dict[str, Decimal]) -> None:
    with pytest.raises(ParameterError, match="shares: none may be below 0"):
        allocate_cost(Decimal(1), shares, context=CONTEXT)


def test_files_that_are_there(tmp_path: Path) -> None:
    for name in ("b.csv", "a.csv", "c.txt"):
        (tmp_path / name).touch()
    assert asyncio.run(await_files(str(tmp_path), 2, context=CONTEXT)) == ["a.csv", "b.csv"]


def test_files_that_do_not_come(tmp_path: Path) -> None:
    with pytest.raises(TaskFailed, match="0 of 1 files within 0 s") as failed:
        asyncio.run(await_files(str(tmp_path), seconds=0, context=CONTEXT))
    assert failed.value.exit_code == 4
