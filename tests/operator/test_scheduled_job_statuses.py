"""When a status is written, and which Events are told with it: a job with one run after the other."""

from datetime import timedelta

import pytest
from cluster_objects import DUE, complete, failed, job
from played_operator import World

from merp_crds import names
from merp_crds.common import rfc3339
from merp_operator import metrics
from merp_operator.event_budget import BURST
from merp_operator.scheduled_job_statuses import distance

Json = dict[str, object]


@pytest.mark.parametrize(
    ("verdicts", "busy", "seconds"),
    [
        pytest.param(0, 0, 1.0, id="no-verdict"),
        pytest.param(1, 1, 1.0, id="one"),
        pytest.param(2, 1, 2.0, id="two"),
        pytest.param(9, 1, 9.0, id="nine"),
        pytest.param(50, 1, 10.0, id="never-longer-than-ten-seconds"),
        pytest.param(1, 2, 1.0, id="two-jobs-with-one-each"),
        pytest.param(1, 20, 8.0, id="twenty-jobs-share-five-writes-in-two-seconds"),
        pytest.param(9, 20, 9.0, id="the-longer-of-the-two"),
        pytest.param(1, 1000, 20.0, id="twenty-seconds-however-many-jobs"),
    ],
)
def test_a_status_that_told_much_is_followed_later(verdicts: int, busy: int, seconds: float) -> None:
    assert distance(verdicts, busy) == seconds


class Runs:
    """A job that nothing starts by itself, and runs of it that are over as soon as they are there."""

    def __init__(self) -> None:
        self.world = World("12:00", created="11:00", schedule=None)
        self._number = 0

    async def end(self, count: int, status: Json | None = None, after: float = 0.0) -> float | None:
        """So many runs end, and so many seconds later somebody looks. Returns when that one is to come back."""
        for _ in range(count):
            self._number += 1
            body = job(
                f"j-r-{self._number}",
                uid=f"run-{self._number}",
                annotations={names.ANNOTATION_DUE_TIME: rfc3339(DUE + timedelta(seconds=self._number))},
                labels={names.LABEL_TRIGGER: "manual"},
                status=complete() if status is None else status,
            )
            self.world.cluster.put(self.world.cluster.jobs, body)
        self.world.show()
        return await self.world.look(after)

    @property
    def writes(self) -> int:
        """How often the status was written."""
        return len(self.world.cluster.written("write_status"))

    @property
    def told(self) -> int:
        """How many Events there were of verdicts."""
        return len(self.world.cluster.written("create_event")) - 1


async def quiet() -> Runs:
    """All is written of a job without runs; its definition is good, which one Event said."""
    runs = Runs()
    await runs.world.settle()
    assert (runs.writes, len(runs.world.cluster.written("create_event"))) == (1, 1)
    return runs


async def test_without_news_nothing_is_written() -> None:
    runs = await quiet()
    assert await runs.end(0, after=100) is None
    assert runs.writes == 1


async def test_a_single_verdict_is_written_at_once() -> None:
    runs = await quiet()
    await runs.end(1)
    assert (runs.writes, runs.told) == (2, 1)


async def test_the_next_one_is_written_after_a_second() -> None:
    runs = await quiet()
    await runs.end(1)
    assert await runs.end(1, after=0.25) == 0.75
    assert runs.writes == 2
    await runs.world.look(0.75)
    assert (runs.writes, runs.told) == (3, 2)


async def test_after_many_verdicts_the_next_ones_are_written_together() -> None:
    runs = await quiet()
    await runs.end(4)
    assert await runs.end(3, after=1.0) == 3.0
    assert await runs.end(3, after=2.0) == 1.0
    await runs.world.look(1.0)
    assert (runs.writes, runs.told) == (3, 10)


def begun(runs: Runs) -> None:
    """A run is there that has not ended."""
    body = job("j-r-begun", uid="begun", annotations={names.ANNOTATION_DUE_TIME: rfc3339(DUE)})
    runs.world.cluster.put(runs.world.cluster.jobs, body)
    runs.world.show()


