"""Two operators with one Lease on a real API server: one leads, and the other takes over however the first one ends."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kube import Kube
from ledger import audited
from operator_process import OperatorProcess

from merp_crds.common import parse_rfc3339

pytestmark = pytest.mark.cluster

Json = dict[str, Any]
SCHEDULED_JOB: Json = {
    "apiVersion": "scheduler.merp.io/v1",
    "kind": "ScheduledJob",
    "metadata": {"name": "j"},
    "spec": {"schedule": {"cron": "0 0 1 1 *"}, "template": {"image": "nowhere/none:1"}},
}
LEASE_SECONDS = 9.0
# How long a busy machine may need for what comes after the lease.
_LATE_SECONDS = 120.0
# Who stands still does not answer, and the others are to be asked meanwhile.
_METRICS_SECONDS = 5.0
_WRITES = {"create", "update", "patch", "delete"}


class Pair:
    """Two operators that may be told apart: by their account in the audit log, by their name in the Lease."""

    def __init__(self, kube: Kube, folder: Path) -> None:
        self.kube = kube
        self.operators = {name: self._operator(folder, name) for name in ("one", "two")}

    def start(self) -> None:
        for operator in self.operators.values():
            operator.start()

    def stop(self) -> None:
        for operator in self.operators.values():
            operator.stop()

    def leader(self) -> str | None:
        """The one that says that it leads; the test fails if both do."""
        leading = [name for name, operator in self.operators.items() if _leads(operator)]
        assert len(leading) <= 1, leading
        return leading[0] if leading else None

    def lease(self) -> Json:
        found: Json = json.loads(self.kube.kubectl("get", "lease", "merp-operator", "-o", "json"))["spec"]
        return found

    def writes(self, name: str) -> list[str]:
        """What that operator wrote to the cluster, by the API server's audit log."""
        user = f"system:serviceaccount:{self.kube.namespace}:{name}"
        entries = [json.loads(line) for line in audited(self.kube.cluster) if user in line]
        return [
            f"{entry['verb']} {entry['requestURI']} {entry['requestReceivedTimestamp']}"
            for entry in entries
            if entry["user"]["username"] == user and entry["verb"] in _WRITES
        ]

    def _operator(self, folder: Path, name: str) -> OperatorProcess:
        self.kube.kubectl("create", "serviceaccount", name)
        self.kube.kubectl(
            "create",
            "rolebinding",
            name,
            "--clusterrole=cluster-admin",
            f"--serviceaccount={self.kube.namespace}:{name}",
        )
        # kopf looks for the definitions, and for the namespace, in the whole cluster.
        self.kube.kubectl(
            "create",
            "clusterrolebinding",
            f"{self.kube.namespace}-{name}",
            "--clusterrole=cluster-admin",
            f"--serviceaccount={self.kube.namespace}:{name}",
        )
        config = json.loads(self.kube.cluster.kubeconfig.read_text())
        config["users"][0]["user"] = {"token": self.kube.kubectl("create", "token", name).strip()}
        own = folder / name
        own.mkdir()
        kubeconfig = own / "kubeconfig"
        kubeconfig.write_text(json.dumps(config))
        return OperatorProcess(
            own,
            kubeconfig,
            self.kube.namespace,
            MERP_LEASE_NAMESPACE=self.kube.namespace,
            MERP_POD_NAME=name,
            MERP_SQLITE_PATH=str(folder / "records.db"),
        )


def _leads(operator: OperatorProcess) -> bool:
    try:
        return "merp_leader 1.0" in operator.metrics(_METRICS_SECONDS).splitlines()
    except OSError:
        return False


@pytest.fixture
def pair(kube: Kube, tmp_path: Path) -> Iterator[Pair]:
    made = Pair(kube, tmp_path)
    made.start()
    yield made
    made.stop()
    kube.cluster.api.kubectl(
        "delete", "clusterrolebinding", *(f"{kube.namespace}-{name}" for name in made.operators), "--wait=false"
    )


