"""The whole way on a real cluster, as a user goes it: the chart, kubectl, REST, and the records behind both databases."""

import json
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from kube import Kube

from merp_cluster.cluster import Cluster
from merp_runner import catalogue

pytestmark = pytest.mark.cluster

Json = dict[str, Any]
ROOT = Path(__file__).parents[2]
# What a careless connection string would break on.
PASSWORD = "p@ss:w/rd#1?%25&x=+"
# The contract's own example.
SEED_BODY: Json = {
    "name": "库存盘点任务",
    "job_type": "cron",
    "func": "inventory_check",
    "cron_expression": "0 0 1 * *",
    "args": ["all"],
    "kwargs": {"detailed": True},
    "description": "每月1日凌晨执行库存盘点",
}


@dataclass(frozen=True)
class Answer:
    status: int
    body: Json
    headers: dict[str, str]


@dataclass(frozen=True)
class Installation:
    """A release of the chart, and the namespace that its users work in."""

    kube: Kube
    system: Kube
    release: str
    address: str
    token: str

    def ask(self, method: str, path: str, body: Json | None = None, token: str | None = None) -> Answer:
        """One REST call; a refusal is an answer too."""
        chosen = self.token if token is None else token
        headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {chosen}"} if chosen else {})
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.address}{path}", method=method, data=data, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=120) as response:
                text, status, found = response.read(), response.status, response.headers
        except urllib.error.HTTPError as error:
            text, status, found = error.read(), error.code, error.headers
        return Answer(status, json.loads(text) if text else {}, {key.lower(): value for key, value in found.items()})

    def history(self, job: str, **filters: str) -> list[Json]:
        query = "".join(f"&{key}={value}" for key, value in filters.items())
        answer = self.ask("GET", f"/api/v1/jobs/history?job_id={job}{query}")
        assert answer.status == 200, answer
        items: list[Json] = answer.body["items"]
        return items

    def finished(self, job: str, **filters: str) -> list[Json]:
        """The job's executions, as soon as one has ended."""
        return self.kube.until(
            f"{job} has a recorded verdict",
            lambda: [entry for entry in self.history(job, **filters) if entry["end_time"]],
        )


def helm(cluster: Cluster, *arguments: str) -> str:
    program = [str(cluster.layout.bin / "helm"), f"--kubeconfig={cluster.kubeconfig}", *arguments]
    done = subprocess.run(program, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def start_mariadb(system: Kube, image: str) -> None:
    labels = {"app": "mariadb"}
    env = [
        {"name": "MARIADB_DATABASE", "value": "merp_db"},
        {"name": "MARIADB_USER", "value": "merp_user"},
        {"name": "MARIADB_PASSWORD", "value": PASSWORD},
    ]
    container = {
        "name": "mariadb",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "env": env,
        "ports": [{"containerPort": 3306}],
        "readinessProbe": {"tcpSocket": {"port": 3306}, "periodSeconds": 2},
    }
    system.await_account()
    system.apply(
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "db"}, "stringData": {"password": PASSWORD + "\n"}},
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "mariadb"},
            "spec": {"selector": labels, "ports": [{"port": 3306}]},
        },
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "mariadb", "labels": labels},
            "spec": {"containers": [container]},
        },
    )
    system.kubectl("wait", "--for=condition=Ready", "pod/mariadb", "--timeout=300s")


