"""The second clock, on a loop whose time passes at once: when it looks, what it starts first, and what it does on errors."""

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import cast

import pytest
from played_time import BEGIN, now, play, seconds

from merp_crds.reasons import Trigger
from merp_crds.scheduledjob import Priority
from merp_kube.client import ApiError, Unreachable
from merp_operator.accounting import Start
from merp_operator.clock import Clock, Due
from merp_operator.own import Key

# How many creates the API server is asked for at a time, and how long one takes here.
PARALLEL = 32
ANSWER = 0.2


def key(name: str) -> Key:
    return "ns", name


def due(name: str, priority: Priority = Priority.NORMAL) -> Due:
    return Due(key(name), priority, Start(BEGIN, Trigger.SCHEDULE))


@dataclass
class Day:
    """A clock, what is due, and what came of it: (seconds since the beginning, name) in the order in which it was."""

    # What is due of each ScheduledJob until it is started.
    wanted: dict[str, Due] = field(default_factory=dict)
    answer: float = ANSWER
    # How far this machine's time is from the server's.
    set_by: timedelta = timedelta()
    looks: list[tuple[float, str]] = field(default_factory=list)
    asked: list[tuple[float, str]] = field(default_factory=list)
    answered: list[tuple[float, str]] = field(default_factory=list)
    # What a look, or a start, of that name raises.
    look_errors: dict[str, Exception] = field(default_factory=dict)
    start_errors: dict[str, Exception] = field(default_factory=dict)
    # What a look that follows a start does.
    then: Callable[[Key], None] = lambda _: None

    def __post_init__(self) -> None:
        self.clock = Clock(now=self.now, due=self._due, start=self._start, started=lambda item: self.then(item))

    def now(self) -> datetime:
        return now() + self.set_by

    def plan(self, name: str, after: float = 0.0) -> None:
        """Have it looked at so many seconds after the beginning."""
        self.clock.plan(key(name), BEGIN + timedelta(seconds=after))

    def _due(self, item: Key) -> list[Due]:
        self.looks.append((seconds(), item[1]))
        if item[1] in self.look_errors:
            raise self.look_errors[item[1]]
        return [self.wanted[item[1]]] if item[1] in self.wanted else []

    async def _start(self, item: Due) -> None:
        name = item.key[1]
        self.asked.append((seconds(), name))
        await asyncio.sleep(self.answer)
        if name in self.start_errors:
            raise self.start_errors[name]
        self.answered.append((seconds(), name))
        self.wanted.pop(name, None)

    async def run(self, until: float) -> None:
        """Let it go, up to that many seconds after the beginning."""
        task = asyncio.create_task(self.clock.run())
        await asyncio.sleep(until - seconds())
        assert not task.done()
        task.cancel()


@pytest.mark.parametrize(
    ("plans", "expected"),
    [
        pytest.param([("a", 10.0)], [(10.0, "a")], id="at-its-moment"),
        pytest.param([("a", 10.0), ("a", 4.0)], [(4.0, "a")], id="earlier-wins"),
        pytest.param([("a", 4.0), ("a", 10.0)], [(4.0, "a")], id="later-is-no-second-look"),
        pytest.param([("a", -60.0)], [(0.0, "a")], id="at-once-where-it-has-passed"),
        pytest.param([("a", 7200.0), ("b", 3.0)], [(3.0, "b"), (7200.0, "a")], id="each-at-its-own"),
        pytest.param([("a", 7400.0)], [], id="does-nothing-before"),
    ],
)
def test_each_is_looked_at_once_when_it_was_asked_for(
    plans: list[tuple[str, float]], expected: list[tuple[float, str]]
) -> None:
    async def main() -> Day:
        day = Day()
        for name, after in plans:
            day.plan(name, after)
        await day.run(until=7300.0)
        return day

    day = play(main)
    assert (day.looks, day.asked) == (expected, [])


def test_an_earlier_moment_that_is_asked_for_while_it_waits_counts() -> None:
    async def main() -> Day:
        day = Day()
        day.plan("a", 3600.0)
        asyncio.get_running_loop().call_later(7.5, day.plan, "b", 8.0)
        await day.run(until=10.0)
        return day

    assert play(main).looks == [(8.0, "b")]


def test_a_batch_is_started_highest_priority_first_and_no_lower_one_before_the_higher_are_answered() -> None:
    async def main() -> Day:
        day = Day({"l": due("l", Priority.LOW), "n": due("n"), "h": due("h", Priority.HIGH)})
        for name in day.wanted:
            day.plan(name, 1.0)
        await day.run(until=5.0)
        return day

    day = play(main)
    assert day.asked == [(1.0, "h"), (1.2, "n"), (1.4, "l")]
    assert day.answered == [(1.2, "h"), (1.4, "n"), (1.6, "l")]


