"""The operator killed before and after each of its writes into the database: no record is lost, and none is there twice."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from cluster_objects import minutely
from cutting_database import CuttingDatabase
from cutting_proxy import Moment, nth
from durations import long
from kube import Kube
from mariadb_server import Server, running
from operator_process import OperatorProcess

from merp_crds import names

pytestmark = [pytest.mark.cluster, pytest.mark.mariadb]

# Roll-ups are made from the records, later, and have tests of their own.
RECORDS = ("INSERT", "UPDATE", "DELETE", "COMMIT")
# Few are enough for the ordinary run: the first transaction, which brings the job's row, and the one after it.
SHORT = 4


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running() as found:
        yield found


class Life:
    """The life of runs under one ScheduledJob, recorded by an operator whose database is behind the proxy."""

    def __init__(self, kube: Kube, server: Server, folder: Path, image: str) -> None:
        self._kube = kube
        self._server = server
        self._image = image
        self._number = 0
        self.database = str(server.new_url().database)
        self.proxy = CuttingDatabase(server.port, anew=self._anew)
        self._folder = folder

    def __enter__(self) -> "Life":
        self.proxy.__enter__()
        place = {
            "DB_HOST": "127.0.0.1",
            "DB_PORT": str(self.proxy.port),
            "DB_NAME": self.database,
            "DB_USER": "root",
        }
        self._operator = OperatorProcess(self._folder, self._kube.cluster.kubeconfig, self._kube.namespace, **place)
        self._operator.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._operator.stop()
        self.proxy.__exit__(None, None, None)

    def _anew(self) -> None:
        self._operator.kill()
        self._operator.start()

    def one(self) -> str:
        """A job with one run, from its request until its Job is deleted. Returns the job's name."""
        self._number += 1
        name = f"j{self._number}"
        body = minutely(self._image, name, history={"successful": 0, "failed": 0})
        del body["spec"]["schedule"]
        ask = {
            "apiVersion": names.API_VERSION,
            "kind": "JobRun",
            "metadata": {"name": f"{name}-once"},
            # Long past: nothing but its record keeps its Job.
            "spec": {"scheduledJob": name, "dueTime": "2026-01-01T00:00:00Z"},
        }
        self._kube.apply(body, ask)
        told = self._kube.until("it has a verdict", lambda: self._kube.verdict(f"{name}-once"))
        assert told["verdict"] == "success"
        self._kube.until("its Job is recorded and gone", lambda: not self._kube.list("jobs"))
        return name

    def records(self, name: str) -> list[tuple[str, int]]:
        """Status, and whether it has an end, of all records of a job."""
        query = (
            f"SELECT e.status, e.end_time IS NOT NULL FROM job_executions e JOIN jobs j ON j.id = e.job_id "
            f"WHERE j.resource_name = '{name}'"
        )
        return [(str(status), int(ended)) for status, ended in self._server.sql(query, self.database)]


@pytest.mark.timeout(1800)  # the long form kills at every write of a run's life, twice
def test_no_record_is_lost_and_none_is_there_twice(kube: Kube, server: Server, task_image: str, tmp_path: Path) -> None:
    with Life(kube, server, tmp_path, task_image) as life:
        before = len(life.proxy.writes)
        assert life.records(life.one()) == [("success", 1)]
        writes = [write.method for write in life.proxy.writes[before:] if write.method in RECORDS]
        print(f"a run's life: {len(writes)} writes into the database: {' '.join(writes)}")
        assert writes.count("COMMIT") >= 2
        numbers = range(1, len(writes) + 1) if long() else range(1, SHORT + 1)
        for number in numbers:
            for moment in Moment:
                life.proxy.plan = nth(number, moment, lambda write: write.method in RECORDS)
                name = life.one()
                assert life.records(name) == [("success", 1)], f"killed {moment.value} write {number}"
        cut = len(life.proxy.cuts)
        # The last ones may come after the run's end: how many there are depends on what falls into one transaction.
        assert cut >= len(numbers)
        jobs = life._server.sql("SELECT resource_name FROM jobs", life.database)
        assert len(jobs) == len({name for (name,) in jobs})