@pytest.fixture(scope="module", params=["sqlite", "mariadb"])
def installation(request: pytest.FixtureRequest, cluster: Cluster, images: dict[str, str]) -> Iterator[Installation]:
    database: str = request.param
    system, users = Kube(cluster, f"merp-{database}"), Kube(cluster, f"erp-{database}")
    for kube in (system, users):
        cluster.api.kubectl("create", "namespace", kube.namespace)
    chosen = [
        f"--set=images.{name}.repository={images[name].rpartition(':')[0]}" for name in ("operator", "api", "tasks")
    ]
    chosen += [
        f"--set-string=images.{name}.tag={images[name].rpartition(':')[2]}" for name in ("operator", "api", "tasks")
    ]
    example = [{"name": "ERP_DATABASE_URL", "value": "sqlite://"}, {"name": "ERP_DEMO_DATA", "value": "true"}]
    chosen += [f"--set-json=jobDefaults.env={json.dumps(example)}", f"--set=api.defaultNamespace={users.namespace}"]
    # A busy operator needs longer than anybody would wait to suspend a CronJob, and then the answer is 202.
    patience = [{"name": "MERP_PAUSE_SECONDS", "value": "60"}]
    chosen += [f"--set-json=api.extraEnv={json.dumps(patience)}"]
    if database == "mariadb":
        start_mariadb(system, images["mariadb"])
        chosen += ["--set=database.type=mysql", "--set=database.host=mariadb", "--set=database.existingSecret=db"]
    release = f"erp-{database}"
    helm(
        cluster,
        "install",
        release,
        str(ROOT / "helm/merp-scheduler"),
        "--namespace",
        system.namespace,
        "--wait",
        "--timeout=10m",
        *chosen,
    )
    users.kubectl("create", "serviceaccount", "ann")
    users.kubectl("create", "rolebinding", "ann", "--clusterrole=admin", f"--serviceaccount={users.namespace}:ann")
    token = users.kubectl("create", "token", "ann").strip()
    service = json.loads(system.kubectl("get", "service", "-l", f"app.kubernetes.io/instance={release}", "-o", "json"))
    gateway = next(item for item in service["items"] if any(port["port"] == 8005 for port in item["spec"]["ports"]))
    address = f"http://{gateway['spec']['clusterIP']}:8005"
    yield Installation(users, system, release, address, token)
    uninstall(cluster, system, users, release)


def uninstall(cluster: Cluster, system: Kube, users: Kube, release: str) -> None:
    """Everything goes without a hand: nothing may hang in Terminating."""
    users.apply(scheduled_job("kept"))
    # Each step has its own limit, which only what hangs passes.
    helm(cluster, "uninstall", release, "--namespace", system.namespace, "--wait", "--timeout=10m")
    assert users.get("scheduledjobs", "kept"), "an uninstall must not take the ScheduledJobs along"
    users.kubectl("delete", "sj,jr", "--all", "--timeout=300s")
    for kube in (users, system):
        cluster.api.kubectl("delete", "namespace", kube.namespace, "--timeout=300s")
    cluster.reclaim_volumes()


def scheduled_job(name: str, **spec: Any) -> Json:
    wanted = {"schedule": {"cron": "0 0 1 1 *"}, "task": {"func": "inventory_check"}} | spec
    return {"apiVersion": "scheduler.merp.io/v1", "kind": "ScheduledJob", "metadata": {"name": name}, "spec": wanted}


def test_kubectl_apply_to_record(installation: Installation) -> None:
    kube = installation.kube
    kube.kubectl("apply", "-f", str(ROOT / "examples" / "inventory-check.yaml"))
    kube.create(
        {
            "apiVersion": "scheduler.merp.io/v1",
            "kind": "JobRun",
            "metadata": {"generateName": "now-"},
            "spec": {"scheduledJob": "monthly-inventory-check"},
        }
    )
    [entry] = installation.finished("monthly-inventory-check")
    assert entry["status"] == "success", entry
    assert (entry["result"]["articles"], entry["result"]["net_value"]) == (9, "571.02")
    table = kube.kubectl("get", "sj", "monthly-inventory-check")
    assert table.split("\n")[0].split() == [
        "NAME",
        "SCHEDULE",
        "TZ",
        "READY",
        "PAUSED",
        "ACTIVE",
        "LAST",
        "RUN",
        "RESULT",
        "NEXT",
        "RUN",
        "AGE",
    ]
    assert "success" in table


