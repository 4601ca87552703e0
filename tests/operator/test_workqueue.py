"""The queue of keys."""

import asyncio
from collections.abc import Callable

import pytest
from played_time import play, seconds

from merp_operator.workqueue import CALM_SECONDS, WorkQueue


def queue() -> WorkQueue[str]:
    return WorkQueue(asyncio.get_running_loop().time)


async def test_a_key_is_in_it_once_however_often_it_is_added() -> None:
    keys = queue()
    for key in ("a", "b", "a"):
        keys.add(key)
    assert [await keys.get(), await keys.get(), len(keys)] == ["a", "b", 0]


async def test_what_is_asked_for_while_it_is_worked_on_comes_again_but_not_to_a_second_worker() -> None:
    keys = queue()
    keys.add("a")
    await keys.get()
    keys.add("a")
    assert len(keys) == 0
    keys.done("a")
    assert await keys.get() == "a"
    keys.done("a")
    assert len(keys) == 0


async def test_what_is_to_come_first_comes_before_all_that_wait() -> None:
    keys = queue()
    for key in ("a", "b", "c"):
        keys.add(key)
    keys.add("c", first=True)
    keys.add("d", first=True)
    keys.add("c")
    assert [await keys.get() for _ in range(4)] == ["c", "d", "a", "b"]


async def test_what_is_to_come_first_while_it_is_worked_on_does_so_when_that_is_done() -> None:
    keys = queue()
    keys.add("a", first=True)
    assert await keys.get() == "a"
    keys.add("b")
    keys.add("a", first=True)
    keys.add("c")
    assert await keys.get() == "b"
    keys.done("a")
    assert [await keys.get(), await keys.get()] == ["a", "c"]
    keys.done("a")
    for key in ("d", "a"):
        keys.add(key)
    assert await keys.get() == "d"


async def test_a_failure_comes_back_later_and_later() -> None:
    keys = queue()
    delays = []
    for _ in range(12):
        keys.add("a")
        await keys.get()
        delays.append(keys.failed("a"))
    assert delays[0] < 0.3
    assert all(delay <= 30 for delay in delays)
    assert delays[-1] > 20
    assert keys.failures("a") == 12
    keys.add("a")
    await keys.get()
    keys.done("a")
    assert keys.failures("a") == 0


async def test_the_earlier_of_two_moments_counts() -> None:
    keys = queue()
    keys.add_after("a", 60)
    keys.add_after("a", 0.01)
    keys.add_after("a", 30)
    async with asyncio.timeout(20):
        assert await keys.get() == "a"


def asked(*wishes: tuple[float, Callable[[WorkQueue[str]], object]], work: float) -> list[float]:
    """When a worker that needs `work` seconds begins with `a`, which is asked for at these moments."""
    begun: list[float] = []

    async def main() -> None:
        keys = queue()

        async def worker() -> None:
            while True:
                await keys.get()
                begun.append(seconds())
                await asyncio.sleep(work)
                keys.done("a")

        busy = asyncio.create_task(worker())
        for moment, wish in wishes:
            await asyncio.sleep(moment - seconds())
            wish(keys)
        await asyncio.sleep(10)
        busy.cancel()

    play(main)
    return begun


def calmly(keys: WorkQueue[str]) -> None:
    keys.add_calmly("a")


def now(keys: WorkQueue[str]) -> None:
    keys.add("a")


@pytest.mark.parametrize(
    ("wishes", "work", "begun"),
    [
        pytest.param([], 0.0, [], id="nobody-asks"),
        pytest.param([(1, calmly)], 0.0, [1], id="the-first-is-at-once"),
        pytest.param([(1, calmly), (2, calmly)], 0.0, [1, 2], id="long-after-it-at-once"),
        pytest.param([(1, calmly), (1.05, calmly), (1.1, calmly)], 0.0, [1, 1 + CALM_SECONDS], id="soon-after-it-together"),
        pytest.param([(1, calmly), (1.05, calmly), (1.1, now)], 0.0, [1, 1.1], id="whoever-is-waited-for-is-not-held-up"),
        pytest.param([(1, calmly), (1.05, now), (1.1, calmly)], 0.0, [1, 1.05, 1.05 + CALM_SECONDS], id="counted-from-the-last-look"),
        pytest.param([(1, now), (1.1, calmly)], 0.5, [1, 1.5 + CALM_SECONDS], id="during-a-look-counted-from-its-end"),
        pytest.param([(1, now), (1.1, calmly), (1.2, now)], 0.5, [1, 1.5], id="during-a-look-the-hurried-counts"),
        pytest.param([(1, now), (1.1, now), (1.2, calmly)], 0.5, [1, 1.5], id="in-either-order"),
    ],
)  # fmt: skip
def test_what_nobody_waits_for_comes_a_while_after_the_look_before(
    wishes: list[tuple[float, Callable[[WorkQueue[str]], object]]], work: float, begun: list[float]
) -> None:
    assert asked(*wishes, work=work) == begun


def test_nothing_is_remembered_of_keys_that_were_done_long_ago() -> None:
    async def main() -> int:
        keys = queue()
        for number in range(100):
            keys.add(str(number))
            keys.done(await keys.get())
            await asyncio.sleep(CALM_SECONDS)
        return len(keys._done_at)

    assert play(main) == 1
