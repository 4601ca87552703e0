"""Whether recording keeps up with what one API server can tell of: completions a second, alone and while recorded.

The generator makes Jobs that the stock controller leaves alone (`managedBy`), completes them by their status, and
deletes them a while later, as fast as it can. First it does so for a minute while an operator records all of it into a
MariaDB. Then it does so by turns in that namespace and in another one, of which the operator sees nothing: a machine
that is shared with others differs from itself by a tenth within minutes, and turns of half a minute, to and fro and
back, meet the same of it. Each counts from when as many Jobs go as come.

    bench_recording.py [--seconds 60] [--rounds 3] [--only pinned|shared]

There are two set-ups. In `two machines` the control plane and the generator have one processor and the operator and
MariaDB another, all the time: as where these run beside the API server's machine, so the ratio is what recording costs
the API server. In `one machine` all have all: there the generator leaves nothing idle when it is alone, so the ratio is
also what the operator and the database need themselves. Needs root, two processors and 17 minutes.
"""

import argparse
import asyncio
import os
import re
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Self

ROOT: Final = Path(__file__).parents[2]
for folder in ("tests/objects", "tests/cluster", "crds", "operator"):
    sys.path.insert(0, str(ROOT / folder))

import mariadb_server  # noqa: E402  (the path comes first)
import processor_time  # noqa: E402
from cluster_objects import minutely  # noqa: E402
from kube import Kube  # noqa: E402
from mariadb_server import Server  # noqa: E402
from operator_process import OperatorProcess  # noqa: E402

from merp_cluster.cluster import Cluster  # noqa: E402
from merp_crds import names  # noqa: E402
from merp_crds.common import rfc3339  # noqa: E402
from merp_kube import paths  # noqa: E402
from merp_kube.client import MERGE_PATCH, Client, load_configuration  # noqa: E402

Json = dict[str, Any]
# The limits, for two machines: of the rate alone, of completions a second, of the lag's p99, and of the memory.
RATIO: Final = 0.9
COMPLETIONS: Final = 100.0
LAG_SECONDS: Final = 2.0
GROWTH: Final = 1.05
# The first is the API server's machine where there are two.
PROCESSORS: Final = sorted(os.sched_getaffinity(0))[:2]
# So many at a time is what the generator keeps the API server busy with.
WORKERS: Final = 8
JOBS: Final = 40
# Longer than the records need, so that nothing is deleted before it was seen.
KEPT_SECONDS: Final = 10.0
# After that as many Jobs are deleted as made, and each ScheduledJob has told of its first verdicts.
WARM_UP_SECONDS: Final = 20.0
# What the turn before has left is deleted and told within that time.
TURN_WARM_UP_SECONDS: Final = 16.0
TURN_SECONDS: Final = 20.0


@dataclass(frozen=True, slots=True)
class Options:
    """How many seconds are recorded at first, and how many rounds of turns follow."""

    seconds: float
    rounds: int


class Generator:
    """Completes Jobs of `JOBS` ScheduledJobs, one after the other, in `WORKERS` loops."""

    def __init__(self, client: Client, namespace: str, owners: list[Json]) -> None:
        self.completed: dict[str, datetime] = {}
        self._client = client
        self._namespace = namespace
        self._owners = owners
        self._number = 0
        self._warm_at = 0.0
        # Completions since it was warm.
        self._counted = 0
        self._old: deque[tuple[float, str]] = deque()

    async def run(self, warm_up: float, seconds: float, costs: "Costs") -> float:
        """Completions a second, for so long once it is warm; what it costs from then on is counted beside it."""
        self._counted = 0
        self._warm_at = time.monotonic() + warm_up
        async with asyncio.TaskGroup() as group:
            for _ in range(WORKERS):
                group.create_task(self._work(self._warm_at + seconds))
            await asyncio.sleep(warm_up)
            await asyncio.to_thread(costs.begin)
        rate = self._counted / (time.monotonic() - self._warm_at)
        costs.end(self._counted)
        return rate

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
        name = f"{owner['name']}-{number}"
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
        self._counted += time.monotonic() >= self._warm_at
        self._old.append((time.monotonic() + KEPT_SECONDS, name))