def test_the_contracts_own_body(installation: Installation) -> None:
    created = installation.ask("POST", "/api/v1/jobs", SEED_BODY)
    assert created.status == 201, created
    shown = {key: created.body[key] for key in SEED_BODY}
    assert shown == SEED_BODY
    assert created.body["created_by"] == f"system:serviceaccount:{installation.kube.namespace}:ann"
    job = created.body["id"]
    executed = installation.ask("POST", f"/api/v1/jobs/{job}/execute")
    assert executed.status == 202, executed
    [entry] = installation.finished(job)
    assert (entry["status"], entry["trigger"]) == ("success", "manual")
    assert entry["result"]["lines"][0]["sku"] == "MOTOR-3KW"
    one = installation.ask("GET", executed.headers["location"])
    assert (one.status, one.body["id"], one.body["status"]) == (200, entry["id"], "success")
    assert entry["created_by"] == f"system:serviceaccount:{installation.kube.namespace}:ann"
    assert job in [item["id"] for item in installation.ask("GET", "/api/v1/jobs").body["items"]]


def test_a_plain_job_fires_at_its_minute_also_with_every_pod_of_ours_gone(installation: Installation) -> None:
    kube, system = installation.kube, installation.system
    kube.apply(scheduled_job("every-minute", schedule={"cron": "* * * * *"}))
    kube.until("its CronJob", lambda: kube.get("cronjobs", "every-minute"))
    first = installation.finished("every-minute")[-1]
    due = datetime.fromisoformat(first["due_time"])
    assert (first["status"], first["trigger"], due.second) == ("success", "schedule", 0)
    assert 0 <= (datetime.fromisoformat(first["start_time"]) - due).total_seconds() < 60

    system.kubectl("scale", "deployment", "--all", "--replicas=0")
    selector = f"app.kubernetes.io/instance={installation.release}"
    kube.until("no pod of ours is left", lambda: not system.list("pods", selector))
    gone_at = datetime.now(UTC)

    def fired_alone() -> Json | None:
        for job in kube.list("jobs", "scheduler.merp.io/scheduled-job=every-minute"):
            created = datetime.fromisoformat(job["metadata"]["creationTimestamp"])
            if created > gone_at and job["status"].get("completionTime"):
                return job
        return None

    alone = kube.until("it fires and ends without us", fired_alone)
    assert not system.list("pods", selector)
    system.kubectl("scale", "deployment", "--all", "--replicas=1")
    name = alone["metadata"]["name"]

    def recorded() -> Json | None:
        try:
            answer = installation.ask("GET", "/api/v1/jobs/history?job_id=every-minute")
        except OSError:  # the gateway is still coming up
            return None
        # Without items while the records are away: the operator brings their tables up to date.
        return next((entry for entry in answer.body.get("items", []) if entry["run_name"] == name), None)

    entry = kube.until("its record appears once we are back", recorded)
    assert (entry["status"], entry["trigger"]) == ("success", "schedule")
    kube.kubectl("delete", "sj", "every-minute")


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        pytest.param(SEED_BODY | {"cron_expression": "30 6 * * 7"}, {"cron_expression"}, id="C01-cron"),
        pytest.param(SEED_BODY | {"func": "inventory_chek"}, {"func"}, id="unknown-function"),
        pytest.param(SEED_BODY | {"kwargs": {"detialed": True}}, {"kwargs"}, id="unknown-parameter"),
        pytest.param(SEED_BODY | {"kwargs": {"connection": "wms"}}, {"kwargs"}, id="no-such-connection"),
        pytest.param({"name": "x" * 101, "job_type": "cron", "func": "inventory_check", "cron_expression": "* *", "args": "all"}, {"name", "cron_expression", "args"}, id="three-wrong-fields"),
    ],
)  # fmt: skip
def test_bad_bodies_are_answered_with_every_field(installation: Installation, body: Json, fields: set[str]) -> None:
    before = len(installation.kube.list("scheduledjobs"))
    answer = installation.ask("POST", "/api/v1/jobs", body)
    assert answer.status == 400
    assert answer.headers["content-type"] == "application/problem+json"
    assert {entry["field"] for entry in answer.body["errors"]} == fields
    assert all(entry["detail"] for entry in answer.body["errors"])
    assert len(installation.kube.list("scheduledjobs")) == before