async def test_a_verdict_after_a_quiet_time_is_written_at_once_however_busy_others_are() -> None:
    runs = await quiet()
    await runs.world.look(60.0)
    for number in range(1000):
        runs.world.statuses._note(("ns", f"other-{number}"), 1)
    begun(runs)
    await runs.world.look(1.0)
    assert runs.writes == 2
    assert await runs.end(1, after=0.5) == 0.5
    await runs.world.look(0.5)
    assert (runs.writes, runs.told) == (3, 1)
    # Now it is one of the busy ones.
    assert await runs.end(1, after=2.0) == 18.0


async def test_others_are_busy_for_forty_seconds() -> None:
    runs = await quiet()
    for number in range(1000):
        runs.world.statuses._note(("ns", f"other-{number}"), 1)
    await runs.end(1)
    assert await runs.end(1, after=5.0) == 15.0
    await runs.world.look(15.0)
    assert runs.writes == 3
    await runs.end(1, after=21.0)
    assert await runs.end(1, after=0.25) == 0.75


async def test_that_a_run_began_is_written_with_what_comes_where_many_are_busy() -> None:
    runs = await quiet()
    for number in range(1000):
        runs.world.statuses._note(("ns", f"other-{number}"), 1)
    await runs.end(1)
    begun(runs)
    assert await runs.world.look(2.0) == 18.0


async def test_a_failure_is_written_after_a_second_also_after_many_verdicts() -> None:
    runs = await quiet()
    await runs.end(4)
    await runs.end(1, failed("BackoffLimitExceeded"), after=1.0)
    assert (runs.writes, runs.told) == (3, 5)


async def test_what_others_wait_for_is_written_after_a_second_also_after_many_verdicts() -> None:
    runs = await quiet()
    body = runs.world.watch.scheduled_jobs.get("ns", "j")
    assert body is not None
    waits = body | {"metadata": body["metadata"] | {"name": "d", "uid": "d"}, "spec": {"dependsOn": [{"name": "j"}]}}
    runs.world.watch.scheduled_jobs.put(waits)
    await runs.end(4)
    await runs.end(1, after=1.0)
    assert runs.writes == 3


async def test_a_pause_is_written_at_once_also_after_many_verdicts() -> None:
    runs = await quiet()
    await runs.end(4)
    runs.world.edit(suspend=True)
    await runs.world.look(0.1)
    assert runs.writes == 3


async def test_of_successes_a_job_tells_a_burst_and_the_rest_is_counted() -> None:
    runs = await quiet()
    before = metrics.EVENTS_WITHHELD_TOTAL._value.get()
    await runs.end(BURST + 5)
    assert runs.told == BURST
    assert metrics.EVENTS_WITHHELD_TOTAL._value.get() - before == 5


async def test_failures_are_told_all() -> None:
    runs = await quiet()
    await runs.end(BURST + 5, failed("BackoffLimitExceeded"))
    assert runs.told == BURST + 5


async def test_every_verdict_is_counted_also_those_that_the_status_never_lists() -> None:
    runs = await quiet()
    counter = metrics.RUNS_TOTAL.labels("ns", "success", "manual")
    before = counter._value.get()
    await runs.end(50)
    await runs.end(0, after=10)
    await runs.end(3)
    await runs.world.look(10)
    assert counter._value.get() - before == 53
    runs.world.start_process()
    await runs.world.settle()
    assert counter._value.get() - before == 53


async def test_a_job_goes_only_after_its_verdict_is_in_the_status() -> None:
    runs = await quiet()
    await runs.end(4)
    await runs.end(4, after=1.0)
    runs.world.now += timedelta(minutes=5)
    await runs.world.look(1.0)
    # Three are kept by `history`. Of the others the first four were told of.
    assert (runs.writes, runs.world.cluster.written("delete_job")) == (2, [f"j-r-{number}" for number in range(1, 5)])
    runs.world.show()
    await runs.world.look(2.0)
    assert (runs.writes, runs.world.cluster.written("delete_job")[4:]) == (3, ["j-r-5"])
