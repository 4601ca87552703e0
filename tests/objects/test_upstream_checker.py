"""The checker itself: records that are right, and what it says of each way in which they are not."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from upstream_checker import Record, problems

from merp_crds import names

DUES = [datetime(2026, 12, 1, 2, minute, tzinfo=UTC) for minute in range(2)]
JOBS: list[dict[str, Any]] = [
    {"metadata": {"name": name}, "spec": {"dependsOn": [{"name": upstream} for upstream in needs]}}
    for name, needs in {"a": "", "b": "a", "c": "a", "d": "bc"}.items()
]


def record(text: str) -> Record:
    """`d0 success 30 b0 c0`: the run of d for the first due time, over so many seconds after it; `-` while it runs.

    `b0#2` is a rerun. It began when the due time was ten seconds old, or twenty, or thirty: a, b and c, d.
    """
    run, status, seconds, *openers = text.split()
    job, due = run[0], DUES[int(run[1])]
    start = due + timedelta(seconds={"a": 10, "b": 20, "c": 20, "d": 30}[job])
    end = None if seconds == "-" else due + timedelta(seconds=int(seconds))
    trigger = "retry" if "#" in run else "dependency"
    return Record(job, run, due, trigger, status, start, end, tuple((opener[0], opener) for opener in openers))


GOOD = ["a0 success 15", "b0 success 25 a0", "c0 success 25 a0", "d0 success 35 b0 c0"]
SECOND = ["a1 failed 15"]


def changed(**lines: str) -> list[str]:
    """The good records with other lines for some runs; an empty one takes the run away."""
    return [line for line in (lines.get(text.split()[0], text) for text in GOOD) if line] + SECOND


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        pytest.param(changed(), [], id="does-nothing-all-is-well"),
        pytest.param(
            [*changed(), "a1#2 success 18", "b1 success 25 a1#2", "c1 failed 25 a1#2"], [], id="does-nothing-d-waits-for-c"
        ),
        pytest.param([*changed(), "b0#2 failed 99 a0", "d0#2 success 99 b0 c0"], [], id="does-nothing-reruns"),
        pytest.param([*changed(), "b1 skipped 20"], [], id="does-nothing-what-was-skipped-did-not-run"),
        pytest.param(changed(d0=""), ["d of 0 is missing"], id="missing"),
        pytest.param(
            [*changed(d0="", c0="c0 failed 25 a0"), "c0#2 success 40 a0"], ["d of 0 is missing"], id="healed-and-missing"
        ),
        pytest.param(changed(a0="a0 running -", b0="", c0="", d0=""), [], id="does-nothing-a-still-runs"),
        pytest.param(
            [*changed(), "d0x success 36 b0 c0"],
            ["d of 0 ran 2 times: ['d0', 'd0x']", "b0 of b opened d 2 times", "c0 of c opened d 2 times"],
            id="twice",
        ),
        pytest.param(
            changed(d0="d0 success 35 b0"), ["d0 waits for ['b', 'c'] and was opened by (('b', 'b0'),)"], id="without-its-c"
        ),
        pytest.param(
            changed(c0="c0 failed 25 a0"), ["d0 began at 0+30, and c0 ended as failed at 0+25"], id="its-c-failed"
        ),
        pytest.param(
            changed(c0="c0 success 31 a0"), ["d0 began at 0+30, and c0 ended as success at 0+31"], id="before-its-c-had-ended"
        ),
        pytest.param(
            [*changed(), "a1#2 success 18", "b1 success 25 a1#2", "c1 success 25 a0", "d1 success 35 b1 c1"],
            ["c1 of 1 was opened by a0, which is a0", "a0 of a opened c 2 times"],
            id="by-another-due-time",
        ),
        pytest.param(
            changed(d0="d0 success 35 b0 c9"), ["d0 of 0 was opened by c9, which is None"], id="by-what-nobody-knows"
        ),
    ],
)  # fmt: skip
def test_what_it_says(lines: list[str], expected: list[str]) -> None:
    found = problems(JOBS, DUES, [record(line) for line in lines])
    assert [_short(text) for text in found] == expected


def _short(text: str) -> str:
    """Due times as numbers, other moments as seconds after the first one, records as their runs."""
    for second in range(60):
        text = text.replace(f" {DUES[0] + timedelta(seconds=second)}", f" 0+{second}" if second else " 0")
    text = text.replace(f" {DUES[1]}", " 1")
    head, which, tail = text.partition("which is Record")
    return f"{head}which is {tail.split(chr(39))[3]}" if which else text


def test_what_is_not_due_is_told() -> None:
    stray = record("a0 success 15")._replace(run="x", due=DUES[0] + timedelta(seconds=1))
    assert problems(JOBS[:1], DUES[:1], [record("a0 success 15"), stray]) == [
        "x is for 2026-12-01 02:00:01+00:00, which is not due"
    ]


@pytest.mark.parametrize(
    ("opener", "expected"),
    [
        pytest.param("a0", [], id="does-nothing-they-agree"),
        pytest.param("a9", ["b0 was opened by (('a', 'a9'),), and its record says (('a', 'a0'),)"], id="another"),
    ],
)
def test_a_job_and_its_record_say_the_same(opener: str, expected: list[str]) -> None:
    annotations = {names.ANNOTATION_OPENED_BY: f'[{{"upstream":"a","run":"{opener}"}}]'}
    job = {"metadata": {"name": "b0", "annotations": annotations}}
    records = [record("a0 success 15"), record("b0 success 25 a0")]
    assert problems(JOBS[:2], DUES[:1], records, [job]) == expected