@pytest.mark.parametrize("token", [pytest.param("", id="none"), pytest.param("default_token", id="garbage")])
def test_c56_without_a_good_token_nothing_is_answered(installation: Installation, token: str) -> None:
    for method, path in (("GET", "/api/v1/jobs"), ("POST", "/api/v1/jobs"), ("GET", "/api/v1/jobs/history")):
        answer = installation.ask(method, path, SEED_BODY if method == "POST" else None, token)
        assert (answer.status, answer.headers["content-type"]) == (401, "application/problem+json")


@pytest.mark.parametrize(
    ("name", "spec", "said"),
    [
        pytest.param("n" * 37, {}, "at most 36 characters", id="long-name"),
        pytest.param("history", {}, "fixed word of the REST API", id="C44-reserved-name"),
        pytest.param(
            "tz", {"schedule": {"cron": "CRON_TZ=Asia/Tokyo 0 9 * * *"}}, "schedule.timeZone", id="C05-zone-inside"
        ),
        pytest.param(
            "two", {"schedule": {"cron": "0 9 * * *", "intervalSeconds": 60}}, "exactly one of", id="two-schedules"
        ),
        pytest.param("none", {"task": None}, "say what to run", id="nothing-to-run"),
        pytest.param("blank", {"displayName": " \u3000\u200b"}, "nothing that can be seen", id="blank-name"),
        pytest.param("lines", {"displayName": "库存\n盘点"}, "a line break", id="name-of-two-lines"),
        pytest.param("zero", {"timeoutSeconds": 0}, "timeoutSeconds", id="C41-timeout-0"),
        pytest.param("func", {"task": {"func": "os:system"}}, "task.func", id="no-task-name"),
        pytest.param("func", {"task": {"func": "__import__"}}, "task.func", id="a-builtin"),
        pytest.param("func", {"task": {"func": "../x"}}, "task.func", id="a-path"),
        pytest.param("func", {"task": {"func": "Echo_Args"}}, "task.func", id="in-capitals"),
    ],
)
def test_kubectl_is_refused_at_the_door(installation: Installation, name: str, spec: Json, said: str) -> None:
    item = scheduled_job(name, **spec)
    item["spec"] = {key: value for key, value in item["spec"].items() if value is not None}
    with pytest.raises(Exception, match=said):
        installation.kube.apply(item)


@pytest.mark.parametrize(
    ("task", "reason", "said"),
    [
        pytest.param({"func": "inventory_chek"}, "UnknownTask", "did you mean inventory_check", id="unknown-task"),
        pytest.param({"func": "create_engine"}, "UnknownTask", "has no task 'create_engine'", id="merely-imported"),
        pytest.param(
            {"func": "inventory_check", "kwargs": {"connection": "wms"}},
            "InvalidParameters",
            "task.kwargs: connection expected the name of one of the job's connections",
            id="no-such-connection",
        ),
        pytest.param(
            {"func": "inventory_check", "kwargs": {"rows": ["x" * 100] * 1024}},
            "InvalidParameters",
            "more than 65536: store the data elsewhere and pass where it is",
            id="100-KiB-of-rows",
        ),
    ],
)
def test_a_wrong_task_by_kubectl_is_told(installation: Installation, task: Json, reason: str, said: str) -> None:
    kube = installation.kube
    kube.apply(scheduled_job("typo", task=task))

    def refused() -> Json | None:
        found = kube.condition("typo", "Ready")
        return found if found is not None and found["status"] == "False" else None

    found = kube.until("Ready=False", refused)
    assert found["reason"] == reason
    assert said in found["message"]
    kube.kubectl("delete", "sj", "typo")


