"""The demonstration: the chart on a cluster, an example by kubectl and one by REST, and what the records say of them."""

import json
import os
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, Final

from merp_cluster import commands, images, progress
from merp_cluster.cluster import Cluster
from merp_cluster.errors import ClusterError

_ROOT: Final = Path(__file__).resolve().parents[3]
_RELEASE: Final = "merp"
_NAMESPACE: Final = "merp-system"
_NODE_PORT: Final = 30805
# The image's own example data stands in for the ERP's database, which the body below cannot name.
_EXAMPLE_DATA: Final = [{"name": "ERP_DATABASE_URL", "value": "sqlite://"}, {"name": "ERP_DEMO_DATA", "value": "true"}]
# The body that the REST contract gives as its example.
_BODY: Final = {
    "name": "库存盘点任务",
    "job_type": "cron",
    "func": "inventory_check",
    "cron_expression": "0 0 1 * *",
    "args": ["all"],
    "kwargs": {"detailed": True},
    "description": "每月1日凌晨执行库存盘点",
}
_EXAMPLE: Final = "monthly-inventory-check"
# A pod starts within seconds; a first image load on a busy machine may take a minute.
_RUN_SECONDS: Final = 180.0
_GATEWAY_SECONDS: Final = 60.0


def run() -> None:
    """From nothing to a real run. Raises ClusterError with what to look at."""
    began = time.monotonic()
    current = os.environ.get("CLUSTER") == "current"
    address = _on_current_context() if current else _on_embedded_cluster()
    token = _token()
    example = _run_example()
    posted = _post(address, token)
    executions = [_finished(address, token, job) for job in (example, posted)]
    _tell(address, executions, time.monotonic() - began)


def _on_embedded_cluster() -> str:
    """Cluster, images, chart. Returns the gateway's address."""
    cluster = Cluster()
    cluster.up()
    os.environ["KUBECONFIG"] = str(cluster.kubeconfig)
    os.environ["PATH"] = f"{cluster.layout.bin}:{os.environ['PATH']}"
    built = images.build_all(("operator", "api", "tasks"))
    cluster.load(list(built.values()))
    _install(built, ["--set", "service.type=NodePort", "--set", f"service.nodePort={_NODE_PORT}"])
    return f"http://{cluster.layout.node_ip}:{_NODE_PORT}"


def _on_current_context() -> str:
    """The chart on the current kube context, with images from where IMAGES says; never without being asked to."""
    prefix, tag, address = (os.environ.get(name, "") for name in ("IMAGES", "IMAGE_TAG", "ADDRESS"))
    if not (prefix and tag and address):
        raise ClusterError(
            "CLUSTER=current needs IMAGES (where the images operator, api and tasks can be pulled from), IMAGE_TAG, "
            "and ADDRESS (where the gateway will be reached, for example by an ingress or kubectl port-forward)"
        )
    _install({name: f"{prefix}/{name}:{tag}" for name in ("operator", "api", "tasks")}, [])
    return address


def _install(built: dict[str, str], more: list[str]) -> None:
    chosen = ["--set-json", f"jobDefaults.env={json.dumps(_EXAMPLE_DATA)}", *more]
    for name, image in built.items():
        repository, _, tag = image.rpartition(":")
        chosen += ["--set", f"images.{name}.repository={repository}", "--set-string", f"images.{name}.tag={tag}"]
    with progress.step("installing the chart"):
        commands.output(
            [
                "helm", "upgrade", "--install", _RELEASE, str(_ROOT / "helm/merp-scheduler"),
                "--namespace", _NAMESPACE, "--create-namespace", "--wait", "--timeout", "3m", *chosen,
            ]
        )  # fmt: skip


def _token() -> str:
    """A token of an account that may do everything with ScheduledJobs, by the chart's own aggregated roles."""
    manifests = [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "demo", "namespace": "default"}},
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "RoleBinding",
            "metadata": {"name": "demo-admin", "namespace": "default"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "admin"},
            "subjects": [{"kind": "ServiceAccount", "name": "demo", "namespace": "default"}],
        },
    ]
    commands.output(
        ["kubectl", "apply", "-f", "-"], stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": manifests})
    )
    return commands.output(["kubectl", "create", "token", "demo", "-n", "default"]).strip()


def _run_example() -> str:
    """The example by kubectl, and a run of it now. Returns its name."""
    with progress.step("kubectl apply -f examples/inventory-check.yaml, and a run of it now"):
        commands.output(["kubectl", "apply", "-n", "default", "-f", str(_ROOT / "examples/inventory-check.yaml")])
        request = {
            "apiVersion": "scheduler.merp.io/v1",
            "kind": "JobRun",
            "metadata": {"generateName": f"{_EXAMPLE}-", "namespace": "default"},
            "spec": {"scheduledJob": _EXAMPLE},
        }
        commands.output(["kubectl", "create", "-f", "-"], stdin=json.dumps(request))
    return _EXAMPLE


def _post(address: str, token: str) -> str:
    """The example by REST, and a run of it now. Returns its id."""
    with progress.step("POST /api/v1/jobs with the contract's own example, and POST …/execute"):
        wait_for_gateway(address)
        created = call("POST", f"{address}/api/v1/jobs", token, _BODY)
        job = str(created["id"])
        call("POST", f"{address}/api/v1/jobs/{job}/execute", token, {})
    return job


def _finished(address: str, token: str, job: str) -> dict[str, Any]:
    """The newest execution of a job, once it has a verdict."""
    found: list[dict[str, Any]] = []

    def done() -> bool:
        page = call("GET", f"{address}/api/v1/jobs/history?job_id={job}&limit=1", token)
        found[:] = [entry for entry in page["items"] if entry.get("end_time")]
        return bool(found)

    with progress.step(f"waiting for the execution of {job}"):
        if not commands.holds_within(done, _RUN_SECONDS):
            raise ClusterError(f"{job} did not end: see kubectl describe sj {job}")
    return found[0]


def _tell(address: str, executions: list[dict[str, Any]], seconds: float) -> None:
    print()
    print(commands.output(["kubectl", "get", "sj", "-n", "default"]))
    for entry in executions:
        print(f"{entry['job_id']}: {entry['status']}: {json.dumps(entry['result'], ensure_ascii=False)[:400]}")
    print()
    print(f"REST     {address}/api/v1/jobs       (described by {address}/api/v1/openapi.json)")
    print("token    kubectl create token demo -n default")
    print('kubectl  eval "$(PYTHONPATH=tests/cluster python3 -m merp_cluster env)"')
    print(f"done in {seconds:.0f} s; `make down` ends it")
    wrong = [entry for entry in executions if entry["status"] != "success"]
    if wrong:
        raise ClusterError(f"not every execution succeeded: {wrong}")


def wait_for_gateway(address: str) -> None:
    """Wait until the gateway answers."""

    def answers() -> bool:
        try:
            with urllib.request.urlopen(f"{address}/readyz", timeout=5):
                return True
        except OSError:
            return False

    if not commands.holds_within(answers, _GATEWAY_SECONDS):
        raise ClusterError(f"the gateway does not answer at {address}")


def call(method: str, url: str, token: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    """One REST call. Raises ClusterError with what the gateway said."""
    request = urllib.request.Request(
        url,
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            answer: dict[str, Any] = json.loads(response.read())
            return answer
    except urllib.error.HTTPError as error:
        raise ClusterError(f"{method} {url}: {error.code} {error.read().decode(errors='replace')}") from error
