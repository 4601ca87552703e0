import logging
import os
import signal
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from mariadb_server import Server, running

_HERE = Path(__file__).parent
# The pods' helper beside this file, and the tests' own tasks, which no distribution of the environment brings.
sys.path[:0] = [str(_HERE), str(_HERE / "tasks")]

import merp_test_tasks  # noqa: E402, F401 - registers its tasks once, before any test looks at the registry
from runner_pod import Pod  # noqa: E402

import merp_tasks  # noqa: E402, F401 - the same
from merp_runner import Connection, Context  # noqa: E402
from merp_runner.__main__ import main  # noqa: E402
from merp_runner.tasks import REGISTRY  # noqa: E402

# What a server may be set up for that changes what SQL means, what a time is, or which characters there are.
HOSTILE = (
    "--default-time-zone=+08:00",
    "--character-set-server=latin1",
    "--sql-mode=ANSI_QUOTES,PIPES_AS_CONCAT,NO_BACKSLASH_ESCAPES",
)
# Little memory, and no waiting for the disk: the tests end the server's clients, never the machine's power.
SMALL = ("--innodb-buffer-pool-size=64M", "--innodb-flush-log-at-trx-commit=0")
BACKENDS = [pytest.param("sqlite", id="sqlite"), pytest.param("mariadb", id="mariadb", marks=pytest.mark.mariadb)]


@pytest.fixture(scope="session")
def mariadb() -> Iterator[Server]:
    """The server, started once."""
    with running(*HOSTILE, *SMALL) as server:
        yield server


@pytest.fixture(params=BACKENDS)
def new_database(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[str], Connection]:
    """Makes an empty database of one kind, and the connection of that name to it."""

    def sqlite(name: str) -> Connection:
        path = tmp_path / f"{name}.db"
        path.touch()
        return Connection(name, {"url": f"sqlite:///{path}"})

    def on_server(name: str) -> Connection:
        server: Server = request.getfixturevalue("mariadb")
        database = server.new_url().database or ""
        # The server's own default is latin1; who keeps Chinese texts has told the database so.
        server.sql(f"ALTER DATABASE `{database}` CHARACTER SET utf8mb4")
        parts = {"type": "mysql", "host": "127.0.0.1", "port": str(server.port), "username": "root"}
        return Connection(name, parts | {"database": database})

    return sqlite if request.param == "sqlite" else on_server


@pytest.fixture
def context() -> Context:
    """Of the run of 1 December 2026 in Shanghai."""
    return Context(
        due_time=datetime(2026, 11, 30, 16, tzinfo=UTC),
        business_date=date(2026, 12, 1),
        time_zone="Asia/Shanghai",
        run_name="nightly-29934240",
        job_name="nightly",
        idempotency_key="erp/nightly-29934240",
    )


@pytest.fixture
def output(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder for files that tasks leave behind."""
    folder = tmp_path / "output"
    folder.mkdir()
    monkeypatch.setenv("MERP_OUTPUT", str(folder))
    return folder


@pytest.fixture
def pod(tmp_path: Path) -> Pod:
    return Pod(tmp_path)


@pytest.fixture
def call_main(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., int]]:
    """The runner's main() in this process, in a pod's environment; whatever it changes is put back."""
    pod = Pod(tmp_path)
    for name in ("MERP_DUE_TIME", "MERP_BUSINESS_DATE", "MERP_RUN_NAME", "MERP_IDEMPOTENCY_KEY"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    for name, value in pod.variables().items():
        if name.startswith("MERP_"):
            monkeypatch.setenv(name, value)
    for name in ("tasks", "conflicts", "broken"):
        monkeypatch.setattr(REGISTRY, name, dict(getattr(REGISTRY, name)))
    monkeypatch.setattr(signal, "signal", signal.signal)
    handler = signal.getsignal(signal.SIGTERM)
    root = logging.getLogger()
    level, handlers = root.level, root.handlers[:]

    def call(*argv: str, **environment: str) -> int:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        return main(list(argv))

    yield call
    signal.signal(signal.SIGTERM, handler)
    root.setLevel(level)
    root.handlers[:] = handlers
    assert os.environ["MERP_TASK_DIR"] == str(tmp_path)
