"""The predefined tasks on a database server of a real cluster, by `spec.connections` alone: what they say against what the
test finds out by SQL of its own."""

import csv
import gzip
import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from importlib import resources
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
ROWS = 100_000
# So many rows of an attempt are seen in its log before it is killed; by then it has written most of them.
SEEN = 5_000
# At these rows the attempts wait until they are killed, however late that is.
WALLS = (30_000, 60_000)
SCHEMA = """
CREATE TABLE inventory_book (warehouse VARCHAR(64), sku VARCHAR(64), quantity DECIMAL(18,4), unit_value DECIMAL(18,4),
    PRIMARY KEY (warehouse, sku));
CREATE TABLE inventory_count (warehouse VARCHAR(64), sku VARCHAR(64), counted_quantity DECIMAL(18,4),
    counted_at DATETIME, PRIMARY KEY (warehouse, sku));
"""
# The stock-taking as the documentation defines it, in SQL: its terms, not the task's code.
STOCK = """
WITH each_one AS (SELECT warehouse, sku FROM inventory_book UNION SELECT warehouse, sku FROM inventory_count),
line AS (SELECT COALESCE(b.quantity, 0) AS booked, c.counted_quantity AS counted,
           ROUND((c.counted_quantity - COALESCE(b.quantity, 0)) * COALESCE(b.unit_value, 0), 2) AS value
         FROM each_one LEFT JOIN inventory_book b USING (warehouse, sku)
                       LEFT JOIN inventory_count c USING (warehouse, sku)),
told AS (SELECT *, counted IS NOT NULL AND counted <> booked AS differs FROM line)
SELECT COUNT(*), COUNT(counted), SUM(counted IS NULL), SUM(differs), SUM(IF(differs AND value > 0, value, 0)),
       SUM(IF(differs AND value < 0, value, 0)), SUM(IF(differs, value, 0)) FROM told
"""
ORDERS = """CREATE TABLE orders (id INT PRIMARY KEY, customer VARCHAR(40), amount DECIMAL(12,2), updated_at DATETIME,
    KEY (updated_at, id));
"""
FILLED = f"""INSERT INTO orders SELECT seq, CONCAT('客户𠮷 ', seq), seq / 7, '2026-01-01' + INTERVAL seq SECOND
    FROM seq_1_to_{ROWS};
"""
# Of every value of every row, whatever the order.
CHECKSUM = """SELECT COUNT(*), BIT_XOR(CONV(LEFT(SHA2(CONCAT_WS('|', id, customer, amount, updated_at), 256), 15), 16, 10))
    FROM orders"""


@dataclass
class Erp:
    """A namespace with a server, an operator and a gateway."""

    kube: Kube
    image: str
    server: MariadbPod
    gateway: GatewayProcess

    def declare(self, name: str, **spec: Any) -> None:
        body = {"schedule": {"cron": "0 0 1 1 *"}, **spec}
        body["template"] = {"image": self.image} | body.get("template", {})
        self.kube.apply(_object("ScheduledJob", name, body))

    def ask(self, name: str) -> None:
        self.kube.apply(_object("JobRun", name, {"scheduledJob": name}))

    def ended(self, name: str) -> Json:
        """The execution as REST has it, once the run has a verdict and that is recorded."""
        self.kube.until(f"{name} has a verdict", lambda: self.kube.verdict(name))

        def recorded() -> Json | None:
            found = self.gateway.ask("GET", f"/api/v1/jobs/{name}/history").body["items"]
            return found[0] if found and found[0]["end_time"] else None

        return self.kube.until(f"{name} is recorded", recorded)

    def run(self, name: str, **spec: Any) -> Json:
        self.declare(name, **spec)
        self.ask(name)
        return self.ended(name)


def _object(kind: str, name: str, spec: Json) -> Json:
    return {"apiVersion": "scheduler.merp.io/v1", "kind": kind, "metadata": {"name": name}, "spec": spec}


