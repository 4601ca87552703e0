"""Courses of a story whose operator is killed at its own writes, each compared with the course that nobody harms."""

import itertools
import re
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

from cut_operator import CutOperator, kind
from cutting_proxy import Moment, Plan, Write, let_pass, nth
from final_state import differences, endings, final_state, opened_twice
from kube import Kube
from scenarios import SECONDS, Scenario

from merp_cluster.cluster import Cluster
from merp_crds import names
from merp_operator.scheduled_job_statuses import distance

Json = dict[str, Any]
# What is late for another reason than the distance of a status' writes: a failed look is tried again within a second,
# and a machine that does other things is late by more.
_QUIET_SECONDS: Final = 3.0
_READY: Final = 200
_AT_ONCE: Final = 3


class Courses:
    """Courses of one story; each has a namespace, an operator and records of its own, the latter in `folder`."""

    def __init__(self, scenario: Scenario, cluster: Cluster, image: str, folder: Path) -> None:
        self._scenario = scenario
        self._cluster = cluster
        self._image = image
        self._folder = folder

    def compare(
        self, plans: Mapping[str, Plan] | Callable[[Counter[str]], Mapping[str, Plan]]
    ) -> tuple[set[str], set[tuple[str, Moment]]]:
        """Fail where a course under one of the plans comes to another end than the unharmed one.

        Where `plans` are asked for by how many writes of each kind the unharmed one has, it is told first; else all are
        told at once. Returns the kinds of its writes, and at which kinds the operator was killed.
        """
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            first = pool.submit(self._told, "unharmed", let_pass)
            if callable(plans):
                plans = plans(Counter(_changing(first.result()[1])))
            courses = list(pool.map(self._course, plans.items()))
            unharmed, operator = first.result()
        writes = _changing(operator)
        print(f"{self._scenario.name}: {len(writes)} writes, {dict(Counter(writes))}")
        wrong = [f"{name}: {found}" for name, end, _ in courses for found in differences(end, unharmed)]
        # One a line: a report cuts what is compared.
        print(*wrong, sep="\n")
        assert wrong == []
        kills = sum(len(cut) for _, _, cut in courses)
        print(f"{self._scenario.name}: the same end in {len(courses)} courses with {kills} kills")
        return set(writes), {(kind(write), moment) for _, _, cut in courses for write, moment in cut}

    def _course(self, entry: tuple[str, Plan]) -> tuple[str, Json, list[tuple[Write, Moment]]]:
        end, cut = self._told(*entry)
        return entry[0], end, cut.proxy.cuts

    def _told(self, name: str, plan: Plan) -> tuple[Json, CutOperator]:
        """The end of the story under an operator that is killed by a plan, once all stands still."""
        scenario, folder = self._scenario, self._folder / re.sub(r"[ :/]+", "-", name)
        folder.mkdir()
        with _namespace(self._cluster) as kube, CutOperator(folder, self._cluster, kube.namespace) as operator:
            operator.proxy.plan = plan
            jobs = scenario.jobs(self._image)
            kube.apply(*jobs)
            mine = [job["metadata"]["name"] for job in jobs if job["kind"] == "ScheduledJob"]
            kube.until("all are ready", lambda: all(kube.condition(name, "Ready") for name in mine), SECONDS)
            scenario.play(kube)
            database = operator.process.database
            kube.until(f"{scenario.name} is at its end", lambda: endings(kube, database) == scenario.endings, SECONDS)
            kube.until(
                "the statuses tell of no other run", lambda: _in_statuses(kube) == _unfinished(scenario), SECONDS
            )
            kube.until("what nobody keeps is gone", lambda: not _kept_by_nobody(kube, jobs), SECONDS)
            # No write comes later than this after the one before: were all verdicts one job's, and all jobs busy.
            quiet = _QUIET_SECONDS + distance(len(scenario.endings), len(jobs))
            still = _stands_still(kube, operator, quiet)
            assert opened_twice(kube) == []
            # The next operator finds nothing left to do.
            operator.process.stop()
            operator.process.start()
            time.sleep(quiet)
            later = [
                f"{kind(write)} {write.path} {write.body!r}" for write in operator.proxy.writes[still:] if kind(write)
            ]
            # No test module: pytest says nothing by itself.
            assert later == [], f"{name}: written anew: {later}"
            assert "Traceback" not in operator.process.log.read_text()
            return final_state(kube, database), operator


def _changing(operator: CutOperator) -> list[str]:
    return [kind(write) for write in operator.proxy.writes if kind(write)]


def at_every_write(writes: Counter[str]) -> dict[str, Plan]:
    """One kill for each: before that write, or after it; each is known by its kind and its number among those.

    Not by its number among all: writes of different kinds that do not wait for each other come in any order.
    """
    return {
        f"{moment.value} {number} {what}": nth(number, moment, partial(_is, what))
        for what, count in writes.items()
        for number, moment in itertools.product(range(1, count + 1), Moment)
    }


def _is(what: str, write: Write) -> bool:
    return kind(write) == what


def of_each_kind() -> Plan:
    """Of each kind of write the first one is not done, and the second one, which is the first again, is not heard of."""
    seen: Counter[str] = Counter()

    def plan(write: Write) -> Moment | None:
        what = kind(write)
        seen[what] += 1
        return {1: Moment.BEFORE, 2: Moment.AFTER}.get(seen[what]) if what else None

    return plan


def one_of_each_kind() -> Plan:
    """Of each kind of write the first one: in turn not done, and not heard of."""
    seen: dict[str, Moment] = {}
    moments = itertools.cycle(Moment)

    def plan(write: Write) -> Moment | None:
        what = kind(write)
        if not what or what in seen:
            return None
        seen[what] = next(moments)
        return seen[what]

    return plan


@contextmanager
def _namespace(cluster: Cluster) -> Iterator[Kube]:
    name = f"t-{uuid.uuid4().hex[:8]}"
    cluster.api.kubectl("create", "namespace", name)
    try:
        yield Kube(cluster, name)
    finally:
        cluster.api.kubectl("delete", "namespace", name, "--wait=false")


def _unfinished(scenario: Scenario) -> int:
    return sum(state in {"waiting", "running"} for _, state, _ in scenario.endings)


def _in_statuses(kube: Kube) -> int:
    """How many runs are unfinished, as the statuses have it: after the record, by as much as Kubernetes needs for it."""
    return sum(len((item.get("status") or {}).get("active") or []) for item in kube.list("scheduledjobs"))


def _kept_by_nobody(kube: Kube, jobs: list[Json]) -> list[Json]:
    """The Jobs that are there still of ScheduledJobs that keep none that succeeded: each goes once its record is there."""
    keeping_none = [job["metadata"]["name"] for job in jobs if job["spec"].get("history") == {"successful": 0}]
    return [left for name in keeping_none for left in kube.list("jobs", f"{names.LABEL_SCHEDULED_JOB}={name}")]


def _stands_still(kube: Kube, operator: CutOperator, seconds: float) -> int:
    """How many writes there were when nothing had been written for so long."""

    def written() -> tuple[bool, int, int]:
        # One that was killed at its last write is still starting: it has written nothing, and will. Nor is what it was
        # killed before a write.
        ready = operator.process.ask("readyz") == _READY
        return ready, len(operator.proxy.writes), len(operator.proxy.cuts)

    def quiet() -> int | None:
        before = written()
        time.sleep(seconds)
        return before[1] if before[0] and written() == before else None

    return kube.until("nothing is written any more", quiet, SECONDS)
