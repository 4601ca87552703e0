"""Whether every dependent has seen the end of a run before its Job goes."""

import pytest

from merp_operator.looks import Looks

UP, DOWN = ("ns", "up"), ("ns", "down")


@pytest.mark.parametrize(
    ("story", "expected"),
    [
        pytest.param([], False, id="does-nothing-nobody-looked"),
        pytest.param([(UP, True)], False, id="the-dependent-did-not-look"),
        pytest.param([(DOWN, False), (UP, True)], False, id="it-looked-before-the-end"),
        pytest.param([(DOWN, True), (UP, True)], True, id="it-saw-the-end-first"),
        pytest.param([(UP, True), (DOWN, True)], True, id="it-looked-after"),
        pytest.param([(DOWN, False), (UP, True), (DOWN, True)], True, id="it-looked-again"),
    ],
)
def test_a_job_goes_when_its_dependent_is_past_it(story: list[tuple[tuple[str, str], bool]], expected: bool) -> None:
    looks = Looks()
    for key, sees in story:
        number = looks.begin()
        if sees:
            looks.ended("job-1", number)
        looks.done(key, number)
    assert looks.are_past("job-1", [DOWN]) is expected
    assert looks.are_past("job-1", [])


def test_a_look_that_failed_saw_nothing() -> None:
    looks = Looks()
    number = looks.begin()
    looks.ended("job-1", number)
    assert not looks.are_past("job-1", [DOWN])
    looks.done(DOWN, looks.begin())
    assert looks.are_past("job-1", [DOWN])
    looks.forget_job(DOWN)
    assert not looks.are_past("job-1", [DOWN])