@pytest.fixture(scope="module")
def erp(
    cluster: Cluster, definitions: None, images: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Erp]:
    """One server for all tests of this module: each has databases of its own."""
    name = f"t-{uuid.uuid4().hex[:8]}"
    cluster.api.kubectl("create", "namespace", name)
    kube, folder = Kube(cluster, name), tmp_path_factory.mktemp("erp")
    server = MariadbPod(kube, images["mariadb"])
    server.start()
    operator = OperatorProcess(folder, cluster.kubeconfig, name, MERP_PUBLISHED_CATALOGUES="true")
    gateway = GatewayProcess(folder, kube, operator.database)
    operator.start()
    gateway.start()
    yield Erp(kube, images["tasks"], server, gateway)
    gateway.stop()
    assert operator.stop() == 0
    cluster.api.kubectl("delete", "namespace", name, "--wait=false")


def inserts(table: str) -> str:
    """The example data as SQL."""
    text = resources.files("merp_tasks.example").joinpath(f"{table}.csv").read_text(encoding="utf-8")
    _, *rows = csv.reader(text.splitlines())
    values = ", ".join("(" + ", ".join(f"'{cell}'" for cell in row) + ")" for row in rows)
    return f"INSERT INTO {table} VALUES {values};\n"


def test_the_seeds_stock_taking_says_what_the_rows_say(erp: Erp) -> None:
    erp.server.add("stock", SCHEMA + inserts("inventory_book") + inserts("inventory_count"))
    task = {"func": "inventory_check", "args": ["all"], "kwargs": {"detailed": True, "connection": "stock"}}
    found = erp.run("monthly-inventory-check", task=task, connections=["stock"])
    assert found["status"] == "success", found
    told = found["result"]
    fields = ("articles", "counted", "not_counted", "differences", "surplus_value", "shortage_value", "net_value")
    [expected] = erp.server.sql(STOCK, "stock")
    assert [str(told[field]) for field in fields] == expected
    assert len(told["lines"]) == int(expected[3]) > 0


def pid_of(pod: str) -> int:
    """The task's process, as this machine sees it."""
    wanted = f"MERP_POD_NAME={pod}".encode()
    for folder in Path("/proc").iterdir():
        try:
            if folder.name.isdigit() and wanted in (folder / "environ").read_bytes().split(b"\0"):
                return int(folder.name)
        except OSError:  # gone, or a thread of the kernel
            continue
    raise AssertionError(f"there is no process of {pod}")


def kill_in_the_middle(erp: Erp, name: str, before: frozenset[str]) -> str:
    """Kill the attempt that comes after those `before`, once its log says that it has copied some. Its pod's name."""

    def started() -> str | None:
        found = erp.kube.list("pods", f"scheduler.merp.io/scheduled-job={name}")
        running = [pod for pod in found if pod["status"]["phase"] == "Running"]
        return next((str(pod["metadata"]["name"]) for pod in running if pod["metadata"]["name"] not in before), None)

    pod = erp.kube.until("the next attempt runs", started)
    kubectl = [str(erp.kube.cluster.layout.bin / "kubectl"), f"--kubeconfig={erp.kube.cluster.kubeconfig}"]
    command = [*kubectl, "--namespace", erp.kube.namespace, "logs", "--follow", pod]
    while True:
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as log:
            assert log.stdout is not None
            for line in log.stdout:
                # One that is cut off in the middle has no end.
                if line.endswith("\n") and json.loads(line).get("progress", {}).get("done", 0) >= SEEN:
                    os.kill(pid_of(pod), signal.SIGKILL)
                    return pod
        # A log that is followed may be cut off: it is read anew from its beginning.
        phase = erp.kube.kubectl("get", "pod", pod, "-o", "jsonpath={.status.phase}")
        assert phase == "Running", f"{pod} has ended before it was killed: {phase}"
        time.sleep(1)