def change(kube: Kube, minute: int) -> None:
    """Something for the leader to do, and nothing that would start a run."""
    spec = SCHEDULED_JOB["spec"] | {"schedule": {"cron": f"{minute} 0 1 1 *"}}
    kube.apply(SCHEDULED_JOB | {"spec": spec})


def done(kube: Kube, minute: int) -> None:
    def look() -> bool:
        found = kube.get("cronjobs", "j")
        return found is not None and found["spec"]["schedule"] == f"{minute} 0 1 1 *"

    kube.until(f"the CronJob of minute {minute}", look)


def taken_over(pair: Pair, before: str) -> str:
    """Who leads now."""
    return pair.kube.until("the other one leads", lambda: (now := pair.leader()) != before and now)


def test_one_leads_and_the_other_is_ready_and_writes_nothing(pair: Pair, kube: Kube) -> None:
    leader = kube.until("one leads", pair.leader)
    standby = next(name for name in pair.operators if name != leader)
    change(kube, 1)
    done(kube, 1)
    assert pair.operators[standby].ask("readyz") == 200
    assert pair.lease()["holderIdentity"].startswith(f"{leader}_")
    written = {entry.split()[1].split("?")[0].split("/")[-1] for entry in pair.writes(leader)}
    assert {"merp-operator", "j"} <= written, "the Lease and the CronJob"
    assert pair.writes(standby) == []
    assert pair.operators[standby].stop() == 0, "a standby ends at once, and in order"
    assert pair.leader() == leader


def test_who_is_killed_is_followed_within_the_lease(pair: Pair, kube: Kube) -> None:
    leader = kube.until("one leads", pair.leader)
    change(kube, 1)
    done(kube, 1)
    pair.operators[leader].kill()
    renewed = parse_rfc3339(pair.lease()["renewTime"])
    other = taken_over(pair, leader)
    waited = parse_rfc3339(pair.lease()["acquireTime"]) - renewed
    assert LEASE_SECONDS - 1 < waited.total_seconds() < LEASE_SECONDS + _LATE_SECONDS
    change(kube, 2)
    done(kube, 2)
    assert pair.lease()["leaseTransitions"] == 1
    # The one that is back stands by.
    pair.operators[leader].start()
    assert pair.leader() == other


def test_who_stands_still_for_longer_than_the_lease_ends_and_writes_nothing_more(pair: Pair, kube: Kube) -> None:
    leader = kube.until("one leads", pair.leader)
    change(kube, 1)
    done(kube, 1)
    # The last that a look writes: what is on its way when it stands still reaches the server later.
    kube.until("all is told", lambda: kube.list("events"))
    pair.operators[leader].freeze()
    other = taken_over(pair, leader)
    # Work that lies in the old one's connections when it wakes up.
    change(kube, 2)
    done(kube, 2)
    kube.kubectl("delete", "cronjob", "j")
    before = pair.writes(leader)
    assert before, "the audit log knows who writes"
    pair.operators[leader].thaw()
    assert pair.operators[leader].ended(_LATE_SECONDS) == 3
    done(kube, 2)
    assert pair.writes(leader) == before
    assert pair.leader() == other
    assert "leadership is lost" in pair.operators[leader].log.read_text()


def test_who_is_stopped_in_order_is_followed_at_once(pair: Pair, kube: Kube) -> None:
    leader = kube.until("one leads", pair.leader)
    assert pair.operators[leader].stop() == 0
    # By then somebody else may have it; how soon is the machine's affair.
    assert not (pair.lease().get("holderIdentity") or "").startswith(f"{leader}_"), "the Lease was given up"
    taken_over(pair, leader)
    change(kube, 1)
    done(kube, 1)


def test_a_lease_that_is_deleted_ends_its_holder(pair: Pair, kube: Kube) -> None:
    leader = kube.until("one leads", pair.leader)
    kube.kubectl("delete", "lease", "merp-operator")
    try:
        assert pair.operators[leader].ended(_LATE_SECONDS) == 3
    except subprocess.TimeoutExpired:
        pytest.fail(pair.operators[leader].log.read_text()[-2000:])
    kube.until("the other one leads", lambda: pair.leader() not in (None, leader))
