"""What a failed attempt said last is in its record, attempt by attempt, also where its Job is gone."""

import json
from typing import Any

import pytest
from cluster_objects import minutely
from kube import Kube
from operator_process import OperatorProcess
from records_file import rows

from merp_crds import names

pytestmark = pytest.mark.cluster

Json = dict[str, Any]


def row(operator: OperatorProcess) -> tuple[str | None, list[Json], str]:
    """Log tail, attempts and when they were written, of the one record."""
    query = "SELECT log_tail, attempt_details, recorded_at FROM job_executions WHERE end_time IS NOT NULL"
    [(tail, details, at)] = rows(operator.database, query) or [(None, None, "")]
    return tail, json.loads(details or "[]"), at


def test_the_log_of_each_failed_attempt_is_kept(kube: Kube, operator: OperatorProcess, task_image: str) -> None:
    # All on one stream: nobody promises an order between two of them.
    command = ["/bin/sh", "-c", "exec >&2; echo attempt of $HOSTNAME; echo 库存 is locked; exit 3"]
    body = minutely(task_image, "j", retry={"limit": 1}, history={"successful": 0, "failed": 0})
    del body["spec"]["schedule"], body["spec"]["task"]
    body["spec"]["template"]["command"] = command
    ask = {
        "apiVersion": names.API_VERSION,
        "kind": "JobRun",
        "metadata": {"name": "once"},
        # Long past: only what is still to be recorded keeps its Job.
        "spec": {"scheduledJob": "j", "dueTime": "2026-01-01T00:00:00Z"},
    }
    kube.apply(body, ask)
    assert kube.until("it has failed", lambda: kube.verdict("once"))["verdict"] == "failed"
    kube.until("the log is recorded", lambda: row(operator)[0])
    kube.until("its Job is gone", lambda: not kube.list("jobs"))
    tail, attempts, at = row(operator)
    assert [entry["exitCode"] for entry in attempts] == [3, 3]
    said = [f"attempt of {entry['pod']}\n库存 is locked" for entry in attempts]
    assert [entry["logTail"].strip() for entry in attempts] == said
    assert (tail or "").strip() == said[-1]
    operator.kill()
    operator.start()
    kube.kubectl("annotate", "sj", "j", "looked=again")
    kube.until("it was looked at", lambda: 'merp_reconcile_total{result="done"}' in operator.metrics())
    assert row(operator) == (tail, attempts, at)
