"""A MariaDB server of the machine's own packages, on the loopback device, ended by its process id."""

import itertools
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pymysql
from free_port import free_port
from sqlalchemy import URL

from merp_records.engine import database_url


@dataclass
class Server:
    """A MariaDB server, which may be stopped and started again."""

    command: list[str]
    port: int
    folder: Path
    numbers: Iterator[int] = field(default_factory=itertools.count)
    process: "subprocess.Popen[bytes] | None" = None

    def start(self) -> None:
        """Start it, and wait until it answers."""
        # What it says before it has opened its log: limits of the machine.
        self.process = subprocess.Popen(self.command, stderr=subprocess.DEVNULL)
        wait_until(lambda: _answers(self), 300)

    def stop(self) -> None:
        """End it, as the machine does that it runs on; what it has is kept."""
        if self.process is not None:
            self.process.terminate()
            self.process.wait(180)
            self.process = None

    @property
    def socket(self) -> Path:
        """The path of its Unix socket."""
        return self.folder / "socket"

    def admin(self) -> "pymysql.Connection[Any]":
        """A connection of root's, with the server's own defaults."""
        return pymysql.connect(host="127.0.0.1", port=self.port, user="root", autocommit=True, connect_timeout=30)

    def sql(self, statement: str, database: str | None = None) -> tuple[Any, ...]:
        """All rows of a statement that root executes on a connection of its own."""
        with self.admin() as connection, connection.cursor() as cursor:
            if database is not None:
                cursor.execute(f"USE `{database}`")
            cursor.execute(statement)
            return tuple(cursor.fetchall())

    def new_url(self) -> URL:
        """The address of a new, empty database."""
        name = f"merp-{next(self.numbers)}"
        self.sql(f"CREATE DATABASE `{name}`")
        return self.url(name)

    def url(self, name: str, port: int | None = None) -> URL:
        """The address of a database, for the user that may do everything in it."""
        return database_url("127.0.0.1", port or self.port, name, "root")


def wait_until(what: Callable[[], object], seconds: float = 60) -> None:
    """Return as soon as something is true; fail when it is not in time."""
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.15)  # InnoDB renews its tables of transactions only for who has not looked for 0.1 s


@contextmanager
def running(*options: str) -> Iterator[Server]:
    """A server with these options and an empty folder of data."""
    daemon, install = shutil.which("mariadbd"), shutil.which("mariadb-install-db")
    if daemon is None or install is None:
        raise RuntimeError("a MariaDB server is needed: apt-get install --no-install-recommends mariadb-server")
    # Not under pytest's folder, which only its owner may enter: the server runs as another user.
    folder = Path(tempfile.mkdtemp(prefix="merp-mariadb-"))
    user = ["--user=mysql"] if os.geteuid() == 0 else []
    if user:
        shutil.chown(folder, "mysql", "mysql")
    common = ["--no-defaults", *user, f"--datadir={folder}/data"]
    subprocess.run(
        [install, *common, "--auth-root-authentication-method=normal", "--skip-test-db"],
        check=True,
        capture_output=True,
    )
    port = free_port()
    files = [f"--socket={folder}/socket", f"--log-error={folder}/error.log", f"--pid-file={folder}/pid"]
    own = [*files, "--skip-name-resolve", f"--port={port}", "--bind-address=127.0.0.1"]
    server = Server([daemon, *common, *own, *options], port, folder)
    try:
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder)


def _answers(server: Server) -> bool:
    assert server.process is not None, "it was started"
    assert server.process.poll() is None, (server.folder / "error.log").read_text()
    try:
        server.admin().close()
    except pymysql.err.OperationalError:
        return False
    return True
