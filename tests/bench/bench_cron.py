"""How long the next due time takes, beside croniter, on the same expressions in one run. Printed as ratios."""

import statistics
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from croniter import croniter

sys.path.insert(0, str(Path(__file__).parents[2] / "crds"))

from merp_crds.cron import Cron

START = datetime(2026, 11, 25, 12, 0, 30, tzinfo=UTC)
EXPRESSIONS = ("* * * * *", "*/15 8-18 * * 1-5", "0 0 1 * *", "30 2 * * *", "0 0 29 2 *")
ZONE = "Europe/Berlin"
STEPS = 50
ROUNDS = 7


def seconds(work: Callable[[], object]) -> float:
    """The median of some rounds, side by side with the other's."""
    times = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def ours(expression: str) -> None:
    cron, moment = Cron.parse(expression, ZONE), START
    for _ in range(STEPS):
        due = cron.after(moment)
        if due is None:
            return
        moment = due


def peer(expression: str) -> None:
    walk = croniter(expression, START.astimezone(ZoneInfo(ZONE)))
    for _ in range(STEPS):
        walk.get_next(datetime)


def main() -> None:
    """One line an expression: ours over croniter; below 1 is faster."""
    print(f"next due time, {STEPS} in a row, time of ours / time of croniter")
    for expression in EXPRESSIONS:
        mine, theirs = (
            seconds(lambda expression=expression: ours(expression)),
            seconds(lambda expression=expression: peer(expression)),
        )
        print(f"  {expression:<20} {mine / theirs:6.2f}")


if __name__ == "__main__":
    main()
