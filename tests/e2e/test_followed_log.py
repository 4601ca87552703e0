"""The gateway beside a real API server: a log that is followed while its pod runs."""

from pathlib import Path

import pytest
from cluster_objects import minutely
from gateway_process import GatewayProcess
from kube import Kube

from merp_crds.names import LABEL_JOB_NAME, LABEL_SCHEDULED_JOB_UID, execution_id
from merp_records.engine import create_engine, database_url
from merp_records.migrations import upgrade

pytestmark = pytest.mark.cluster

# It ends when it is told to, so that what is read before then was told while it ran.
PROGRAM = "import os, time\nprint('begun', flush=True)\nwhile not os.path.exists('/tmp/end'):\n    time.sleep(0.1)\nprint('ended')"


def phase(kube: Kube) -> str:
    return kube.kubectl("get", "pod", "j-1-x", "-o", "jsonpath={.status.phase}")


def test_a_log_is_followed_until_its_pod_ends(kube: Kube, task_image: str, tmp_path: Path) -> None:
    database = tmp_path / "records.db"
    engine = create_engine(database_url(sqlite_path=database))
    upgrade(engine)
    engine.dispose()
    gateway = GatewayProcess(tmp_path, kube, database)
    gateway.admit("reader", "get,list scheduledjobs.scheduler.merp.io", "list pods", "get pods/log")
    gateway.start()
    kube.await_account()
    try:
        # As the operator would leave them: what is tested reads them and nothing else.
        kube.apply(minutely(task_image, "j", suspend=True))
        uid = kube.kubectl("get", "scheduledjob", "j", "-o", "jsonpath={.metadata.uid}")
        container = {"name": "task", "image": task_image, "command": ["python", "-c", PROGRAM]}
        labels = {LABEL_JOB_NAME: "j-1", LABEL_SCHEDULED_JOB_UID: uid}
        kube.apply(
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {"name": "j-1-x", "labels": labels},
                "spec": {"restartPolicy": "Never", "containers": [container]},
            }
        )
        active = '{"run":"j-1","state":"running","trigger":"manual","since":"2026-12-01T00:00:00Z"}'
        status = f'{{"status":{{"active":[{active}],"activeCount":1}}}}'
        kube.kubectl("patch", "scheduledjob", "j", "--subresource=status", "--type=merge", "-p", status)
        path = f"/api/v1/executions/{execution_id(uid, 'j-1')}"
        kube.until("the pod runs", lambda: phase(kube) == "Running")
        kube.until("the gateway knows it", lambda: gateway.ask("GET", path, user="reader").status == 200)
        with gateway.stream(f"{path}/log?follow=true", "reader") as lines:
            assert next(lines) == b"begun\n"
            assert phase(kube) == "Running"
            kube.kubectl("exec", "j-1-x", "--", "python", "-c", "open('/tmp/end', 'w').close()")
            assert list(lines) == [b"ended\n"]
        kube.until("the pod has ended", lambda: phase(kube) == "Succeeded")
    finally:
        gateway.stop()
