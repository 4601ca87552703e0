"""How soon a run is released once its upstream's Complete is seen: a hundred pairs, on one watcher's clock."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Any

import pytest
from cluster_objects import minutely
from kube import Kube
from operator_process import OperatorProcess

from merp_crds import names
from merp_crds.common import rfc3339
from merp_kube import paths
from merp_kube.client import MERGE_PATCH, Client, load_configuration

pytestmark = [pytest.mark.cluster, pytest.mark.storm]

Json = dict[str, Any]
PAIRS = 100
P99_SECONDS = 0.3
# A release is a look, a write, and its way through a watch.
WRITES = 4
# Five completions a second: more than the stock Job controller makes of its twenty requests a second.
PERIOD = 0.2
# No node has this label: no pod starts, so that nothing but the release is measured.
NOWHERE = {"kubernetes.io/hostname": "nowhere"}
LONG_AGO = "2026-01-01T00:00:00Z"


def down(image: str, number: int) -> Json:
    spec: Json = {"dependsOn": [{"name": f"up-{number}"}], "template": {"image": image, "nodeSelector": NOWHERE}}
    return minutely(image, f"down-{number}", schedule={"cron": "0 0 1 1 *"}, **spec)


def up(image: str, number: int) -> Json:
    body = minutely(image, f"up-{number}")
    del body["spec"]["schedule"]
    return body


def asked(number: int) -> Json:
    spec = {"scheduledJob": f"down-{number}", "dueTime": LONG_AGO}
    return {"apiVersion": names.API_VERSION, "kind": "JobRun", "metadata": {"name": f"d-{number}"}, "spec": spec}


def upstream_run(owner: Json, image: str) -> Json:
    """A run whose controller is this test: the stock one leaves it alone, and it ends when the test says so."""
    name, uid = owner["metadata"]["name"], owner["metadata"]["uid"]
    labels = {
        names.LABEL_MANAGED: "true",
        names.LABEL_SCHEDULED_JOB: name,
        names.LABEL_SCHEDULED_JOB_UID: uid,
        names.LABEL_TRIGGER: "manual",
    }
    pod = {"restartPolicy": "Never", "containers": [{"name": "task", "image": image}]}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": f"{name}-r-run", "labels": labels, "annotations": {names.ANNOTATION_DUE_TIME: LONG_AGO}},
        "spec": {"managedBy": "merp.io/test", "template": {"spec": pod}},
    }


def completed() -> Json:
    now = rfc3339(datetime.now(UTC).replace(microsecond=0))
    conditions = [
        {"type": kind, "status": "True", "reason": "CompletionsReached", "lastTransitionTime": now}
        for kind in ("SuccessCriteriaMet", "Complete")
    ]
    return {"status": {"startTime": now, "completionTime": now, "succeeded": 1, "conditions": conditions}}


class Watcher:
    """When it saw each upstream complete, and each downstream run released, by number; the loop's time, in seconds."""

    def __init__(self) -> None:
        self.completed: dict[int, float] = {}
        self.released: dict[int, float] = {}
        self.all_released = asyncio.Event()

    async def run(self, client: Client, namespace: str, version: str) -> None:
        query = {"watch": "true", "resourceVersion": version}
        async with aclosing(client.stream(paths.JOB.of(namespace), query=query, idle_seconds=60)) as lines:
            async for line in lines:
                self._see(json.loads(line)["object"], time.monotonic())

    def _see(self, job: Json, now: float) -> None:
        kind, _, number = job["metadata"]["labels"][names.LABEL_SCHEDULED_JOB].partition("-")
        conditions = (job.get("status") or {}).get("conditions") or []
        if kind == "up" and any(entry["type"] == "Complete" for entry in conditions):
            self.completed.setdefault(int(number), now)
        if kind == "down" and job["spec"].get("suspend") is False:
            self.released.setdefault(int(number), now)
            if len(self.released) == PAIRS:
                self.all_released.set()


async def complete(client: Client, path: str, writes: list[float]) -> None:
    """End an upstream's run, and note how many seconds that took."""
    began = time.monotonic()
    await client.call("PATCH", path, body=completed(), content_type=MERGE_PATCH)
    writes.append(time.monotonic() - began)


@pytest.fixture
async def client(kube: Kube) -> AsyncIterator[Client]:
    async with Client(await load_configuration(kube.cluster.kubeconfig)) as made:
        yield made


async def test_a_hundred_releases(kube: Kube, operator: OperatorProcess, client: Client, task_image: str) -> None:
    numbers = range(PAIRS)
    kube.apply(*(up(task_image, number) for number in numbers), *(down(task_image, number) for number in numbers))
    ups, downs = ([f"{kind}-{number}" for number in numbers] for kind in ("up", "down"))
    kube.until("all are ready", lambda: all(kube.condition(name, "Ready") for name in (*ups, *downs)), 60)
    kube.apply(*(asked(number) for number in numbers))
    by_name = {item["metadata"]["name"]: item for item in kube.list("scheduledjobs")}
    kube.apply(*(upstream_run(by_name[name], task_image) for name in ups))

    def waiting() -> bool:
        seen = [item.get("status") or {} for item in kube.list("scheduledjobs") if item["metadata"]["name"] in downs]
        return all(any(entry["state"] == "waiting" for entry in status.get("active", [])) for status in seen)

    kube.until("each waits for its upstream", waiting, 60)
    page = await client.call("GET", paths.JOB.of(kube.namespace))
    watcher, writes = Watcher(), list[float]()
    async with asyncio.TaskGroup() as group:
        watching = group.create_task(watcher.run(client, kube.namespace, page["metadata"]["resourceVersion"]))
        begin = time.monotonic()
        for number in numbers:
            # By the clock, however long a request takes.
            await asyncio.sleep(max(0.0, begin + number * PERIOD - time.monotonic()))
            path = paths.JOB.at(kube.namespace, f"up-{number}-r-run", "status")
            group.create_task(complete(client, path, writes))
        await asyncio.wait_for(watcher.all_released.wait(), 30)
        watching.cancel()

    seconds = sorted(watcher.released[number] - watcher.completed[number] for number in numbers)
    shares = {share: seconds[PAIRS * share // 100 - 1] for share in (50, 95, 99)}
    print("released after " + ", ".join(f"p{share} {1000 * found:.0f} ms" for share, found in shares.items()))
    assert seconds[0] > 0
    # Where a single write of this test's own takes long the machine is busy with something else.
    slowest = sorted(writes)[-2]
    print(f"the test's own writes: p99 {1000 * slowest:.0f} ms")
    assert shares[99] < max(P99_SECONDS, WRITES * slowest)