def test_of_one_priority_the_oldest_due_time_goes_first() -> None:
    async def main() -> Day:
        times = {"new": BEGIN, "old": BEGIN - timedelta(minutes=1)}
        day = Day({name: Due(key(name), Priority.NORMAL, Start(at, Trigger.SCHEDULE)) for name, at in times.items()})
        day.wanted |= {f"x{number:02}": due(f"x{number:02}") for number in range(PARALLEL)}
        for name in day.wanted:
            day.plan(name)
        await day.run(until=1.0)
        return day

    day = play(main)
    assert day.asked[0] == (0.0, "old")
    assert len(day.asked) == PARALLEL + 2


def test_a_start_that_hangs_holds_back_lower_priorities_for_five_seconds() -> None:
    async def main() -> Day:
        day = Day({"h": due("h", Priority.HIGH), "l": due("l", Priority.LOW)}, answer=60.0)
        day.plan("h")
        day.plan("l")
        await day.run(until=90.0)
        return day

    assert play(main).asked == [(0.0, "h"), (5.0, "l")]


def test_so_many_are_asked_for_at_a_time_and_all_of_them_are() -> None:
    async def main() -> Day:
        day = Day({f"{number:03}": due(f"{number:03}") for number in range(3 * PARALLEL + 1)})
        for name in list(day.wanted):
            day.plan(name)
        await day.run(until=5.0)
        return day

    times = Counter(moment for moment, _ in play(main).asked)
    assert times == {0.0: PARALLEL, 0.2: PARALLEL, 0.4: PARALLEL, 0.6: 1}


def test_a_high_priority_goes_before_all_that_still_wait_of_an_earlier_batch() -> None:
    async def main() -> Day:
        day = Day({f"{number:03}": due(f"{number:03}", Priority.LOW) for number in range(10 * PARALLEL)})
        for name in list(day.wanted):
            day.plan(name)
        day.wanted["high"] = due("high", Priority.HIGH)
        day.plan("high", 0.5)
        await day.run(until=5.0)
        return day

    day = play(main)
    assert [moment for moment, name in day.asked if name == "high"] == [0.6]
    assert sum(moment < 0.6 for moment, _ in day.asked) == 3 * PARALLEL
    assert len(day.asked) == 10 * PARALLEL + 1


def test_what_is_being_started_is_not_started_again() -> None:
    """Each look finds it due for as long as its Job is not there, and asks for the clock at once."""

    async def main() -> Day:
        day = Day({f"{number:03}": due(f"{number:03}") for number in range(2 * PARALLEL)}, answer=7.0)
        for second in range(14):
            for name in day.wanted:
                asyncio.get_running_loop().call_later(second, day.plan, name)
        await day.run(until=20.0)
        return day

    day = play(main)
    assert max(Counter(name for _, name in day.asked).values()) == 1
    assert max(Counter(name for _, name in day.looks).values()) > 1


def test_what_was_started_may_be_due_again() -> None:
    async def main() -> Day:
        day = Day({"a": due("a")})
        day.plan("a")
        asyncio.get_running_loop().call_later(60.0, day.wanted.__setitem__, "a", due("a"))
        day.plan("b", 61.0)
        asyncio.get_running_loop().call_later(60.5, day.plan, "a", 61.0)
        await day.run(until=70.0)
        return day

    assert play(main).asked == [(0.0, "a"), (61.0, "a")]


ERRORS = [
    pytest.param(ApiError(403, {"message": "a quota is against it"}), id="refused"),
    pytest.param(Unreachable("no answer"), id="unreachable"),
    pytest.param(ValueError("a bug"), id="bug"),
]
# Seconds between the tries: doubled from one to half a minute.
DELAYS = [1, 2, 4, 8, 16, 32, 32]


@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize("hastened", [False, True], ids=["left-alone", "looked-at-meanwhile"])
def test_a_start_that_fails_is_tried_again_later_and_later(error: Exception, hastened: bool) -> None:
    """A look that follows finds the run still due, and must not hasten the next try."""

    async def main() -> Day:
        day = Day({"a": due("a")}, answer=0.0, start_errors={"a": error})
        if hastened:
            day.then = lambda item: day.plan(item[1])
        day.plan("a")
        await day.run(until=100.0)
        return day

    tries = [moment for moment, _ in play(main).asked]
    assert tries == [sum(DELAYS[:number]) for number in range(len(DELAYS) + 1)]


def test_after_a_success_the_next_failure_is_the_first_one_again() -> None:
    async def main() -> Day:
        day = Day({"a": due("a")}, answer=0.0, start_errors={"a": Unreachable("no answer")})

        def mend() -> None:
            day.start_errors.clear()

        def fail_again() -> None:
            day.start_errors["a"] = Unreachable("no answer")
            day.wanted["a"] = due("a")
            day.plan("a", 50.0)

        day.plan("a")
        asyncio.get_running_loop().call_later(2.0, mend)
        asyncio.get_running_loop().call_later(50.0, fail_again)
        await day.run(until=54.0)
        return day

    assert [moment for moment, _ in play(main).asked] == [0.0, 1.0, 3.0, 50.0, 51.0, 53.0]


