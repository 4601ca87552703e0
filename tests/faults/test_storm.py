"""Three hundred jobs due at one minute, on the stock controller: all start at once, the important ones first."""

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cluster_objects import minutely
from kube import Kube
from ledger import Ledger, creations, made_twice
from operator_process import OperatorProcess

from merp_crds import names
from merp_crds.schedule import Timetable
from merp_crds.scheduledjob import Schedule

pytestmark = [pytest.mark.cluster, pytest.mark.faults, pytest.mark.storm]

JOBS = 300
# The native clock alone makes about nine Jobs a second, so it would take over thirty.
SECONDS = 10.0
PRIORITIES = ("low", "normal", "high")
# No node has this label: the runs stay unfinished, and no pod starts.
NOWHERE = {"kubernetes.io/hostname": "nowhere"}


@pytest.mark.timeout(600)  # the jobs are made before the minute, and the second minute is seen through
def test_three_hundred_jobs_of_one_minute(kube: Kube, task_image: str, tmp_path: Path) -> None:
    operator = OperatorProcess(tmp_path, kube.cluster.kubeconfig, kube.namespace)
    operator.start()
    # The next minute that is far enough away that all of them are there before.
    due = (datetime.now(UTC) + timedelta(seconds=105)).replace(second=0, microsecond=0)
    following = due + timedelta(minutes=1)
    cron = f"{due.minute},{following.minute} * * * *"
    jobs = {f"j{number:03}": PRIORITIES[number % 3] for number in range(JOBS)}
    template = {"image": task_image, "nodeSelector": NOWHERE}
    kube.apply(
        *(
            minutely(task_image, name, schedule={"cron": cron}, priority=priority, template=template)
            for name, priority in jobs.items()
        )
    )
    kube.until("all are ready", lambda: len(kube.list("cronjobs")) == JOBS, 60)
    assert datetime.now(UTC) < due, "this machine was too slow to make the jobs before they were due"

    # The due time comes by the clock.
    time.sleep((due - datetime.now(UTC)).total_seconds())
    expected = {names.run_name_for_due_time(name, due): priority for name, priority in jobs.items()}
    kube.until("all Jobs are made", lambda: len(kube.list("jobs")) == JOBS, 60)
    first = [creation for creation in creations(kube.cluster, kube.namespace) if creation.name in expected]
    assert {creation.name for creation in first} == set(expected)
    seconds = (first[-1].at - due).total_seconds()
    ours = [creation for creation in first if creation.user == "admin"]
    print(f"{JOBS} Jobs within {seconds:.1f} s, {len(ours)} of them by the operator")
    assert seconds <= SECONDS

    ranks = [PRIORITIES.index(expected[creation.name]) for creation in ours]
    assert len(ours) > JOBS / 2
    assert ranks == sorted(ranks, reverse=True)

    # A job that comes now starts natively, in the next minute already; the runs are unfinished, so theirs is skipped.
    kube.apply(minutely(task_image, "later"))
    timetable = Timetable.of(Schedule(cron=cron))
    ledger = Ledger(operator.database)
    kube.until(
        "the second minute is told",
        lambda: all(following in ledger.verdicts(name, timetable) for name in jobs),
        (following - datetime.now(UTC)).total_seconds() + 60,
    )
    verdicts = {ledger.verdicts(name, timetable)[following][0][:2] for name in jobs}
    assert verdicts == {("skipped", "Overlap")}
    native = kube.until(
        "the native clock starts a Job",
        lambda: [
            creation
            for creation in creations(kube.cluster, kube.namespace)
            if creation.name.startswith("later-") and creation.user != "admin"
        ],
        180,
    )
    assert native
    assert made_twice(kube.cluster, kube.namespace) == []
    assert operator.stop() == 0
