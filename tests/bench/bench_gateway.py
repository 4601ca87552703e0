"""How long reads through the gateway take beside each other, at a fixed rate, with many jobs and a long history.

    bench_gateway.py [JOBS] [RECORDS]      10,000 and 1,000,000 if not given, in a quarter of an hour

Jobs are on the embedded cluster (MERP_CLUSTER), records on a MariaDB server of the machine, which it starts for itself. One
client asks, 50 times a second, whether or not earlier answers have come. Needs root.
"""

import asyncio
import statistics
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parents[2]
for folder in ("tests/objects", "tests/cluster"):
    sys.path.insert(0, str(ROOT / folder))

import httpx2  # noqa: E402  (the path comes first)
import mariadb_server  # noqa: E402
from gateway_process import GatewayProcess  # noqa: E402
from kube import Kube  # noqa: E402
from recorded_history import History  # noqa: E402

from merp_cluster.cluster import Cluster  # noqa: E402
from merp_crds.common import rfc3339  # noqa: E402
from merp_kube.client import MERGE_PATCH, Client, load_configuration  # noqa: E402
from merp_kube.paths import SCHEDULED_JOB  # noqa: E402
from merp_records.engine import create_engine  # noqa: E402
from merp_records.migrations import upgrade  # noqa: E402

Json = dict[str, Any]
RATE: Final = 50
SECONDS: Final = 10
P95_MILLISECONDS: Final = 100.0
# So many at a time is what making them keeps the API server busy with.
_WORKERS: Final = 20
_WORDS: Final = ("stock", "orders", "prices", "库存", "payroll")


def job(number: int, namespace: str) -> Json:
    """A job as people write it; the first has a tenth of all records."""
    word = _WORDS[number % len(_WORDS)]
    return {
        "apiVersion": "scheduler.merp.io/v1",
        "kind": "ScheduledJob",
        "metadata": {"name": f"job-{number:05}", "namespace": namespace},
        "spec": {
            "displayName": f"{word} {number}",
            "description": f"what number {number} of the {word} is for",
            "schedule": {"cron": f"{number % 60} {number % 24} * * *", "timeZone": "Asia/Shanghai"},
            "task": {"func": "echo_args", "args": [number], "kwargs": {"warehouse": f"w-{number % 30}"}},
            "priority": ("high", "normal", "low")[number % 3],
        },
    }


def status(now: datetime) -> Json:
    """What the operator says of a job that has run for a while."""
    verdict = {"verdict": "success", "trigger": "schedule", "reason": "Completed", "endTime": rfc3339(now)}
    recent = [
        verdict | {"run": f"run-{number}", "dueTime": rfc3339(now - number * timedelta(days=1))} for number in range(20)
    ]
    ready = {"type": "Ready", "status": "True", "reason": "Ready", "message": "", "lastTransitionTime": rfc3339(now)}
    return {
        "observedGeneration": 1,
        "nextRunTime": rfc3339(now + timedelta(hours=5)),
        "conditions": [ready],
        "recent": recent,
        "newest": {"success": recent[0]},
    }


async def make_jobs(kube: Kube, count: int) -> None:
    """Create the jobs and write their status, some at a time."""
    numbers, now = iter(range(count)), datetime.now(UTC).replace(microsecond=0)
    configuration = await load_configuration(kube.cluster.kubeconfig)

    async def work(client: Client) -> None:
        for number in numbers:
            made = job(number, kube.namespace)
            path = SCHEDULED_JOB.at(kube.namespace, made["metadata"]["name"], "status")
            await client.call("POST", SCHEDULED_JOB.of(kube.namespace), body=made)
            await client.call("PATCH", path, body={"status": status(now)}, content_type=MERGE_PATCH)

    async with Client(configuration) as client, asyncio.TaskGroup() as group:
        for _ in range(_WORKERS):
            group.create_task(work(client))


def requests(count: int) -> dict[str, Callable[[int], str]]:
    """What a console asks for; the number of a request makes it another one."""
    return {
        "jobs, a page": lambda number: "/jobs?limit=50",
        "jobs, by next run": lambda number: "/jobs?limit=50&sort=-next_run_time",
        "jobs, filtered": lambda number: f"/jobs?priority={('high', 'low')[number % 2]}&status=active&sort=name",
        "jobs, a search": lambda number: f"/jobs?text=number%20{number * 37 % count}%20of",
        "jobs, a search for nothing": lambda number: "/jobs?text=nowhere",
        "one job": lambda number: f"/jobs/job-{number * 37 % count:05}",
        "history, a page": lambda number: "/jobs/history?namespace=*",
        "history, failed": lambda number: "/jobs/history?namespace=*&status=failed",
        "explain": lambda number: f"/jobs/job-{number * 37 % count:05}/explain",
    }


