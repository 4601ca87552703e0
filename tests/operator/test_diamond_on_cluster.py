"""A diamond, a → b, c → d, over twenty due times, with failures, reruns and kills drawn from a seed, on a real cluster.

No run of d without its b and c, none missing, none twice: so says a checker that knows the specs, the records and the
annotations of the Jobs alone. SEED=1 draws others.
"""

import os
import random
import time
from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cluster_objects import minutely
from kube import Kube
from operator_process import OperatorProcess
from upstream_checker import Record, problems, read_records

from merp_crds import names
from merp_crds.common import rfc3339
from merp_crds.schedule import Timetable
from merp_crds.scheduledjob import Schedule

# Two minutes and a half of due times, and what they leave.
pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1500)]

Json = dict[str, Any]
# Job and number of the due time.
Place = tuple[str, int]

SEED = int(os.environ.get("SEED", "28"))
NEEDS = {"a": "", "b": "a", "c": "a", "d": "bc"}
DUE_TIMES = 20
# About four pods for each, and this machine starts one in a second.
INTERVAL = 7
# From the last due time on: what still runs, and what is run again after it; on a machine that does other things.
REST_SECONDS = 900.0
# What is right must stay so for so long.
QUIET_SECONDS = 15.0
KILLS = 3


class Course:
    """What is to happen: how each run of a due time ends, one after the other, and when the operator dies."""

    def __init__(self, seed: int) -> None:
        drawn = random.Random(seed)
        # Whether the first run fails, and then each rerun.
        self.fails: dict[Place, list[bool]] = {}
        for place in ((job, number) for job in NEEDS for number in range(DUE_TIMES)):
            # Some stay as they failed, some heal at once or later, and some succeed and fail when they run again.
            courses = [[False], [True], [True, False], [True, True, False], [False, True], [False, False]]
            [self.fails[place]] = drawn.choices(courses, [70, 8, 10, 5, 4, 3])
        self.kills = sorted(drawn.sample(range(1, DUE_TIMES), KILLS))

    def reruns(self, records: Sequence[Record], dues: Sequence[datetime]) -> list[tuple[Place, Record]]:
        """Of which run which is the next to be run again; what still runs is waited for."""
        runs: defaultdict[Place, list[Record]] = defaultdict(list)
        for record in (entry for entry in records if entry.due in dues):
            runs[record.job, dues.index(record.due)].append(record)
        return [
            (place, max(found, key=lambda record: record.start))
            for place, found in runs.items()
            if len(found) < len(self.fails[place]) and all(record.end is not None for record in found)
        ]


def diamond(image: str, begin: datetime, failing: dict[str, list[int]]) -> list[Json]:
    end = begin + timedelta(seconds=INTERVAL * (DUE_TIMES - 1))
    schedule = {"intervalSeconds": INTERVAL, "startAt": rfc3339(begin), "endAt": rfc3339(end)}
    jobs = [
        minutely(
            image,
            name,
            dependsOn=[{"name": upstream} for upstream in needs],
            concurrencyPolicy="Allow",
            task={"func": "fail_when_due", "args": [failing[name]]},
            # Of d all Jobs stay, whose annotations are compared; of the others the gate must remember what it saw.
            history={"successful": 100, "failed": 100} if name == "d" else {"successful": 1, "failed": 1},
        )
        for name, needs in NEEDS.items()
    ]
    jobs[0]["spec"]["schedule"] = schedule
    for job in jobs[1:]:
        del job["spec"]["schedule"]
    return jobs


def rerun(kube: Kube, place: Place, number: int, record: Record, *, fails: bool) -> None:
    moments = [int(record.due.timestamp())] if fails else []
    kube.apply(
        {
            "apiVersion": names.API_VERSION,
            "kind": "JobRun",
            "metadata": {"name": f"{place[0]}-{place[1]}-{number}"},
            "spec": {"scheduledJob": place[0], "run": record.run, "args": [moments]},
        }
    )


def test_no_run_of_d_without_its_b_and_c_none_missing_none_twice(
    kube: Kube, operator: OperatorProcess, task_image: str
) -> None:
    course = Course(SEED)
    began = datetime.now(UTC)
    kube.apply(minutely(task_image, "first", suspend=True))
    kube.until("it is ready", lambda: kube.condition("first", "Ready"))
    took = datetime.now(UTC) - began
    # Whole seconds, and far enough away that all four are there before: so much longer than one took.
    begin = (datetime.now(UTC) + timedelta(seconds=10) + 10 * took).replace(microsecond=0)
    dues = [begin + timedelta(seconds=INTERVAL * number) for number in range(DUE_TIMES)]
    failing = {
        job: [int(due.timestamp()) for number, due in enumerate(dues) if course.fails[job, number][0]] for job in NEEDS
    }
    jobs = diamond(task_image, begin, failing)
    timetable = Timetable.of(Schedule.model_validate(jobs[0]["spec"]["schedule"]))
    assert list(timetable.between(begin - timedelta(days=1), begin + timedelta(days=1))) == dues
    kube.apply(*jobs)
    kube.until("all are ready", lambda: all(kube.condition(name, "Ready") for name in NEEDS))
    assert datetime.now(UTC) < begin, "this machine was too slow to make the jobs before they were due"

    asked: set[tuple[Place, int]] = set()
    kills = list(course.kills)
    deadline = dues[-1] + timedelta(seconds=REST_SECONDS)
    while True:
        records = read_records(operator.database)
        wanted = course.reruns(records, dues)
        for place, record in wanted:
            number = sum((record.job, record.due) == (place[0], dues[place[1]]) for record in records)
            if (place, number) not in asked:
                asked.add((place, number))
                rerun(kube, place, number, record, fails=course.fails[place][number])
        if kills and datetime.now(UTC) > dues[kills[0]]:
            kills.pop(0)
            operator.kill()
            operator.start()
        # A run that is made twice may come late: what is right must stay so.
        over = datetime.now(UTC) > dues[-1] + timedelta(seconds=QUIET_SECONDS)
        found = problems(jobs, dues, records, kube.list("jobs"))
        if over and not wanted and not found and all(record.end is not None for record in records):
            break
        assert datetime.now(UTC) < deadline, f"seed {SEED}: {found}, not run again {wanted}"
        time.sleep(0.5)

    for job in NEEDS:
        told = [f"{record.status} ({record.trigger})" for record in records if record.job == job]
        print(job, {word: told.count(word) for word in sorted(set(told))})
    ran = {name: {record.due for record in records if record.job == name} for name in NEEDS}
    assert ran["a"] == set(dues)
    assert len(ran["d"]) > DUE_TIMES / 2
    assert len(asked) > DUE_TIMES / 4
    assert kills == []
    assert "Traceback" not in operator.log.read_text()
