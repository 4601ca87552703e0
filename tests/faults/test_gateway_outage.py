"""The gateway while the API server is restarted: it says so, tells nothing old, and is right again within 30 s."""

import json
import time
from pathlib import Path

import pytest
from cluster_objects import minutely
from gateway_process import GatewayProcess
from kube import Kube

from merp_records.engine import create_engine, database_url
from merp_records.migrations import upgrade

pytestmark = [pytest.mark.cluster, pytest.mark.faults]

READY_SECONDS = 30.0


def test_after_an_api_server_restart_the_memory_is_current_again(kube: Kube, tmp_path: Path) -> None:
    database = tmp_path / "records.db"
    engine = create_engine(database_url(sqlite_path=database))
    upgrade(engine)
    engine.dispose()
    gateway = GatewayProcess(tmp_path, kube, database)
    # No minute of it comes: that it is there is enough.
    kube.apply(minutely("registry.example/none:1", "j", suspend=True))
    gateway.admit("viewer", "list,watch scheduledjobs.scheduler.merp.io")
    gateway.start()
    try:
        assert gateway.readiness()[1]["cache"] == "current"
        assert [item["id"] for item in gateway.ask("GET", "/api/v1/jobs").body["items"]] == ["j"]

        kube.cluster.stop("kube-apiserver", kill=True)
        kube.until("it says so", lambda: "not watched" in gateway.readiness()[1].get("cache", ""))
        assert gateway.readiness()[0] == 503
        assert gateway.ask("GET", "/api/v1/jobs").status == 503

        kube.cluster.start("kube-apiserver")
        kube.apply(minutely("registry.example/none:1", "new", suspend=True))
        back = time.monotonic()
        kube.until("it is right again", lambda: gateway.readiness()[0] == 200, seconds=READY_SECONDS)
        assert time.monotonic() - back < READY_SECONDS
        kube.until(
            "it has both",
            lambda: [item["id"] for item in gateway.ask("GET", "/api/v1/jobs").body["items"]] == ["j", "new"],
        )

        with gateway.stream("/api/v1/events", "viewer") as lines:
            assert next(lines) == b": open\n"
            kube.kubectl("patch", "scheduledjob", "new", "--type=merge", "-p", '{"spec":{"description":"x"}}')
            told = next(line for line in lines if line.startswith(b"data: "))
        change = json.loads(told.removeprefix(b"data: "))
        assert (change["id"], change["type"], change["changed"]) == ("new", "updated", ["description", "updated_at"])
        # What the restarted server was asked to go on from is older than anything it remembers.
        assert "the server no longer knows where it was; listed anew" in gateway.log()
    finally:
        gateway.stop()
