"""The operator killed between any two of its writes: what the runs come to is what they come to unharmed.

In the ordinary run all stories are told at once, and of each kind of write one is cut off before the API server has it and
one after; with MERP_FAULTS=long each story is told again for each of its writes.
"""

import itertools
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from cut_operator import CutOperator, kind
from cutting_proxy import Moment, Plan, Write, let_pass, nth
from durations import long
from final_state import differences, endings, final_state, opened_twice
from gate_scenarios import SCENARIOS, Scenario, together
from kube import Kube

from merp_cluster.cluster import Cluster

# The long form: a thousand courses of some twelve seconds, three of them side by side.
pytestmark = [pytest.mark.cluster, pytest.mark.timeout(5400 if long() else 600)]

Json = dict[str, Any]
# A status is written at most once a second; a failed look is tried again within one.
_QUIET_SECONDS = 2.5
_AT_ONCE = 3


@contextmanager
def namespace(cluster: Cluster) -> Iterator[Kube]:
    name = f"t-{uuid.uuid4().hex[:8]}"
    cluster.api.kubectl("create", "namespace", name)
    try:
        yield Kube(cluster, name)
    finally:
        cluster.api.kubectl("delete", "namespace", name, "--wait=false")


def of_each_kind() -> Plan:
    """Of each kind of write the first one is not done, and the second one, which is the first again, is not heard of."""
    seen: Counter[str] = Counter()

    def plan(write: Write) -> Moment | None:
        what = kind(write)
        seen[what] += 1
        return {1: Moment.BEFORE, 2: Moment.AFTER}.get(seen[what]) if what else None

    return plan


def told(scenario: Scenario, cluster: Cluster, image: str, folder: Path, plan: Plan) -> tuple[Json, CutOperator]:
    """The end of a story whose operator is killed by a plan, once all stands still."""
    folder.mkdir()
    with namespace(cluster) as kube, CutOperator(folder, cluster, kube.namespace) as operator:
        operator.proxy.plan = plan
        jobs = scenario.jobs(image)
        kube.apply(*jobs)
        mine = [job["metadata"]["name"] for job in jobs if job["kind"] == "ScheduledJob"]
        kube.until("all are ready", lambda: all(kube.condition(name, "Ready") for name in mine), 240)
        scenario.play(kube)
        database = operator.process.database
        kube.until(f"{scenario.name} is at its end", lambda: endings(kube, database) == scenario.endings, 240)
        still = stands_still(kube, operator)
        assert opened_twice(kube) == []
        # The next operator finds nothing left to do.
        operator.process.stop()
        operator.process.start()
        time.sleep(_QUIET_SECONDS)
        assert [kind(write) for write in operator.proxy.writes[still:] if kind(write)] == []
        assert "Traceback" not in operator.process.log.read_text()
        return final_state(kube, database), operator


def stands_still(kube: Kube, operator: CutOperator) -> int:
    """How many writes there were when nothing had been written for a while."""

    def quiet() -> int | None:
        before = len(operator.proxy.writes)
        time.sleep(_QUIET_SECONDS)
        return before if len(operator.proxy.writes) == before else None

    return kube.until("nothing is written any more", quiet, 60)


@pytest.mark.parametrize(
    "scenario",
    [pytest.param(entry, id=entry.name) for entry in (SCENARIOS if long() else [together(SCENARIOS)])],
)
def test_the_end_is_the_same(
    cluster: Cluster, definitions: None, task_image: str, tmp_path: Path, scenario: Scenario
) -> None:
    unharmed, operator = told(scenario, cluster, task_image, tmp_path / "unharmed", let_pass)
    writes = [kind(write) for write in operator.proxy.writes if kind(write)]
    print(f"{scenario.name}: {len(writes)} writes, {dict(Counter(writes))}")
    plans = {"of each kind": of_each_kind()}
    if long():
        numbers = itertools.product(range(1, len(writes) + 1), Moment)
        plans = {f"{moment.value} {number}": nth(number, moment, kind_of_its_own) for number, moment in numbers}

    def course(name: str) -> tuple[str, Json, list[tuple[Write, Moment]]]:
        folder = tmp_path / name.replace(" ", "-")
        end, cut = told(scenario, cluster, task_image, folder, plans[name])
        return name, end, cut.proxy.cuts

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        courses = list(pool.map(course, plans))
    wrong = [f"{name}: {found}" for name, end, _ in courses for found in differences(end, unharmed)]
    # One a line: a report cuts what is compared.
    print(*wrong, sep="\n")
    assert wrong == []
    cuts = {(kind(write), moment) for _, _, cut in courses for write, moment in cut}
    assert cuts == set(itertools.product(writes, Moment))
    print(f"{scenario.name}: the same end after {sum(len(cut) for _, _, cut in courses)} kills")


def kind_of_its_own(write: Write) -> bool:
    """Whether it changes anything."""
    return bool(kind(write))