async def milliseconds(url: str, token: str, path_of: Callable[[int], str], seconds: int) -> list[float]:
    """How long each request took that was sent at the fixed rate."""
    headers = {"Authorization": f"Bearer {token}"}
    limits = httpx2.Limits(max_connections=100, max_keepalive_connections=100)
    async with httpx2.AsyncClient(base_url=f"{url}/api/v1", headers=headers, limits=limits, timeout=60) as client:

        async def ask(number: int) -> float:
            began = time.perf_counter()
            answer = await client.get(path_of(number))
            assert answer.status_code == 200, answer.text
            return (time.perf_counter() - began) * 1000

        await ask(0)
        tasks = []
        begin = time.perf_counter()
        for number in range(RATE * seconds):
            await asyncio.sleep(max(0.0, begin + number / RATE - time.perf_counter()))
            tasks.append(asyncio.create_task(ask(number)))
        return list(await asyncio.gather(*tasks))


def memory(pid: int) -> float:
    """Resident memory of a process, MiB."""
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024


def cpu_seconds(pid: int) -> float:
    """What a process has used of a processor."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


def measure(gateway: GatewayProcess, jobs: int, token: str) -> bool:
    """A line for each kind of request. Returns whether all kept the limit."""
    kept = True
    print(f"{RATE} requests a second for {SECONDS} s each; p95 at most {P95_MILLISECONDS:.0f} ms")
    print(f"  {'':<28}{'median':>8}{'p95':>8}{'longest':>9}   of one processor")
    for name, path_of in requests(jobs).items():
        used, began = cpu_seconds(gateway.pid), time.monotonic()
        took = asyncio.run(milliseconds(gateway.url, token, path_of, SECONDS))
        share = (cpu_seconds(gateway.pid) - used) / (time.monotonic() - began)
        p95 = statistics.quantiles(took, n=20)[-1]
        kept &= p95 < P95_MILLISECONDS
        print(f"  {name:<28}{statistics.median(took):8.1f}{p95:8.1f}{max(took):9.1f}   {share:.0%}", flush=True)
    print(f"memory of the gateway: {memory(gateway.pid):.0f} MiB")
    return kept


def main() -> int:
    """Returns 1 where a limit is passed."""
    given = [int(word) for word in sys.argv[1:]]
    jobs, records = (given + [10_000, 1_000_000][len(given) :])[:2]
    cluster = Cluster()
    cluster.up()
    cluster.api.kubectl("apply", "--server-side", "-f", str(ROOT / "crds"))
    kube = Kube(cluster, f"bench-{uuid.uuid4().hex[:8]}")
    cluster.api.kubectl("create", "namespace", kube.namespace)
    with tempfile.TemporaryDirectory() as folder, mariadb_server.running("--innodb-buffer-pool-size=512M") as server:
        began = time.monotonic()
        asyncio.run(make_jobs(kube, jobs))
        print(f"{jobs:,} jobs made in {time.monotonic() - began:.0f} s", flush=True)
        url = server.new_url()
        engine = create_engine(url)
        upgrade(engine)
        History(records, jobs=500, days=100, end=datetime.now(UTC), record_days=50).write(engine)
        engine.dispose()
        print(f"{records:,} records", flush=True)
        # One client is all who ask here.
        gateway = GatewayProcess(Path(folder), kube, url, {"MERP_REQUESTS_PER_SECOND": "0"})
        kube.kubectl(
            "create",
            "clusterrolebinding",
            kube.namespace,
            "--clusterrole=cluster-admin",
            f"--serviceaccount={kube.namespace}:chief",
        )
        began = time.monotonic()
        gateway.start(covered=False)
        print(f"ready after {time.monotonic() - began:.1f} s", flush=True)
        try:
            kept = measure(gateway, jobs, gateway.token("chief"))
        finally:
            gateway.stop()
            kube.kubectl("delete", "clusterrolebinding", kube.namespace)
            cluster.api.kubectl("delete", "namespace", kube.namespace, "--wait=false")
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
