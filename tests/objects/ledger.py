"""What became of each due time, from the records and the API server's audit log alone: the spec is all it knows else."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from records_file import rows

from merp_cluster.cluster import Cluster
from merp_crds.schedule import Timetable

_BY_CLOCK = ("schedule", "catch-up")


class Verdict(NamedTuple):
    """A record's verdict, as the reports of failed tests show it."""

    verdict: str
    reason: str
    run: str


class Ledger:
    """The records of an operator's SQLite file."""

    def __init__(self, database: Path) -> None:
        self._database = database

    def verdicts(self, job: str, timetable: Timetable) -> dict[datetime, list[Verdict]]:
        """Every verdict of each due time of a job; a ranged record gives one to each of its due times."""
        query = (
            "SELECT e.due_time, e.status, e.reason, e.run_name, e.reason_params, e.trigger FROM job_executions e"
            " JOIN jobs j ON j.id = e.job_id WHERE j.resource_name = ? AND e.end_time IS NOT NULL"
        )
        found: defaultdict[datetime, list[Verdict]] = defaultdict(list)
        for due_time, status, reason, run, parameters, trigger in rows(self._database, query, job):
            if trigger not in _BY_CLOCK:
                continue
            told = json.loads(parameters or "{}")
            first = _moment(due_time)
            times = [first] if "count" not in told else [first, *timetable.between(first, _moment(told["last"]))]
            for due in times:
                found[due].append(Verdict(status, reason, run))
        return dict(found)

    def faults(self, job: str, timetable: Timetable, begin: datetime, end: datetime) -> dict[datetime, list[Verdict]]:
        """The due times in (begin, end] that do not have exactly one verdict, and what they have."""
        found = self.verdicts(job, timetable)
        expected = list(timetable.between(begin, end))
        wrong = {due: found.get(due, []) for due in expected if len(found.get(due, [])) != 1}
        return wrong | {due: kinds for due, kinds in found.items() if begin < due <= end and due not in expected}


class Creation(NamedTuple):
    """One Job that the API server made: when, and who asked."""

    at: datetime
    name: str
    user: str


def creations(cluster: Cluster, namespace: str) -> list[Creation]:
    """Every Job made in a namespace, in the order in which the API server received the requests."""
    return sorted(
        Creation(_moment(event["requestReceivedTimestamp"]), event["objectRef"]["name"], _agent(event))
        for event in _job_events(cluster, namespace, "create")
        if event["responseStatus"]["code"] == 201
    )


def deletions(cluster: Cluster, namespace: str) -> dict[str, datetime]:
    """When somebody first asked the API server to delete each Job of a namespace, by name."""
    found: dict[str, datetime] = {}
    for event in _job_events(cluster, namespace, "delete"):
        if event["responseStatus"]["code"] == 200:
            found.setdefault(event["objectRef"]["name"], _moment(event["requestReceivedTimestamp"]))
    return found


def audited(cluster: Cluster) -> list[str]:
    """The lines of the API server's audit log. The last one may be just being written: it is left out until it ends."""
    whole, _, _ = cluster.layout.log("audit").read_text().rpartition("\n")
    return whole.splitlines()


def _job_events(cluster: Cluster, namespace: str, verb: str) -> Iterator[dict[str, Any]]:
    for line in audited(cluster):
        event: dict[str, Any] = json.loads(line)
        # A path that is no resource has no object.
        target = event.get("objectRef") or {}
        mine = (event["verb"], target.get("resource"), target.get("namespace")) == (verb, "jobs", namespace)
        if mine and "dryRun" not in event["requestURI"]:
            yield event


def made_twice(cluster: Cluster, namespace: str) -> list[str]:
    """Names under which more than one Job was made."""
    counts = Counter(creation.name for creation in creations(cluster, namespace))
    return [name for name, count in counts.items() if count > 1]


def _agent(event: dict[str, object]) -> str:
    user = event["user"]
    assert isinstance(user, dict)
    return str(user["username"])


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
