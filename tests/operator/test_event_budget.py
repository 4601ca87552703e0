"""How many Events of successes a job may tell."""

import pytest

from merp_operator.event_budget import BURST, EventBudget

KEY = ("ns", "j")


@pytest.mark.parametrize(
    ("moments", "told"),
    [
        pytest.param([], 0, id="nothing-happens"),
        pytest.param([0.0], 1, id="a-single-one"),
        pytest.param([60.0 * minute for minute in range(100)], 100, id="every-minute-for-ever"),
        pytest.param([0.0] * 50, BURST, id="many-at-once"),
        pytest.param([0.0] * 50 + [59.0] * 50, BURST, id="and-within-the-minute"),
        pytest.param([0.0] * 50 + [61.0] * 50, BURST + 1, id="and-after-the-minute"),
        pytest.param([float(second) for second in range(3600)], BURST + 59, id="every-second-for-an-hour"),
        pytest.param([0.0] * 50 + [1e6] * 50, 2 * BURST, id="no-more-is-saved-than-a-burst"),
    ],
)
def test_a_burst_and_then_one_a_minute(moments: list[float], told: int) -> None:
    now = iter(moments)
    budget = EventBudget(lambda: next(now))
    assert sum(budget.take(KEY) for _ in moments) == told


def test_each_job_has_its_own() -> None:
    budget = EventBudget(lambda: 0.0)
    assert [sum(budget.take(("ns", name)) for _ in range(50)) for name in ("a", "b")] == [BURST, BURST]


def test_nothing_is_remembered_of_a_job_that_is_gone() -> None:
    budget = EventBudget(lambda: 0.0)
    for _ in range(50):
        budget.take(KEY)
    budget.forget(KEY)
    assert budget.take(KEY)
