"""A MariaDB server in a pod, with databases of the test's own, and the Secrets by which jobs come to them."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from kube import Kube

Json = dict[str, Any]
# Each of its characters means something to a shell, a URL or an option file.
PASSWORD = "p@ss:w/rd#1?%25&x=+"


class MariadbPod:
    """The server `mariadb` of a namespace; the user erp may do everything in its databases."""

    def __init__(self, kube: Kube, image: str) -> None:
        self._kube = kube
        self._image = image

    def start(self, database: str = "shop") -> None:
        """Start it with one database, and wait until it answers."""
        env = {"MARIADB_DATABASE": database, "MARIADB_USER": "erp", "MARIADB_PASSWORD": PASSWORD}
        self._kube.await_account()
        container = {
            "name": "mariadb",
            "image": self._image,
            "imagePullPolicy": "IfNotPresent",
            "env": [{"name": name, "value": value} for name, value in env.items()],
            "readinessProbe": {"tcpSocket": {"port": 3306}, "periodSeconds": 2},
        }
        self._kube.apply(
            self._secret(database),
            {
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": {"name": "mariadb"},
                "spec": {"selector": {"app": "mariadb"}, "ports": [{"port": 3306}]},
            },
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {"name": "mariadb", "labels": {"app": "mariadb"}},
                "spec": {"containers": [container]},
            },
        )
        self._kube.kubectl("wait", "--for=condition=Ready", "pod/mariadb", "--timeout=300s")

    def add(self, database: str, script: str = "") -> None:
        """One more database and its Secret; `script` is SQL that is run in it."""
        self.sql(f"CREATE DATABASE {database} CHARACTER SET utf8mb4; GRANT ALL ON {database}.* TO 'erp'@'%'")
        if script:
            self.sql(script, database)
        self._kube.apply(self._secret(database))

    def sql(self, script: str, database: str = "") -> list[list[str]]:
        """What the server's own client prints, its lines split into columns; as root, by the pod's socket."""
        client = ["mariadb", "--user=root", "--batch", "--skip-column-names", "--default-character-set=utf8mb4"]
        printed = self._kube.kubectl(
            "exec", "-i", "mariadb", "--", *client, *([database] * bool(database)), stdin=script
        )
        return [line.split("\t") for line in printed.splitlines()]

    @contextmanager
    def held(self, statement: str, database: str) -> Iterator[None]:
        """What a statement locks, for as long as the block lasts: whoever needs it waits. Nothing of it stays."""
        layout = self._kube.cluster.layout
        kubectl = [str(layout.bin / "kubectl"), f"--kubeconfig={layout.kubeconfig}", "-n", self._kube.namespace]
        client = ["mariadb", "--user=root", "--batch", "--skip-column-names", "--unbuffered", database]
        with subprocess.Popen(
            [*kubectl, "exec", "-i", "mariadb", "--", *client], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as session:
            assert session.stdin is not None
            assert session.stdout is not None
            # The block ends with the input, and the client's transaction with that.
            with session.stdin:
                session.stdin.write(f"BEGIN; {statement}; SELECT 'held';\n")
                session.stdin.flush()
                assert session.stdout.readline() == "held\n"
                yield

    @staticmethod
    def _secret(database: str) -> Json:
        parts = {"type": "mysql", "host": "mariadb", "username": "erp", "database": database}
        return {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": database, "labels": {"scheduler.merp.io/connection": "true"}},
            # Editors put a line break at the end.
            "stringData": parts | {"password": PASSWORD + "\n"},
        }
