"""Whether recording keeps up with what one API server can tell of: completions a second, alone and while recorded.

The generator makes Jobs that the stock controller leaves alone (`managedBy`), completes them by their status, and
deletes them a while later. First it works alone, as fast as it can; then the same with an operator that records into a
MariaDB of this machine. Needs root and two minutes; all of it shares one machine, so only ratios say something.
"""

import asyncio
import statistics
import sys
import tempfile
import time
from collections import deque
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parents[2]
for folder in ("tests/objects", "tests/cluster", "crds", "operator"):
    sys.path.insert(0, str(ROOT / folder))

import mariadb_server  # noqa: E402  (the path comes first)
from cluster_objects import minutely  # noqa: E402
from kube import Kube  # noqa: E402
from operator_process import OperatorProcess  # noqa: E402

from merp_cluster.cluster import Cluster  # noqa: E402
from merp_crds import names  # noqa: E402
from merp_crds.common import rfc3339  # noqa: E402
from merp_kube import paths  # noqa: E402
from merp_kube.client import MERGE_PATCH, Client, load_configuration  # noqa: E402

Json = dict[str, Any]
SECONDS: Final = 60.0
# So many at a time is what the generator keeps the API server busy with.
WORKERS: Final = 8
JOBS: Final = 40
# Longer than the records need, so that nothing is deleted before it was seen.
KEPT_SECONDS: Final = 10.0


class Generator:
    """Completes Jobs of `JOBS` ScheduledJobs, one after the other, in `WORKERS` loops."""

    def __init__(self, client: Client, namespace: str, owners: list[Json], prefix: str) -> None:
        self.completed: dict[str, datetime] = {}
        self._client = client
        self._namespace = namespace
        self._owners = owners
        self._prefix = prefix
        self._number = 0
        self._old: deque[tuple[float, str]] = deque()

    async def run(self, seconds: float) -> float:
        """Completions a second."""
        begin = time.monotonic()
        async with asyncio.TaskGroup() as group:
            for _ in range(WORKERS):
                group.create_task(self._work(begin + seconds))
        return len(self.completed) / (time.monotonic() - begin)

    async def _work(self, end: float) -> None:
        while time.monotonic() < end:
            self._number += 1
            await self._one(self._number)
            while self._old and self._old[0][0] < time.monotonic():
                _, name = self._old.popleft()
                path = paths.JOB.at(self._namespace, name)
                await self._client.call("DELETE", path, body={"propagationPolicy": "Background"})

    async def _one(self, number: int) -> None:
        owner = self._owners[number % len(self._owners)]["metadata"]
        name = f"{owner['name']}-{self._prefix}{number}"
        now = rfc3339(datetime.now(UTC))
        labels = {
            names.LABEL_MANAGED: "true",
            names.LABEL_SCHEDULED_JOB: owner["name"],
            names.LABEL_SCHEDULED_JOB_UID: owner["uid"],
            names.LABEL_TRIGGER: "manual",
        }
        pod = {"restartPolicy": "Never", "containers": [{"name": "task", "image": "none:1"}]}
        body = {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {"name": name, "labels": labels, "annotations": {names.ANNOTATION_DUE_TIME: now}},
            "spec": {"managedBy": "merp.io/bench", "template": {"spec": pod}},
        }
        await self._client.call("POST", paths.JOB.of(self._namespace), body=body)
        conditions = [
            {"type": kind, "status": "True", "reason": "CompletionsReached", "lastTransitionTime": now}
            for kind in ("SuccessCriteriaMet", "Complete")
        ]
        status = {"startTime": now, "completionTime": now, "succeeded": 1, "conditions": conditions}
        path = paths.JOB.at(self._namespace, name, "status")
        await self._client.call("PATCH", path, body={"status": status}, content_type=MERGE_PATCH)
        self.completed[name] = datetime.now(UTC)
        self._old.append((time.monotonic() + KEPT_SECONDS, name))


async def generate(cluster: Cluster, kube: Kube, prefix: str) -> tuple[Generator, float]:
    """A minute of it. Returns what was completed, and how many a second."""
    configuration = await load_configuration(cluster.kubeconfig)
    async with Client(configuration, connections=WORKERS) as client:
        generator = Generator(client, kube.namespace, kube.list("scheduledjobs"), prefix)
        return generator, await generator.run(SECONDS)


def memory(operator: OperatorProcess) -> float:
    """The operator's resident memory, MiB."""
    for line in operator.metrics().splitlines():
        if line.startswith("process_resident_memory_bytes "):
            return float(line.split()[1]) / 2**20
    raise RuntimeError("the operator does not say how much memory it has")


def main() -> None:
    """Both rates, their ratio, the lag of the records, and the operator's memory."""
    cluster = Cluster()
    cluster.up()
    for kind in ("scheduledjob", "jobrun", "jobpool", "businesscalendar"):
        cluster.api.kubectl("apply", "--server-side", "--force-conflicts", "-f", str(ROOT / "crds" / f"{kind}.yaml"))
    namespace = f"bench-{int(time.time())}"
    cluster.api.kubectl("create", "namespace", namespace)
    kube = Kube(cluster, namespace)
    with tempfile.TemporaryDirectory() as folder, mariadb_server.running() as server:
        database = str(server.new_url().database)
        place = {"DB_HOST": "127.0.0.1", "DB_PORT": str(server.port), "DB_NAME": database, "DB_USER": "root"}
        bodies = [minutely("none:1", f"j{number:02}", concurrencyPolicy="Allow") for number in range(JOBS)]
        for body in bodies:
            del body["spec"]["schedule"]
        kube.apply(*bodies)
        _, alone = asyncio.run(generate(cluster, kube, "a"))
        print(f"alone: {alone:.0f} completions a second")
        # At once: kubectl would ask for each of thousands.
        kube.kubectl("delete", "--raw", paths.JOB.of(namespace))
        operator = OperatorProcess(Path(folder), cluster.kubeconfig, namespace, **place)
        operator.is_measured = False
        operator.start()
        kube.until(
            "all are ready", lambda: all(kube.condition(body["metadata"]["name"], "Ready") for body in bodies), 60
        )
        before = memory(operator)
        generator, recorded = asyncio.run(generate(cluster, kube, "b"))
        after = memory(operator)
        print(f"recorded: {recorded:.0f} a second, {recorded / alone:.2f} of that alone")
        print(f"memory of the operator: {before:.0f} MiB before, {after:.0f} MiB after")
        wanted = len(generator.completed)
        count = f"SELECT COUNT(*) FROM `{database}`.job_executions WHERE status = 'success'"
        kube.until("all are recorded", lambda: server.sql(count)[0][0] >= wanted, 60)
        rows = dict(server.sql(f"SELECT run_name, recorded_at FROM `{database}`.job_executions"))
        lags = [(rows[name].replace(tzinfo=UTC) - at).total_seconds() for name, at in generator.completed.items()]
        shares = statistics.quantiles(lags, n=100)
        print(f"lag of the records: p50 {shares[49]:.2f} s, p99 {shares[98]:.2f} s, {wanted} of {len(rows)} recorded")
        operator.stop()
    cluster.api.kubectl("delete", "namespace", namespace, "--wait=false")


if __name__ == "__main__":
    main()