class Memory:
    """The resident memory of a process, MiB, read every second while it is entered."""

    def __init__(self, pid: int) -> None:
        self.seen: list[float] = []
        self._pid = pid
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._read)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    @property
    def growth(self) -> float:
        """The end over what it was after three quarters.

        By then the caches hold the runs of `KEPT_SECONDS` and those that a status is still to tell of, which are those
        of twenty seconds at most, and as many go as come.
        """
        return self.seen[-1] / self.seen[len(self.seen) * 3 // 4]

    def __str__(self) -> str:
        shares = [self.seen[len(self.seen) * share // 4] for share in range(4)] + [self.seen[-1]]
        return " ".join(f"{share:.0f}" for share in shares)

    def _read(self) -> None:
        while not self._ended.wait(1.0):
            self.seen.append(processor_time.resident_mebibytes(self._pid))


class Costs:
    """What a part of the benchmark costs: processor time by process, requests by who is asked for what."""

    def __init__(self, cluster: Cluster, recorders: processor_time.Groups) -> None:
        self._cluster = cluster
        self._groups = control_plane(cluster) | dict(recorders)
        self._time: Counter[str] = Counter()
        self._requests: Counter[str] = Counter()
        self._completions = 0

    def begin(self) -> None:
        """Count from now on."""
        self._time.subtract(processor_time.seconds(self._groups))
        self._requests.subtract(self._asked())

    def end(self, completions: int) -> None:
        """Count until now, for so many completions; it can be begun again."""
        self._time.update(processor_time.seconds(self._groups))
        self._requests.update(self._asked())
        self._completions += completions

    def tell(self) -> None:
        """Print what each completion has cost."""
        times = ", ".join(f"{name} {1000 * spent / self._completions:.2f}" for name, spent in self._time.items())
        print(f"    processor ms a completion: {times}")
        each = {what: count / self._completions for what, count in self._requests.most_common()}
        print(
            "    requests a completion:",
            ", ".join(f"{what} {count:.2f}" for what, count in each.items() if count > 0.01),
        )

    def _asked(self) -> Counter[str]:
        text = self._cluster.api.kubectl("get", "--raw", "/metrics")
        found: Counter[str] = Counter()
        for line in text.splitlines():
            if line.startswith("apiserver_request_total{"):
                labels = dict(re.findall(r'(\w+)="([^"]*)"', line))
                what = labels["resource"] + ("/" + labels["subresource"] if labels["subresource"] else "")
                found[f"{labels['verb']} {what} {labels['code']}"] += int(float(line.rpartition(" ")[2]))
        return found


def control_plane(cluster: Cluster) -> dict[str, list[int]]:
    """The processes of the cluster, and this one, which generates."""
    found: dict[str, list[int]] = {"API server": [], "etcd": [], "controllers and node": [], "generator": [os.getpid()]}
    names_of = {"kube-apiserver": "API server", "etcd": "etcd"}
    for state in cluster.states():
        if state.pid is not None:
            found[names_of.get(state.name, "controllers and node")].append(state.pid)
    return found


def lags(completed: dict[str, datetime], recorded: dict[str, datetime], seen: datetime) -> dict[str, float]:
    """Seconds from each completion to the commit of its record.

    A row says when its batch began. There is one writer: when the next batch begins this one is committed, so that
    moment is taken for the commit; for the last batch the moment at which all were `seen`.
    """
    batches = sorted(set(recorded.values()))
    after = dict(zip(batches, [*batches[1:], seen], strict=True))
    return {name: (after[recorded[name]] - at).total_seconds() for name, at in completed.items()}


def clear(kube: Kube) -> None:
    """Delete the Jobs that are left, and wait until the API server has nothing more to do with them."""
    # At once: kubectl would ask for each of thousands.
    kube.kubectl("delete", "--raw", f"{paths.JOB.of(kube.namespace)}?propagationPolicy=Background")
    kube.until("no Job is left", lambda: not kube.list("jobs"), 120)


def scheduled_jobs() -> list[Json]:
    """The jobs whose runs the generator makes: nothing else starts any."""
    bodies = [minutely("none:1", f"j{number:02}", concurrencyPolicy="Allow") for number in range(JOBS)]
    for body in bodies:
        del body["spec"]["schedule"]
    return bodies


@contextmanager
def recording(kube: Kube, server: Server, database: str) -> Iterator[OperatorProcess]:
    """An operator that records what happens in the namespace, and has looked at every job."""
    place = {"DB_HOST": "127.0.0.1", "DB_PORT": str(server.port), "DB_NAME": database, "DB_USER": "root"}
    with tempfile.TemporaryDirectory() as folder:
        operator = OperatorProcess(Path(folder), kube.cluster.kubeconfig, kube.namespace, **place)
        operator.is_measured = False
        try:
            operator.start()
            jobs = [item["metadata"]["name"] for item in kube.list("scheduledjobs")]
            kube.until("all are ready", lambda: all(kube.condition(name, "Ready") for name in jobs), 60)
            yield operator
        finally:
            operator.stop()


def records(server: Server, database: str, completed: dict[str, datetime], seen: datetime) -> dict[str, float]:
    """The lag of each record, in seconds. Fails where not every completion has one record, and nothing else."""
    found = server.sql(f"SELECT run_name, recorded_at, status FROM `{database}`.job_executions")
    assert sorted(row[0] for row in found) == sorted(completed), "each is recorded once, and nothing else"
    assert {row[2] for row in found} == {"success"}, "each has its verdict"
    return lags(completed, {name: at.replace(tzinfo=UTC) for name, at, _ in found}, seen)


@dataclass(slots=True)
class Measured:
    """Completions a second of the minute and of each turn; and of the minute what was completed, and the memory."""

    minute: float
    completed: list[str]
    memory: Memory
    alone: list[float]
    recorded: list[float]


async def generate(
    cluster: Cluster, kube: Kube, operator: OperatorProcess, recorders: processor_time.Groups, options: Options
) -> tuple[Measured, dict[str, datetime]]:
    """The minute and the turns. Returns them, and when each run was completed that is to be recorded."""
    configuration = await load_configuration(cluster.kubeconfig)
    async with Client(configuration, connections=WORKERS) as client:
        owners = kube.list("scheduledjobs")
        seen, unseen = (Generator(client, name, owners) for name in (kube.namespace, f"{kube.namespace}-aside"))
        with Memory(operator.pid) as memory:
            minute = await seen.run(WARM_UP_SECONDS, options.seconds, Costs(cluster, recorders))
        found = Measured(minute, list(seen.completed), memory, [], [])
        alone, recorded = Costs(cluster, recorders), Costs(cluster, recorders)
        for _ in range(options.rounds):
            # Whatever goes up or down evenly in the course of it is the same for both.
            found.alone.append(await unseen.run(TURN_WARM_UP_SECONDS, TURN_SECONDS, alone))
            found.recorded.append(await seen.run(TURN_WARM_UP_SECONDS, TURN_SECONDS, recorded))
            found.recorded.append(await seen.run(TURN_WARM_UP_SECONDS, TURN_SECONDS, recorded))
            found.alone.append(await unseen.run(TURN_WARM_UP_SECONDS, TURN_SECONDS, alone))
        for name, rates, costs in (("alone", found.alone, alone), ("recorded", found.recorded, recorded)):
            print(f"  {name}: {' '.join(f'{rate:.0f}' for rate in rates)} completions a second")
            costs.tell()
        return found, seen.completed


def measure(cluster: Cluster, kube: Kube, server: Server, options: Options, *, pinned: bool) -> bool:
    """Both rates, the lag of the records, the operator's memory. Whether the limits are kept."""
    for pids in control_plane(cluster).values():
        processor_time.pin(pids, PROCESSORS[:1] if pinned else PROCESSORS)
    database = str(server.new_url().database)
    with recording(kube, server, database) as operator:
        assert server.process is not None, "it was started"
        recorders = {"operator": [operator.pid], "MariaDB": [server.process.pid]}
        for pids in recorders.values():
            processor_time.pin(pids, PROCESSORS[1:] if pinned else PROCESSORS)
        found, completed = asyncio.run(generate(cluster, kube, operator, recorders, options))
        count = f"SELECT COUNT(*) FROM `{database}`.job_executions WHERE status = 'success'"
        kube.until("all are recorded", lambda: server.sql(count)[0][0] >= len(completed), 60)
        seen = datetime.now(UTC)
    ratio = statistics.mean(found.recorded) / statistics.mean(found.alone)
    print(f"  recorded is {ratio:.2f} of alone; {found.minute:.0f} completions a second in {options.seconds:.0f} s")
    # Not of the turns: between two of them there is no next batch.
    waits = records(server, database, completed, seen)
    shares = statistics.quantiles((waits[name] for name in found.completed), n=100)
    print(f"  lag of the records: p50 {shares[49]:.2f} s, p99 {shares[98]:.2f} s; all {len(completed)} are recorded")
    print(f"  memory of the operator in the course of the {options.seconds:.0f} s: {found.memory} MiB")
    kept = ratio >= RATIO and found.minute >= COMPLETIONS and shares[98] < LAG_SECONDS and found.memory.growth < GROWTH
    if pinned:
        print(f"  limits: {'kept' if kept else 'exceeded'}")
    return kept


def in_set_up(cluster: Cluster, options: Options, *, pinned: bool) -> bool:
    """One of the two set-ups, in namespaces and a database of its own. Whether the limits are kept."""
    print(f"{'two machines' if pinned else 'one machine'}:")
    kube = Kube(cluster, f"bench-{int(time.time())}")
    namespaces = (kube.namespace, f"{kube.namespace}-aside")
    for name in namespaces:
        cluster.api.kubectl("create", "namespace", name)
    try:
        kube.apply(*scheduled_jobs())
        with mariadb_server.running() as server:
            return measure(cluster, kube, server, options, pinned=pinned)
    finally:
        for name in namespaces:
            clear(Kube(cluster, name))
            cluster.api.kubectl("delete", "namespace", name, "--wait=false")
        # The cluster goes on, and has all of the machine again.
        for pids in control_plane(cluster).values():
            processor_time.pin(pids, PROCESSORS)


def main() -> int:
    """Both set-ups, or the one that is asked for. Returns 1 where a limit is exceeded with two machines."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="how long it is recorded at first; 60 if not given")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of four turns of 20 s; 3 if not given")
    parser.add_argument("--only", choices=("pinned", "shared"), help="one of the two set-ups")
    arguments = parser.parse_args()
    options = Options(arguments.seconds, arguments.rounds)
    # What is known is told at once, also into a file.
    sys.stdout.reconfigure(line_buffering=True)
    cluster = Cluster()
    cluster.up()
    for kind in ("scheduledjob", "jobrun", "jobpool", "businesscalendar"):
        cluster.api.kubectl("apply", "--server-side", "--force-conflicts", "-f", str(ROOT / "crds" / f"{kind}.yaml"))
    kept = arguments.only == "shared" or in_set_up(cluster, options, pinned=True)
    if arguments.only != "pinned":
        in_set_up(cluster, options, pinned=False)
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
