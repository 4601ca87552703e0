"""The gateway over a real SQLite database and an API server in memory; requests go through the whole application."""

import importlib.util
import shutil
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI
from sqlalchemy import Engine

from merp_api.app import create_app
from merp_api.cluster import Cluster
from merp_api.settings import Settings
from merp_crds.catalogue import Catalogue
from merp_crds.reasons import Trigger, Verdict
from merp_kube.client import Client, server_only
from merp_records.engine import create_engine, database_url
from merp_records.writes import ExecutionRecord, JobRecord, record

NOW = datetime(2026, 12, 1, 0, 0, tzinfo=UTC)
IMAGE = "registry.example/merp-tasks:1"
ADMIN = "token-of-admin"
CANARY = "canary-Zq83kfP1"

SEED_BODY: dict[str, Any] = {
    "name": "库存盘点任务",
    "job_type": "cron",
    "func": "inventory_check",
    "cron_expression": "0 0 1 * *",
    "args": ["all"],
    "kwargs": {"detailed": True},
    "description": "每月1日凌晨执行库存盘点",
}


def _load(name: str) -> ModuleType:
    # The folder is no package, and pytest's import mode keeps it off the path.
    specification = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    sys.modules[name] = module
    specification.loader.exec_module(module)
    return module


fake_api_server = _load("fake_api_server")


@pytest.fixture
async def cluster() -> AsyncIterator[Any]:
    """The API server, with an administrator."""
    async with fake_api_server.FakeApiServer() as server:
        server.allow(ADMIN, "admin", "*")
        yield server


@pytest.fixture
def database(migrated_sqlite: Path, tmp_path: Path) -> Path:
    """A file with the tables in it."""
    return Path(shutil.copy(migrated_sqlite, tmp_path))


@pytest.fixture
def writer(database: Path) -> Iterator[Engine]:
    """What the operator writes with."""
    engine = create_engine(database_url(sqlite_path=database))
    yield engine
    engine.dispose()


@pytest.fixture
def catalogue() -> Catalogue:
    """Two tasks of the default image."""
    return Catalogue(IMAGE, {"inventory_check": {}, "echo_args": {}})


@dataclass
class Application:
    """An application, and the client that speaks to it as the administrator."""

    app: FastAPI
    client: httpx2.AsyncClient

    async def request(self, method: str, path: str, token: str | None = ADMIN, **arguments: Any) -> httpx2.Response:
        headers = dict(arguments.pop("headers", {}))
        if token is not None:
            headers.setdefault("Authorization", f"Bearer {token}")
        return await self.client.request(method, path, headers=headers, **arguments)

    async def get(self, path: str, token: str | None = ADMIN, **arguments: Any) -> httpx2.Response:
        return await self.request("GET", path, token, **arguments)

    async def post(self, path: str, token: str | None = ADMIN, **arguments: Any) -> httpx2.Response:
        return await self.request("POST", path, token, **arguments)

    async def put(self, path: str, token: str | None = ADMIN, **arguments: Any) -> httpx2.Response:
        return await self.request("PUT", path, token, **arguments)


@dataclass
class Applications:
    """Makes applications, and ends them."""

    cluster: Any
    database: Path
    catalogue: Catalogue | None
    made: list[Application] = field(default_factory=list)

    def __call__(self, **arguments: Any) -> Application:
        settings = Settings(_env_file=None, **{"merp_default_image": IMAGE} | arguments.pop("settings", {}))
        client = Client(server_only(host=arguments.pop("api_server", self.cluster.url), ca_file=None))
        url = database_url(sqlite_path=arguments.pop("database", self.database))
        engine = create_engine(url, pool_size=5, max_overflow=5, read_only=True)
        known = arguments.pop("catalogue", self.catalogue)
        catalogues = {} if known is None else {known.image: known}
        options = {"catalogues": lambda: catalogues, "pause_seconds": 0.2} | arguments
        app = create_app(settings, Cluster(client), engine, **options)
        transport = httpx2.ASGITransport(app=app)
        made = Application(app, httpx2.AsyncClient(transport=transport, base_url="http://gateway"))
        self.made.append(made)
        return made

    async def close(self) -> None:
        for made in self.made:
            await made.client.aclose()
            async with made.app.router.lifespan_context(made.app):
                pass


@pytest.fixture
async def applications(cluster: Any, database: Path, catalogue: Catalogue) -> AsyncIterator[Applications]:
    made = Applications(cluster, database, catalogue)
    yield made
    await made.close()


@pytest.fixture
async def gateway(applications: Applications) -> Application:
    """The gateway as most tests want it."""
    return applications()


@pytest.fixture
def scheduled_job() -> Callable[..., dict[str, Any]]:
    """Makes a ScheduledJob as kubectl would apply it."""

    def make(name: str, namespace: str = "default", **spec: Any) -> dict[str, Any]:
        written = {"schedule": {"cron": "0 0 1 * *"}, "task": {"func": "echo_args"}} | spec
        return {
            "apiVersion": "scheduler.merp.io/v1",
            "kind": "ScheduledJob",
            "metadata": {"name": name, "namespace": namespace},
            "spec": {key: value for key, value in written.items() if value is not None},
        }

    return make


@pytest.fixture
def condition() -> Callable[..., dict[str, Any]]:
    """Makes a condition of a ScheduledJob."""
    return fake_api_server.condition


@pytest.fixture
def refusal() -> Any:
    """An answer of the API server that is no."""
    return fake_api_server.Refusal


@dataclass
class Recorder:
    """Writes records as the operator does."""

    engine: Engine

    def run(self, job: str, number: int, uid: str = "", namespace: str = "default", **values: Any) -> ExecutionRecord:
        """A successful run that started `number` hours after NOW, with its job."""
        uid = uid or f"uid-{namespace}-{job}"
        start = NOW + timedelta(hours=number)
        entry = ExecutionRecord(
            **{
                "job_id": uid,
                "namespace": namespace,
                "job_name": job,
                "run_name": f"{job}-{number}",
                "status": Verdict.SUCCESS,
                "trigger": Trigger.SCHEDULE,
                "start_time": start,
                "end_time": start + timedelta(minutes=1),
                "due_time": start,
                "result": '{"checked": 3}',
            }
            | values
        )
        owner = JobRecord(
            id=uid,
            namespace=namespace,
            resource_name=job,
            name=f"名称 {job}",
            job_type="cron",
            func="echo_args",
            created_at=NOW,
        )
        result = record(self.engine, [owner], [entry], now=NOW)
        assert result.failures == ()
        return entry


@pytest.fixture
def recorder(writer: Engine) -> Recorder:
    return Recorder(writer)
