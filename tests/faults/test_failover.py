"""Two operators, one killed again and again: one Job and one record for each due time."""

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cluster_objects import minutely
from durations import Durations
from kube import Kube
from ledger import Ledger, made_twice
from operator_process import OperatorProcess

from merp_crds.common import rfc3339
from merp_crds.schedule import Timetable
from merp_crds.scheduledjob import Schedule

pytestmark = [pytest.mark.cluster, pytest.mark.faults]

KILL_SECONDS = 20.0


@pytest.mark.timeout(1500)  # the long form kills for ten minutes
def test_one_job_and_one_record_for_each_due_time(
    kube: Kube, task_image: str, tmp_path: Path, durations: Durations
) -> None:
    database = tmp_path / "records.db"
    lease = {"MERP_LEASE_NAMESPACE": kube.namespace, "MERP_SQLITE_PATH": str(database)}
    operators = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        operators.append(OperatorProcess(tmp_path / name, kube.cluster.kubeconfig, kube.namespace, **lease))
        operators[-1].start()
    begin = datetime.now(UTC)
    moment = (begin + timedelta(seconds=durations.kills / 2)).replace(microsecond=0)
    interval, once = {"intervalSeconds": 45}, {"at": rfc3339(moment)}
    kube.apply(
        minutely(task_image, "interval", schedule=interval, missed={"policy": "All"}),
        minutely(task_image, "once", schedule=once),
    )
    kube.until("both are accounted for", lambda: all(kube.condition(name, "Ready") for name in ("interval", "once")))
    accounted = datetime.now(UTC)

    last = time.monotonic() + durations.kills
    # Also where a start takes long.
    least = durations.kills / KILL_SECONDS / 2
    killed = 0
    while time.monotonic() < last or killed < least:
        # The kills come by the clock, whatever the operators are doing.
        time.sleep(KILL_SECONDS)
        victim = operators[killed % 2]
        victim.kill()
        victim.start()
        killed += 1
    end = datetime.now(UTC)

    ledger = Ledger(database)
    every = Timetable.of(Schedule.model_validate(interval))
    only = Timetable.of(Schedule.model_validate(once))
    kube.until("interval is settled", lambda: not ledger.faults("interval", every, accounted, end))
    kube.until("once is settled", lambda: not ledger.faults("once", only, accounted, end))
    assert {operator.stop() for operator in operators} == {0}
    assert made_twice(kube.cluster, kube.namespace) == []
    assert [kind.verdict for [kind] in ledger.verdicts("once", only).values()] == ["success"]
    assert {kind.verdict for [kind] in ledger.verdicts("interval", every).values()} == {"success"}
