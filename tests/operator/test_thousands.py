"""Thousands of runs of one job, as an outage leaves them: whoever decides holds up the lease for no long time.

The leader has six seconds to renew it. A decision that took longer would end the process, and the next one's as well.
"""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from merp_crds.reasons import Verdict
from merp_crds.scheduledjob import ConcurrencyPolicy, Dependency
from merp_operator import gate, newlymet, overlap
from merp_operator.leader import RENEW_DEADLINE
from merp_operator.upstreams import Upstream, UpstreamRun

MIDNIGHT = datetime(2026, 11, 25, tzinfo=UTC)
SECOND = timedelta(seconds=1)
DAY = {"period": "Day"}


def minute(number: int) -> datetime:
    return MIDNIGHT + timedelta(minutes=number)


def upstream(name: str, runs: int, verdict: Verdict) -> Upstream:
    """One with a run a minute."""
    found = (UpstreamRun(f"{name}-{at}", minute(at), verdict, minute(at), minute(at) + SECOND) for at in range(runs))
    return Upstream(name, tuple(found), next_run=minute(runs))


def newly_met(windows: list[dict[str, object]]) -> int:
    """How many runs a weekend brings for which the operator was away."""
    dependencies = [
        Dependency.model_validate({"name": name} | window) for name, window in zip("ab", windows, strict=False)
    ]
    known = {name: upstream(name, 4000, Verdict.SUCCESS) for name in "ab"}
    return len(newlymet.newly_met(dependencies, None, "Asia/Shanghai", known, (), MIDNIGHT))


def held(window: dict[str, object]) -> int:
    """How many runs wait at the end of a day in which every run of the upstream failed."""
    runs = [gate.Waiting(f"d-{at}", minute(at), minute(at)) for at in range(1440)]
    dependency = Dependency.model_validate({"name": "a"} | window)
    known = {"a": upstream("a", 1440, Verdict.FAILED)}
    answers = gate.answers(runs, [dependency], None, "Asia/Shanghai", known, (), minute(1439))
    return sum(isinstance(answer, gate.Hold) for answer in answers)


def skipped() -> int:
    """How many of many runs that nobody looked at in time overlapped with the one before."""
    units = [
        overlap.Unit(f"d-{at}", minute(at), minute(at), released=True, ended=minute(at) + 90 * SECOND)
        if at % 2
        else overlap.Unit(f"d-{at}", minute(at), minute(at))
        for at in range(8000)
    ]
    return len(overlap.decide(units, ConcurrencyPolicy.FORBID, 100).ends)


@pytest.mark.parametrize(
    ("decide", "expected"),
    [
        pytest.param(lambda: newly_met([{}]), 4000, id="newly-met-of-one"),
        pytest.param(lambda: newly_met([{}, {}]), 4000, id="newly-met-of-two"),
        pytest.param(lambda: newly_met([{}, {"window": DAY}]), 4000, id="newly-met-with-a-guard"),
        pytest.param(lambda: newly_met([{"window": DAY}, {"window": DAY}]), 4000, id="newly-met-in-windows"),
        pytest.param(lambda: newly_met([{"latest": True}, {"latest": True}]), 1, id="newly-met-latest"),
        pytest.param(lambda: held({}), 1440, id="waiting"),
        pytest.param(lambda: held({"window": DAY}), 1440, id="waiting-in-a-window"),
        pytest.param(skipped, 3999, id="overlap"),
    ],
)
def test_no_decision_about_thousands_takes_the_lease(decide: Callable[[], int], expected: int) -> None:
    began = time.process_time()
    assert decide() == expected
    assert time.process_time() - began < RENEW_DEADLINE / 2
