"""With the native clock, the operator, or both away for minutes every due time still ends in exactly one verdict."""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cluster_objects import minutely
from durations import Durations
from kube import Kube
from ledger import Ledger, made_twice
from operator_process import OperatorProcess

from merp_cluster.cluster import Cluster
from merp_crds.schedule import Timetable
from merp_crds.scheduledjob import Schedule

pytestmark = [pytest.mark.cluster, pytest.mark.faults]

Json = dict[str, Any]
EVERY_MINUTE = Timetable.of(Schedule(cron="* * * * *"))
EVERY_OTHER = Timetable.of(Schedule(cron="*/2 * * * *"))
POLICIES = ("latest", "skip", "all")
PAUSED = "scheduler.merp.io/paused"


def now() -> datetime:
    return datetime.now(UTC)


def wait_until(moment: datetime) -> None:
    """Until a moment of the clock: due times come by the clock, and by nothing else."""
    time.sleep(max(0.0, (moment - now()).total_seconds()))


def settled(ledger: Ledger, job: str, timetable: Timetable, begin: datetime, end: datetime) -> Callable[[], bool]:
    return lambda: not ledger.faults(job, timetable, begin, end)


def check_outage(away: str, ledger: Ledger, gone: datetime, back: datetime) -> None:
    """How the due times of the outage itself ended, by what was away."""
    kinds = {
        name: {kind.verdict for due, [kind] in ledger.verdicts(name, EVERY_MINUTE).items() if gone < due <= back}
        for name in POLICIES
    }
    if away == "both":
        assert "missed" in kinds["skip"]
        assert "missed" in kinds["latest"]
        assert "missed" not in kinds["all"]
    elif away == "operator":
        # One clock is enough.
        assert kinds == {name: {"success"} for name in POLICIES}
    else:
        # The controller manager runs the Jobs too: the first is started, and is in the way of the next ones.
        assert [name for name in POLICIES if not {"success"} <= kinds[name] <= {"success", "skipped"}] == []


@pytest.mark.parametrize("away", ["both", "operator", "native"])
@pytest.mark.timeout(1800)  # the long form waits six minutes for each
def test_every_minute_has_one_verdict(
    away: str, kube: Kube, controller_manager: Cluster, task_image: str, tmp_path: Path, durations: Durations
) -> None:
    operator = OperatorProcess(tmp_path, kube.cluster.kubeconfig, kube.namespace)
    operator.start()
    jobs = {name: minutely(task_image, name, missed={"policy": name.capitalize()}) for name in POLICIES}
    jobs |= {name: minutely(task_image, name) for name in ("paused", "edited")}
    kube.apply(*jobs.values())
    ledger = Ledger(operator.database)
    kube.until("each is ready", lambda: all(kube.condition(name, "Ready") for name in jobs))
    begin = now()

    kube.kubectl("annotate", "scheduledjob", "paused", f"{PAUSED}={{}}")
    kube.until("the pause is in force", lambda: (kube.condition("paused", "Paused") or {}).get("status") == "True")
    # Twenty-five seconds after a full minute, so that no due time falls on an edge.
    wait_until(now().replace(second=0, microsecond=0) + timedelta(seconds=85 if now().second > 25 else 25))
    gone = now()
    if away in ("both", "native"):
        controller_manager.stop("kube-controller-manager", kill=True)
    if away in ("both", "operator"):
        operator.kill()
    outage = timedelta(seconds=durations.outage if away == "both" else durations.one_away)
    wait_until(gone + outage / 2)
    # Before: that takes a moment, and one of the minutes may come in it.
    changed = now()
    kube.kubectl("annotate", "scheduledjob", "paused", f"{PAUSED}-")
    kube.kubectl(
        "patch", "scheduledjob", "edited", "--type=merge", "-p", '{"spec":{"schedule":{"cron":"*/2 * * * *"}}}'
    )
    wait_until(gone + outage)
    if away in ("both", "native"):
        controller_manager.start("kube-controller-manager")
    if away in ("both", "operator"):
        operator.start()
    # Until the native clock has the new schedule it may start by the old one.
    kube.until("the edit has come", lambda: (kube.get("cronjobs", "edited") or {})["spec"]["schedule"] == "*/2 * * * *")
    back = now()
    # The last verdict of the outage comes two minutes after its due time; the runs meanwhile are counted too.
    end = back.replace(second=0, microsecond=0) + timedelta(minutes=2 if away == "both" else 1)
    wait_until(end + timedelta(seconds=10))
    for name in POLICIES:
        kube.until(f"{name} is settled", settled(ledger, name, EVERY_MINUTE, begin, end))
    kube.until("paused is settled", settled(ledger, "paused", EVERY_MINUTE, back, end))
    kube.until("edited is settled", settled(ledger, "edited", EVERY_OTHER, back, end))
    assert operator.stop() == 0

    assert made_twice(kube.cluster, kube.namespace) == []
    for name in POLICIES:
        assert ledger.faults(name, EVERY_MINUTE, begin, end) == {}
    # While it was paused nothing was due, and the edit starts nothing that the new schedule had in the past.
    paused = ledger.verdicts("paused", EVERY_MINUTE)
    assert [due for due in paused if gone < due <= changed] == []
    edited = ledger.verdicts("edited", EVERY_MINUTE)
    assert [due for due in edited if back < due <= end and due.minute % 2] == []
    assert [due for due, kinds in (paused | edited).items() if len(kinds) > 1] == []
    check_outage(away, ledger, gone, back)
