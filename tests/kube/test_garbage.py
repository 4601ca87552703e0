"""A full collection looks at what is new, and once in ten minutes at everything."""

import gc
import weakref
from collections.abc import Iterator

import pytest

from merp_kube import garbage


class Circle:
    def __init__(self) -> None:
        self.itself = self


class Clock:
    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> Iterator[Clock]:
    made = Clock()
    callback = garbage.shorten_pauses(made)
    yield made
    gc.callbacks.remove(callback)
    gc.unfreeze()


def seen_by_a_full_collection(thing: object) -> bool:
    return any(each is thing for each in gc.get_objects())


def test_what_outlives_a_full_collection_is_not_looked_at_again(clock: Clock) -> None:
    held = {"metadata": {"name": "held"}}
    assert seen_by_a_full_collection(held)
    gc.collect(1)
    assert seen_by_a_full_collection(held), "a collection of the young says nothing about the old"
    gc.collect()
    assert not seen_by_a_full_collection(held)


def test_what_was_there_at_the_start_is_not_looked_at(clock: Clock) -> None:
    assert gc.get_freeze_count() > 0
    assert not seen_by_a_full_collection(clock)


def test_new_circles_go_with_every_full_collection(clock: Clock) -> None:
    gc.collect()
    gone = weakref.ref(Circle())
    gc.collect()
    assert gone() is None


def test_a_circle_that_was_set_aside_while_it_was_used_goes_within_ten_minutes(clock: Clock) -> None:
    circle = Circle()
    gone = weakref.ref(circle)
    gc.collect()
    del circle
    clock.seconds = 599.0
    gc.collect()
    assert gone() is not None
    clock.seconds = 600.0
    gc.collect()
    gc.collect()
    assert gone() is None
    assert gc.get_freeze_count() > 0, "and what is left is set aside again"


def test_it_ends_by_reference_count_wherever_it_is(clock: Clock) -> None:
    class Held(dict[str, str]):
        """A dict that can be watched."""

    held = Held(a="b")
    gone = weakref.ref(held)
    gc.collect()
    del held
    assert gone() is None
