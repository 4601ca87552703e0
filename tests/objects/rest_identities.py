"""Four identities under the chart's own roles, and a gateway that they ask; no operator, no pod."""

import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from gateway_process import GatewayProcess
from guarded_namespace import scheduled_job
from kube import Kube

from merp_cluster.errors import ClusterError
from merp_crds.reasons import Reason, RunState, Trigger, Verdict
from merp_records.engine import create_engine, database_url
from merp_records.migrations import upgrade
from merp_records.rows import ExecutionRecord, JobRecord
from merp_records.writes import record

Json = dict[str, Any]
JOB = "stocktake"
# A built-in role and how it is bound: in all namespaces, in one, or not at all.
IDENTITIES: Mapping[str, tuple[str, str] | None] = {
    "admin": ("clusterrolebinding", "admin"),
    "editor": ("rolebinding", "edit"),
    "viewer": ("rolebinding", "view"),
    "nobody": None,
}
# No operator puts a pause into force, and what many requests find is no matter of their number.
_SETTINGS = {"MERP_PAUSE_SECONDS": "0.1", "MERP_REQUESTS_PER_SECOND": "0"}
_ANSWER_SECONDS = 120.0
_NOW = datetime(2026, 12, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Recorded:
    """A finished and an unfinished execution of the job."""

    finished: str
    unfinished: str


class RestIdentities:
    """A namespace with a job and its history, and somebody of each identity."""

    def __init__(self, kube: Kube, folder: Path) -> None:
        self.kube = kube
        self.tokens = {user: _bound(kube, user) for user in IDENTITIES}
        self.kube.create(scheduled_job(JOB))
        job = kube.get("scheduledjobs", JOB)
        assert job is not None
        database = folder / "records.db"
        self.recorded = _history(database, kube.namespace, job["metadata"]["uid"])
        self.gateway = GatewayProcess(folder, kube, database, _SETTINGS)
        # The built-in roles take the chart's rules up a moment after it is installed.
        for user, verb in (("admin", "restore"), ("editor", "delete"), ("viewer", "list")):
            kube.until(f"the rights of {user}", partial(_may, kube, user, verb, "scheduledjobs"))
        for user in ("admin", "editor"):
            kube.until(f"{user} may ask for runs", partial(_may, kube, user, "create", "jobruns"))

    def status(self, method: str, path: str, token: str | None, body: bytes | None, media_type: str) -> int:
        """The status of an answer; a stream is not read."""
        headers = {"Content-Type": media_type} | ({} if token is None else {"Authorization": f"Bearer {token}"})
        request = urllib.request.Request(f"{self.gateway.url}{path}", method=method, data=body, headers=headers)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=_ANSWER_SECONDS) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            error.close()
            return error.code


def _bound(kube: Kube, user: str) -> str:
    """The token of a new account with the rights of an identity."""
    kube.kubectl("create", "serviceaccount", user)
    binding = IDENTITIES[user]
    if binding is not None:
        kind, role = binding
        account = f"--serviceaccount={kube.namespace}:{user}"
        # One in all namespaces has a name for itself.
        kube.kubectl("create", kind, f"{kube.namespace}-{user}", f"--clusterrole={role}", account)
    return kube.kubectl("create", "token", user).strip()


def _may(kube: Kube, user: str, verb: str, plural: str) -> bool:
    account = f"--as=system:serviceaccount:{kube.namespace}:{user}"
    try:
        kube.kubectl("auth", "can-i", verb, f"{plural}.scheduler.merp.io", account)
    except ClusterError:
        return False
    return True


def _history(database: Path, namespace: str, uid: str) -> Recorded:
    engine = create_engine(database_url(sqlite_path=database))
    upgrade(engine)
    job = JobRecord(
        id=uid,
        namespace=namespace,
        resource_name=JOB,
        name="库存盘点任务",
        job_type="cron",
        func="inventory_check",
        created_at=_NOW,
    )
    common: Json = {"job_id": uid, "namespace": namespace, "job_name": JOB, "trigger": Trigger.SCHEDULE}
    finished = ExecutionRecord(
        **common,
        run_name=f"{JOB}-1",
        status=Verdict.FAILED,
        reason=Reason.EXIT_CODE,
        start_time=_NOW,
        end_time=_NOW + timedelta(minutes=1),
        due_time=_NOW,
        log_tail="the end",
    )
    unfinished = ExecutionRecord(
        **common, run_name=f"{JOB}-2", status=RunState.RUNNING, start_time=_NOW, due_time=_NOW + timedelta(days=1)
    )
    assert record(engine, [job], [finished, unfinished], now=_NOW).failures == ()
    engine.dispose()
    return Recorded(finished.id, unfinished.id)
