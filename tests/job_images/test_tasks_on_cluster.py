"""Tasks in their images on a real cluster: those of one's own by the commands that are documented, the predefined ones by
connections."""

import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from gateway_process import GatewayProcess
from kube import Kube
from mariadb_pod import PASSWORD, MariadbPod
from operator_process import OperatorProcess

from merp_cluster.cluster import Cluster

pytestmark = pytest.mark.cluster

Json = dict[str, Any]
ROOT = Path(__file__).parents[2]


def documented_commands(readme: Path, after: str) -> str:
    """The indented block that follows a line of a page."""
    text = readme.read_text(encoding="utf-8").partition(after)[2]
    block = re.match(r"\s*\n((?: {4}.*\n)+)", text)
    assert block is not None, f"{readme} has no commands after {after!r}"
    return re.sub(r"^ {4}", "", block[1], flags=re.MULTILINE)


# What the page's commands, and the gateway's users, leave in the namespace; it is the same in the next run.
LEFT = ("configmap/own-tasks", "pod/own-tasks", "sa/clerk", "sa/chief", "role/planner", "role/clerk")
BOUND = ("rolebinding/clerk", "rolebinding/chief", "rolebinding/clerk-too")


@pytest.fixture
def default(cluster: Cluster, definitions: None, tmp_path: Path) -> Iterator[Kube]:
    """The namespace that commands without one mean, with an operator."""
    kube = Kube(cluster, "default")
    kube.kubectl("delete", "--ignore-not-found", *LEFT, *BOUND)
    process = OperatorProcess(tmp_path, cluster.kubeconfig, "default", MERP_PUBLISHED_CATALOGUES="true")
    process.start()
    yield kube
    kube.kubectl("delete", "sj,jr", "--all", "--timeout=300s")
    kube.kubectl("delete", "--ignore-not-found", *LEFT, *BOUND)
    assert process.stop() == 0


@pytest.fixture
def gateway(default: Kube, tmp_path: Path) -> Iterator[GatewayProcess]:
    """A gateway, whose clerk may make jobs and read catalogues, as the built-in role edit lets one."""
    process = GatewayProcess(tmp_path, default, tmp_path / "records.db")
    default.kubectl(
        "create", "role", "clerk", "--verb=create,list", "--resource=scheduledjobs.scheduler.merp.io,configmaps"
    )
    default.kubectl("create", "rolebinding", "clerk-too", "--role=clerk", "--serviceaccount=default:clerk")
    process.start()
    yield process
    process.stop()


@pytest.mark.usefixtures("images")
def test_the_example_by_its_own_page(cluster: Cluster, default: Kube, gateway: GatewayProcess) -> None:
    commands = documented_commands(ROOT / "examples/own-tasks/README.md", "On the embedded cluster of `make demo`:")
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", commands],
        cwd=ROOT,
        env=os.environ | {"MERP_CLUSTER": cluster.name},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "jobrun.scheduler.merp.io/allocate-rent-now condition met" in done.stdout
    assert re.search(r"^allocate-rent +0 6 1 \* \* +Asia/Shanghai +True ", done.stdout, re.MULTILINE)
    body = {"name": "分摊", "job_type": "manual", "func": "allocate_cost", "image": "merp.local/own-tasks:1"}
    good = {"amount": "12.30", "shares": {"sales": 1}}
    refused = gateway.ask("POST", "/api/v1/jobs", body | {"kwargs": good | {"amount": "a lot", "share": 1}})
    told = [(entry["pointer"], entry["code"], entry["detail"]) for entry in refused.body["errors"]]
    assert (refused.status, told) == (
        400,
        [
            ("#/kwargs/amount", "invalid", 'amount expected a decimal ("12.30")'),
            ("#/kwargs/share", "unknown", "share is no parameter of the task: did you mean shares?"),
        ],
    )
    taken = gateway.ask("POST", "/api/v1/jobs", body | {"kwargs": good})
    assert taken.status == 201, taken.body


def result_of(kube: Kube, name: str) -> Json:
    """What the only run of a JobRun left as its termination message, once it has a verdict."""
    status = kube.until(f"{name} has a verdict", lambda: kube.verdict(name))
    pods = kube.list("pods", f"job-name={status['run']}")
    message = pods[0]["status"]["containerStatuses"][0]["state"]["terminated"]["message"]
    document: Json = json.loads(message)
    return {"verdict": status["verdict"], **document}


def run_task(kube: Kube, name: str, image: str, task: Json, **template: Any) -> Json:
    """Declare a job and ask for a run of it."""
    spec = {"schedule": {"cron": "0 0 1 1 *"}, "task": task, "template": {"image": image, **template}}
    kube.apply(
        {"apiVersion": "scheduler.merp.io/v1", "kind": "ScheduledJob", "metadata": {"name": name}, "spec": spec},
        {
            "apiVersion": "scheduler.merp.io/v1",
            "kind": "JobRun",
            "metadata": {"name": name},
            "spec": {"scheduledJob": name},
        },
    )
    return result_of(kube, name)


def test_predefined_tasks_by_a_connection(kube: Kube, images: dict[str, str], tmp_path: Path) -> None:
    MariadbPod(kube, images["mariadb"]).start()
    process = OperatorProcess(tmp_path, kube.cluster.kubeconfig, kube.namespace)
    process.start()
    # As docs/connections.md says.
    mounted: dict[str, Any] = {
        "volumes": [{"name": "shop", "secret": {"secretName": "shop"}}, {"name": "output", "emptyDir": {}}],
        "volumeMounts": [
            {"name": "shop", "mountPath": "/etc/merp-connections/shop", "readOnly": True},
            {"name": "output", "mountPath": "/output"},
        ],
    }
    script = "CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(20) CHARACTER SET utf8mb4); INSERT INTO t VALUES (1, :v)"
    filled = run_task(
        kube,
        "c43-fill",
        images["tasks"],
        {"func": "sql_script", "args": ["shop", script], "kwargs": {"parameters": {"v": "库存𠮷✅"}}},
        **mounted,
    )
    backed_up = run_task(kube, "backup", images["tasks"], {"func": "database_backup", "args": ["shop"]}, **mounted)
    broken = run_task(
        kube,
        "c59-broken",
        images["tasks"],
        {"func": "sql_script", "args": ["shop", f"SELECT '{PASSWORD}' FROM nowhere"]},
        **mounted,
    )
    unknown = run_task(kube, "unknown", images["tasks"], {"func": "database_backup", "args": ["wms"]}, **mounted)
    assert process.stop() == 0
    assert (filled["verdict"], filled["result"]["results"]) == ("success", [{"changed": 0}, {"changed": 1}])
    assert (backed_up["verdict"], backed_up["result"]["tables"], backed_up["result"]["rows"]) == ("success", 1, 1)
    assert broken["verdict"] == "failed"
    # The parameter is the job's own text; what the run says of it is masked.
    assert "SELECT '***'" in broken["error"]["message"]
    assert PASSWORD not in json.dumps(broken)
    assert (unknown["verdict"], unknown["error"]["type"]) == ("failed", "ParameterError")
    assert "connection 'wms': this run has shop" in unknown["error"]["message"]
