"""Times and durations that the schema lets in and that no computer can add or subtract: told, or taken as for ever."""

from typing import Any

import pytest
from cluster_objects import job, job_run
from due_times import at
from gate_answers import told, waiting
from played_cluster import KEY
from played_operator import MINUTELY, World
from upstream_runs import up

from merp_crds import names
from merp_operator import observe

FOR_EVER = "999999d999999d"


async def test_a_run_may_be_started_for_ever_late() -> None:
    world = World("12:00", created="11:00", schedule={"cron": "*/5 * * * *"}, missed={"maxAge": FOR_EVER})
    await world.settle()
    world.now = at("12:22:30")
    await world.settle()
    assert await world.clock() == ["12:20:00 catch-up"]


def test_an_upstreams_run_may_be_as_old_as_it_is() -> None:
    dependencies = [{"name": "a", "window": {"within": FOR_EVER}}]
    upstreams = [up("a", "01:00 success 01:01")]
    assert told([waiting("02:00")], dependencies, upstreams, "02:00") == ["d@02:00 open by a@01:00"]


@pytest.mark.parametrize("text", ["9999-12-31T23:59:59Z", "9999-12-31T23:59:59-10:00", "0001-01-01T00:00:00+10:00"])
async def test_a_time_at_the_end_of_all_time_is_refused_by_name(text: str) -> None:
    world = World("12:00", created="11:00", schedule={"at": text})
    await world.settle()
    [ready] = [entry for entry in world.status["conditions"] if entry["type"] == "Ready"]
    assert (ready["status"], ready["reason"]) == ("False", "InvalidSchedule")
    assert ready["message"].startswith("schedule.at: ")
    assert ready["message"].endswith(" cannot be counted with: write a year from 1970 to 9900")


def test_a_request_for_such_a_time_is_refused_by_name() -> None:
    request = observe.read_request(job_run(dueTime="9999-12-31T23:59:59Z"))
    assert request.problem.startswith("dueTime: ")


@pytest.mark.parametrize(
    "written",
    [
        pytest.param({names.ANNOTATION_DUE_TIME: "9999-12-31T23:59:59Z"}, id="the-end-of-all-time"),
        pytest.param({names.ANNOTATION_DUE_TIME: "tomorrow"}, id="no-time"),
        pytest.param({names.ANNOTATION_CRONJOB_TIME: "2026-11-25T12:00:00"}, id="no-zone"),
    ],
)
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        pytest.param("j-29926799", "11:59:00", id="its-name-says-one"),
        pytest.param("j-253402300799", "12:00:00", id="nor-does-its-name"),
    ],
)
async def test_a_job_on_which_somebody_wrote_no_due_time_stops_nothing(
    written: dict[str, str], name: str, expected: str
) -> None:
    world = World("12:00", created="11:59:30", schedule=MINUTELY)
    body: Any = job(name, annotations=written)
    world.cluster.put(world.cluster.jobs, body)
    world.show()
    await world.settle()
    [entry] = world.status["active"]
    assert (entry["run"], entry["dueTime"][11:19]) == (name, expected)
    assert KEY in world.cluster.cron_jobs
