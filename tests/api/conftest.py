"""The gateway over a real SQLite database and an API server in memory; requests go through the whole application."""

import asyncio
import importlib.util
import shutil
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
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
from merp_api.settings import Settings
from merp_crds.catalogue import Catalogue
from merp_crds.reasons import Trigger, Verdict
from merp_kube.client import Client, server_only
from merp_records.engine import create_engine, database_url
from merp_records.writes import ExecutionRecord, JobRecord, record

NOW = datetime(2026, 12, 1, 0, 0, tzinfo=UTC)
IMAGE = "registry.example/merp-tasks:1"
ADMIN = "token-of-admin"
GATEWAY = "token-of-gateway"
CANARY = "canary-Zq83kfP1"
# Far more than any wait takes: the machine may be busy with other suites.
PATIENCE = 60.0

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
        server.allow(GATEWAY, "gateway", "*", fake_api_server.READ | {"create"})
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


def _is_told(mirror: Any, version: int) -> bool:
    return mirror.reflector.lost_at is None and mirror.reflector.version >= version


def _own_client(api_server: str) -> Client:
    """A client with the gateway's own credentials."""
    configuration = server_only(host=api_server, ca_file=None)
    configuration.api_key["BearerToken"] = f"Bearer {GATEWAY}"
    return Client(configuration)


@dataclass
class Application:
    """An application, and the client that speaks to it as the administrator."""

    app: FastAPI
    client: httpx2.AsyncClient
    running: AsyncExitStack = field(default_factory=AsyncExitStack)
    is_running: bool = False

    async def started(self) -> "Application":
        """This application, with everything in its memory; only one that watches needs that."""
        await self.running.enter_async_context(self.app.router.lifespan_context(self.app))
        self.is_running = True
        await self.caught_up(0)
        return self

    async def caught_up(self, version: int) -> None:
        """Until the watches have told all up to a version."""
        cache = self.app.state.services.cache
        async with asyncio.timeout(PATIENCE):
            # What is waited for is nothing that the product has an event for.
            while cache.trouble() or not all(_is_told(mirror, version) for mirror in cache.mirrors):  # noqa: ASYNC110
                await asyncio.sleep(0.001)

    async def interrupted(self, cluster: Any) -> None:
        """Let the watches be too old for the server (410), until the gateway has seen that."""
        cluster.watch_status = 410
        await cluster.tell()
        mirrors = self.app.state.services.cache.mirrors
        async with asyncio.timeout(PATIENCE):
            while any(mirror.reflector.error is None for mirror in mirrors):  # noqa: ASYNC110  # nobody tells
                await asyncio.sleep(0.001)
        cluster.watch_status = None

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
        api_server = arguments.pop("api_server", self.cluster.url)
        client = Client(server_only(host=api_server, ca_file=None))
        if arguments.pop("cached", False):
            arguments["own"] = _own_client(api_server)
        url = database_url(sqlite_path=arguments.pop("database", self.database))
        engine = create_engine(url, pool_size=5, max_overflow=5, read_only=True)
        known = arguments.pop("catalogue", self.catalogue)
        catalogues = {} if known is None else {known.image: known}
        options = {"catalogues": lambda: catalogues, "pause_seconds": 0.2} | arguments
        app = create_app(settings, client, engine, **options)
        transport = httpx2.ASGITransport(app=app)
        made = Application(app, httpx2.AsyncClient(transport=transport, base_url="http://gateway"))
        self.made.append(made)
        return made

    async def close(self) -> None:
        for made in self.made:
            await made.client.aclose()
            if not made.is_running:
                await made.running.enter_async_context(made.app.router.lifespan_context(made.app))
            await made.running.aclose()


@pytest.fixture
def patient_probes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Questions of readiness that are answered as it is: a busy machine is no outage."""
    monkeypatch.setattr("merp_api.cluster._PROBE_SECONDS", PATIENCE)
    monkeypatch.setattr("merp_api.records._PROBE_SECONDS", PATIENCE)


@pytest.fixture
async def applications(
    cluster: Any, database: Path, catalogue: Catalogue, patient_probes: None
) -> AsyncIterator[Applications]:
    made = Applications(cluster, database, catalogue)
    yield made
    await made.close()


@pytest.fixture
async def gateway(applications: Applications) -> Application:
    """The gateway as most tests want it."""
    return applications()


@pytest.fixture
async def caching(applications: Applications) -> Application:
    """A gateway with a token of its own, which has everything in memory."""
    return await applications(cached=True).started()


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
