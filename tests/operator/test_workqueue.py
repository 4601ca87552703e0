"""The queue of keys."""

import asyncio

from merp_operator.workqueue import WorkQueue


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
    async with asyncio.timeout(2):
        assert await keys.get() == "a"