def test_a_catalogue_that_somebody_publishes_counts_beside_it(installation: Installation) -> None:
    """With the rights that the chart and the built-in roles give."""
    kube, image = installation.kube, "registry.example/erp:1"
    takes = {"properties": {"plant": {"type": "string"}}, "required": ["plant"], "additionalProperties": False}
    entry = {"name": "close_day", "positional": ["plant"], "parameters": takes}
    kube.apply(catalogue.config_map("erp-tasks", image, {"v": 1, "tasks": [entry], "broken": []}))
    kube.apply(scheduled_job("own", task={"func": "close_day", "args": [1]}, template={"image": image}))

    def refused() -> Json | None:
        found = kube.condition("own", "Ready")
        return found if found is not None and found["status"] == "False" else None

    found = kube.until("the catalogue counts", refused)
    assert found["message"] == "task.args: plant expected text, got a number"
    body = SEED_BODY | {"func": "close_day", "image": image, "args": [], "kwargs": {}}
    answer = installation.ask("POST", "/api/v1/jobs", body)
    assert (answer.status, [entry["detail"] for entry in answer.body["errors"]]) == (400, ["plant is needed"])
    kube.kubectl("delete", "sj/own", "configmap/erp-tasks")


def test_pause_and_resume_by_rest(installation: Installation) -> None:
    kube = installation.kube
    kube.apply(scheduled_job("pausable"))
    kube.until("it is ready", lambda: kube.condition("pausable", "Ready"))
    paused = installation.ask("POST", "/api/v1/jobs/pausable/pause", {"reason": "年末盘点"})
    assert (paused.status, paused.body["status"], paused.body["next_run_time"]) == (200, "paused", None)
    assert (kube.get("cronjobs", "pausable") or {})["spec"]["suspend"] is True
    resumed = installation.ask("POST", "/api/v1/jobs/pausable/resume")
    assert (resumed.status, resumed.body["status"]) == (200, "active")
    assert installation.ask("DELETE", "/api/v1/jobs/pausable").status == 204
    assert installation.ask("GET", "/api/v1/jobs/pausable").status == 404


def test_c14_what_a_pause_let_pass_is_run_where_that_is_asked_for(installation: Installation) -> None:
    kube = installation.kube
    kube.apply(scheduled_job("often", schedule={"intervalSeconds": 5}))
    installation.finished("often", trigger="schedule")
    assert installation.ask("POST", "/api/v1/jobs/often/pause").status == 200
    # Two due times pass, and there is no event for what does not happen.
    time.sleep(11)
    before = installation.history("often", trigger="backfill")
    resumed = installation.ask("POST", "/api/v1/jobs/often/resume?missed=All")
    assert (resumed.status, before) == (200, [])
    asked_for = resumed.body["catch_up"]["due_times"]
    assert asked_for >= 2

    def caught_up() -> list[Json] | None:
        runs = installation.history("often", trigger="backfill")
        return runs if len(runs) >= asked_for and all(entry["end_time"] for entry in runs) else None

    runs = kube.until("all are caught up", caught_up)
    assert [entry["status"] for entry in runs] == ["success"] * asked_for
    assert len({entry["due_time"] for entry in runs}) == asked_for
    assert installation.ask("DELETE", "/api/v1/jobs/often").status == 204


def test_the_operator_was_never_refused_anything(installation: Installation) -> None:
    """Its rights are just what it needs: nothing was missing on the whole way."""
    log = installation.system.kubectl(
        "logs", "-l", f"app.kubernetes.io/instance={installation.release}", "--all-containers", "--tail=-1"
    )
    assert [line for line in log.splitlines() if "Forbidden" in line or "forbidden" in line] == []
    assert "Traceback" not in log
    assert PASSWORD not in log
