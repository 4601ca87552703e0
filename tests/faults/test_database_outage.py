"""The database away while runs end and the operator is killed: every run has its record, and no Job went before it."""

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import mariadb_server
import pytest
from cluster_objects import minutely
from durations import Durations
from kube import Kube
from ledger import deletions
from operator_process import OperatorProcess
from sqlalchemy import Row, create_engine, select

from merp_crds import names
from merp_crds.common import rfc3339
from merp_records.tables import JobExecution

pytestmark = [pytest.mark.cluster, pytest.mark.faults]


@pytest.mark.timeout(1500)  # the long form has two hundred pods, and five minutes without a database
def test_the_database_is_away_while_runs_end(kube: Kube, task_image: str, tmp_path: Path, durations: Durations) -> None:
    runs, kills = durations.runs, 3
    with mariadb_server.running() as server:
        url = server.new_url()
        place = {"DB_HOST": "127.0.0.1", "DB_PORT": str(server.port), "DB_NAME": str(url.database), "DB_USER": "root"}
        operator = OperatorProcess(tmp_path, kube.cluster.kubeconfig, kube.namespace, **place)
        operator.start()
        body = minutely(
            task_image,
            "crowd",
            concurrencyPolicy="Allow",
            pool={"name": "some"},
            history={"successful": 1, "failed": 1},
        )
        del body["spec"]["schedule"]
        pool = {"apiVersion": names.API_VERSION, "kind": "JobPool", "metadata": {"name": "some"}, "spec": {"slots": 8}}
        kube.apply(body, pool)
        kube.until("it is looked at", lambda: kube.condition("crowd", "Ready"))
        # Long past, so that nothing but their records keeps their Jobs.
        first = datetime(2026, 1, 1, tzinfo=UTC)
        kube.apply(
            *(
                {
                    "apiVersion": names.API_VERSION,
                    "kind": "JobRun",
                    "metadata": {"name": f"r{number:03}"},
                    "spec": {"scheduledJob": "crowd", "dueTime": rfc3339(first + timedelta(minutes=number))},
                }
                for number in range(runs)
            )
        )
        kube.until("the first has ended", lambda: _ended(kube) > 0)
        server.stop()
        stopped = datetime.now(UTC)
        for number in range(kills):
            kube.until("more have ended", lambda number=number: _ended(kube) > runs * number // kills)
            operator.kill()
            operator.start()
        kube.until("all have ended", lambda: _ended(kube) == runs, 600)
        # The outage lasts, whatever has happened by then.
        time.sleep(max(0.0, durations.database_away - (datetime.now(UTC) - stopped).total_seconds()))
        gone = {name for name, at in deletions(kube.cluster, kube.namespace).items() if at > stopped}
        server.start()

        engine = create_engine(url)

        def records() -> list[Row[tuple[str, str, datetime | None, datetime]]]:
            row = JobExecution
            with engine.connect() as connection:
                return list(connection.execute(select(row.run_name, row.status, row.end_time, row.recorded_at)))

        kube.until("all are recorded", lambda: sum(row.end_time is not None for row in records()) == runs)
        kube.until("what is recorded goes", lambda: len(kube.list("jobs")) == 1)
        found = records()
        assert operator.stop() == 0
        engine.dispose()
    assert len({row.run_name for row in found}) == len(found) == runs
    assert {row.status for row in found} == {"success"}
    recorded = {row.run_name: row.recorded_at for row in found}
    # What was recorded just before the outage may go in it, and nothing else.
    assert [name for name in gone if recorded[name].replace(tzinfo=UTC) > stopped] == []
    asked = deletions(kube.cluster, kube.namespace)
    assert len(asked) == runs - 1
    assert [name for name, at in asked.items() if at < recorded[name]] == []


def _ended(kube: Kube) -> int:
    """The runs whose verdict a Job or a JobRun has."""
    return sum(bool(entry.get("status", {}).get("verdict")) for entry in kube.list("jobruns"))