def test_what_failed_and_is_not_due_any_more_can_be_planned_again() -> None:
    async def main() -> Day:
        day = Day({"a": due("a")}, answer=0.0, start_errors={"a": Unreachable("no answer")})
        day.plan("a")
        asyncio.get_running_loop().call_later(0.5, day.wanted.clear)
        asyncio.get_running_loop().call_later(2.0, day.plan, "a", 2.5)
        await day.run(until=5.0)
        return day

    day = play(main)
    assert ([moment for moment, _ in day.looks], len(day.asked)) == ([0.0, 1.0, 2.5], 1)


def test_a_look_that_raises_stops_no_other_and_is_tried_again_later_and_later() -> None:
    async def main() -> Day:
        day = Day({"a": due("a"), "b": due("b"), "c": due("c")}, look_errors={"b": OSError("the catalogue is away")})
        for name in day.wanted:
            day.plan(name)
        asyncio.get_running_loop().call_later(4.0, day.look_errors.clear)
        await day.run(until=20.0)
        return day

    day = play(main)
    assert day.asked == [(0.0, "a"), (0.0, "c"), (7.0, "b")]
    assert [moment for moment, name in day.looks if name == "b"] == [0.0, 1.0, 3.0, 7.0]


@pytest.mark.parametrize(
    ("set_by", "expected"),
    [
        pytest.param(timedelta(hours=6), [5.0], id="forward"),
        pytest.param(timedelta(hours=-6), [], id="back"),
        pytest.param(timedelta(), [], id="does-nothing-unset"),
    ],
)
def test_a_time_that_was_set_is_noticed_within_five_seconds(set_by: timedelta, expected: list[float]) -> None:
    async def main() -> Day:
        day = Day()
        day.plan("a", 6 * 3600.0)
        asyncio.get_running_loop().call_later(3.0, setattr, day, "set_by", set_by)
        await day.run(until=3600.0)
        return day

    assert [moment for moment, _ in play(main).looks] == expected


def test_others_have_their_turn_while_thousands_are_looked_at() -> None:
    """The renewal of the lease must not wait for all of them."""

    async def main() -> tuple[int, int]:
        day, most = Day(), 0
        for number in range(2000):
            day.plan(str(number))

        async def renew() -> None:
            nonlocal most
            # More turns than the clock needs, or its time would never pass.
            for _ in range(2000):
                before = len(day.looks)
                await asyncio.sleep(0)
                most = max(most, len(day.looks) - before)

        task = asyncio.create_task(renew())
        await day.run(until=1.0)
        await task
        return most, len(day.looks)

    assert play(main) == (20, 2000)


def test_it_is_idle_but_for_while_a_batch_is_started() -> None:
    async def main() -> list[bool]:
        day = Day({"a": due("a"), "b": due("b")}, answer=2.0)
        day.plan("a", 1.0)
        day.plan("b", 2.0)
        found: list[bool] = []
        for moment in (0.5, 1.5, 2.5, 3.5, 4.5):
            asyncio.get_running_loop().call_later(moment, lambda: found.append(day.clock.idle.is_set()))
        await day.run(until=5.0)
        return found

    assert play(main) == [True, False, False, False, True]


def test_starts_that_hang_again_and_again_stop_nobody_else() -> None:
    async def main() -> tuple[float, list[tuple[float, str]]]:
        hanging = {f"hangs-{number}": due(f"hangs-{number}", Priority.HIGH) for number in range(40)}
        day = Day(hanging, answer=10.0)
        day.start_errors = dict.fromkeys(hanging, Unreachable("the webhook does not answer"))
        for number, name in enumerate(hanging):
            day.plan(name, number / 10)
        busy = 0

        async def watch() -> None:
            nonlocal busy
            # The first failures of all of them, and their retries after that.
            await asyncio.sleep(60.0)
            for _ in range(240):
                busy += not day.clock.idle.is_set()
                await asyncio.sleep(1.0)

        watching = asyncio.create_task(watch())
        asyncio.get_running_loop().call_later(100.0, lambda: day.wanted.update(low=due("low", Priority.LOW)))
        day.plan("low", 101.0)
        await day.run(until=300.0)
        await watching
        return busy / 240, [entry for entry in day.asked if entry[1] == "low"]

    busy, asked = play(main)
    assert busy < 0.1
    assert asked == [(101.0, "low")]


def test_others_do_not_wait_for_ever_where_one_after_the_other_hangs() -> None:
    async def main() -> float:
        day = Day({f"hangs-{number}": due(f"hangs-{number}") for number in range(10)}, answer=10.0)
        for number in range(10):
            day.plan(f"hangs-{number}", 1.0 + number)
        task = asyncio.create_task(day.clock.run())
        await asyncio.sleep(1.5)
        await day.clock.turn_of_others()
        task.cancel()
        return seconds()

    assert play(main) == 6.5


def test_a_bug_in_a_batch_ends_it() -> None:
    """What is due of such a priority can never be started: nobody would see that the clock stands still."""

    async def main() -> None:
        day = Day({"a": due("a", cast(Priority, "urgent"))})
        day.plan("a", 1.0)
        await asyncio.wait_for(day.clock.run(), timeout=10.0)

    with pytest.raises(KeyError, match="urgent"):
        play(main)