def test_a_sync_that_is_killed_twice_is_finished_by_its_retries(erp: Erp) -> None:
    erp.server.add("source", ORDERS + FILLED)
    erp.server.add("target", ORDERS)
    copy = {"source": "source", "target": "target", "table": "orders", "key": "id", "cursor": "updated_at"}
    erp.declare(
        "nightly-sync",
        task={"func": "data_sync", "kwargs": copy | {"batch_size": 100}},
        connections=["source", "target"],
        retry={"limit": 2},
    )
    # Longer than a busy machine needs from the wall to the kill.
    erp.server.sql("SET GLOBAL innodb_lock_wait_timeout = 600")
    killed: frozenset[str] = frozenset()
    counts = [0]
    with ExitStack() as held:
        walls = []
        for row in WALLS:
            wall = held.enter_context(ExitStack())
            wall.enter_context(erp.server.held(f"INSERT INTO orders (id) VALUES ({row})", "target"))
            walls.append(wall)
        erp.ask("nightly-sync")
        for wall in walls:
            killed |= {kill_in_the_middle(erp, "nightly-sync", killed)}
            counts.append(int(erp.server.sql("SELECT COUNT(*) FROM orders", "target")[0][0]))
            wall.close()
    assert 0 < counts[1] < counts[2] < WALLS[1]
    found = erp.ended("nightly-sync")
    assert (found["status"], found["attempts"]) == ("success", 3), found
    assert erp.server.sql(CHECKSUM, "target") == erp.server.sql(CHECKSUM, "source")
    # The last attempt went on where the second one was killed, less the overlap of five minutes.
    assert found["result"]["rows"] <= ROWS - counts[2] + 301


BOUGHT = """CREATE TABLE item (sku VARCHAR(40) PRIMARY KEY, name VARCHAR(60), price DECIMAL(12,4), picture BLOB);
INSERT INTO item VALUES ('A''1', '泵 𠮷 ✅ \\\\ "x"', 12.3400, x'00ff2700'), ('B;2', NULL, -0.0001, NULL);
CREATE TABLE move (id INT AUTO_INCREMENT PRIMARY KEY, sku VARCHAR(40), FOREIGN KEY (sku) REFERENCES item (sku));
INSERT INTO move (sku) SELECT 'B;2' FROM seq_1_to_1000;
CREATE VIEW dear AS SELECT sku FROM item WHERE price > 1;
CREATE TRIGGER upper_case BEFORE INSERT ON move FOR EACH ROW SET NEW.sku = UPPER(NEW.sku);
"""


def test_a_backup_comes_back_as_it_was(erp: Erp) -> None:
    erp.server.add("bought", BOUGHT)
    erp.server.add("scratch")
    claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    erp.kube.apply(
        {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "backups"}, "spec": claim}
    )
    output = {
        "volumes": [{"name": "output", "persistentVolumeClaim": {"claimName": "backups"}}],
        "volumeMounts": [{"name": "output", "mountPath": "/output"}],
    }
    task = {"func": "database_backup", "args": ["bought"]}
    made = erp.run("backup", task=task, connections=["bought"], template=output)
    assert (made["status"], made["result"]["tables"], made["result"]["rows"]) == ("success", 2, 1002), made
    task = {"func": "database_restore_check", "args": ["bought"], "kwargs": {"scratch": "scratch"}}
    checked = erp.run("restore-check", task=task, connections=["scratch"], template=output)
    assert checked["status"] == "success", checked["error"]
    assert checked["result"]["sha256"] == made["result"]["sha256"]
    assert erp.server.sql("SHOW TABLES", "scratch") == []

    volume = erp.kube.kubectl("get", "pvc", "backups", "-o", "jsonpath={.spec.volumeName}")
    path = erp.kube.kubectl("get", "pv", volume, "-o", "jsonpath={.spec.hostPath.path}{.spec.local.path}")
    dump = gzip.decompress((Path(path) / made["result"]["file"]).read_bytes()).decode()
    erp.server.add("restored", dump)
    compared = "CHECKSUM TABLE bought.{0}, restored.{0}"
    for table in ("item", "move"):
        [[_, before], [_, after]] = erp.server.sql(compared.format(table))
        assert before == after != "NULL"
    assert erp.server.sql("SELECT * FROM dear", "restored") == [["A'1"]]


def test_parameters_as_deep_as_kubernetes_takes_them_stop_nothing(erp: Erp) -> None:
    """Whoever may write a ScheduledJob may write this one; the other jobs go on."""
    deep = "[" * 9_990 + "]" * 9_990
    item = _object("ScheduledJob", "deep", {"schedule": {"cron": "0 0 1 1 *"}, "task": {"func": "x", "args": ["DEEP"]}})
    erp.kube.kubectl("create", "-f", "-", stdin=json.dumps(item).replace('"DEEP"', deep))

    def of(name: str) -> Json:
        return erp.gateway.ask("GET", f"/api/v1/jobs/{name}").body

    told = erp.kube.until("it is told", lambda: of("deep").get("message"))
    assert told == "task.args: is nested deeper than 64: pass less, or a text"
    erp.declare("beside", task={"func": "inventory_check"})
    erp.kube.until("another job is looked at", lambda: of("beside").get("next_run_time"))
    erp.kube.kubectl("delete", "sj", "deep")


def test_what_env_from_takes_from_a_secret_is_hidden_and_mistakes_are_told_at_the_door(erp: Erp) -> None:
    """The catalogue comes by the documented command line, the secret by the kubelet."""
    secret = {"PLACE": "lager-geheim-7"}
    erp.kube.apply({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "plain"}, "stringData": secret})
    erp.server.add("empty", SCHEMA)
    task = {"func": "inventory_check", "args": ["lager-geheim-7"], "kwargs": {"connection": "empty"}}
    whole = {"envFrom": [{"prefix": "ERP_", "secretRef": {"name": "plain"}}]}
    found = erp.run("hidden", task=task, connections=["empty"], template=whole)
    assert found["status"] == "failed"
    assert "warehouse: '***' has neither books nor counts" in found["error"]
    assert not {text for text in (PASSWORD, "geheim") if text in json.dumps(found["error"])}

    command = [sys.executable, "-m", "merp_runner", "catalogue", "--config-map", "tasks", "--image", erp.image]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    erp.declare("wrong", task=task | {"kwargs": {"connection": "wms", "detialed": True}}, connections=["empty"])
    good = erp.kube.until("it is taken", lambda: erp.kube.condition("wrong", "Ready"))
    assert good["status"] == "True"
    erp.kube.kubectl("apply", "--server-side", "-f", "-", stdin=printed)

    def refused() -> Json | None:
        found = erp.kube.condition("wrong", "Ready")
        return found if found is not None and found["status"] == "False" else None

    told = erp.kube.until("the catalogue is known", refused)
    assert told["reason"] == "InvalidParameters"
    assert told["message"] == (
        "task.kwargs: connection expected the name of one of the job's connections (spec.connections); "
        "task.kwargs: detialed is no parameter of the task: did you mean detailed?"
    )
    broken = {"image": "a:1", "catalogue.json": "{"}
    labels = {"scheduler.merp.io/catalogue": "true"}
    erp.kube.apply(
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "broken", "labels": labels}, "data": broken}
    )

    def event() -> str | None:
        found = [entry for entry in erp.kube.list("events") if entry["reason"] == "InvalidCatalogue"]
        return found[0]["message"] if found and found[0]["involvedObject"]["name"] == "broken" else None

    assert erp.kube.until("its Event", event).startswith("data.catalogue.json: is no output of `merp-runner catalogue`")

    # Who may not read ConfigMaps passes the gateway, and is told by the operator.
    asked = erp.gateway.ask("POST", "/api/v1/jobs/hidden/execute", {"args": [1]})
    assert asked.status == 202, asked.body

    def answered() -> str | None:
        items = [item for item in erp.kube.list("jobruns") if item["spec"].get("args") == [1]]
        conditions = items[0].get("status", {}).get("conditions", [])
        return next((entry["message"] for entry in conditions if entry["status"] == "False"), None)

    assert erp.kube.until("the request is refused", answered) == "args: warehouse expected text, got a number"
