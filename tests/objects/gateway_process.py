"""The gateway as a process of this machine, with an account as the chart gives it one, and users who may change jobs."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from free_port import free_port
from kube import Kube
from sqlalchemy import URL

Json = dict[str, Any]
_ROOT = Path(__file__).parents[2]
# Two seconds on a quiet machine; as with the operator.
_START_SECONDS = 300.0
_STOP_SECONDS = 180.0
_ANSWER_SECONDS = 120.0
_PROBE_SECONDS = 30.0


@dataclass(frozen=True)
class Answer:
    """What a request was answered with."""

    status: int
    body: Json
    location: str


class GatewayProcess:
    """One gateway for one namespace, and two users, `clerk` and `chief`, who have no rights on Jobs and pods."""

    def __init__(
        self, folder: Path, kube: Kube, database: Path | URL, settings: Mapping[str, str] = MappingProxyType({})
    ) -> None:
        """`database` is a file of SQLite, or where a server is; `settings` are more of its variables."""
        layout = kube.cluster.layout
        self._port = free_port()
        self._environment = (
            {
                "MERP_API_SERVER": layout.api_url,
                "MERP_API_SERVER_CA": str(layout.pki / "ca.crt"),
                "MERP_NAMESPACE": kube.namespace,
                "MERP_LISTEN": "127.0.0.1",
                "SERVICE_PORT": str(self._port),
                # Other tests' jobs are not this one's to wait for.
                "MERP_WATCH_NAMESPACE": kube.namespace,
                "MERP_TOKEN_FILE": str(folder / "gateway-token"),
            }
            | _records(database)
            | dict(settings)
        )
        self._kube = kube
        self._account = f"gateway-{kube.namespace}"
        (folder / "gateway-token").write_text(_own_token(kube, self._account), encoding="ascii")
        self._folder = folder
        self._log = folder / "gateway.log"
        self._process: subprocess.Popen[bytes] | None = None
        # The machine's proxy settings are for the world outside.
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        self._namespace = kube.namespace
        self._tokens = _users(kube)

    @property
    def pid(self) -> int:
        """Of the process that runs."""
        assert self._process is not None
        return self._process.pid

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._port}"

    def log(self) -> str:
        """What it has logged so far."""
        return self._log.read_text(encoding="utf-8")

    def admit(self, user: str, *rights: str) -> None:
        """Let requests be made as another user, who has rights such as `get,watch scheduledjobs.scheduler.merp.io`."""
        self._kube.kubectl("create", "serviceaccount", user)
        for number, right in enumerate(rights):
            verbs, resources = right.split()
            name = f"{user}-{number}"
            self._kube.kubectl("create", "role", name, f"--verb={verbs}", f"--resource={resources}")
            account = f"--serviceaccount={self._namespace}:{user}"
            self._kube.kubectl("create", "rolebinding", name, f"--role={name}", account)
        self._tokens[user] = self._kube.kubectl("create", "token", user).strip()

    def token(self, user: str) -> str:
        """A user's token."""
        return self._tokens[user]

    def start(self, *, covered: bool = True) -> None:
        """Start it, and wait until it has everything in memory. What is measured is not `covered`."""
        coverage = [
            "-m",
            "coverage",
            "run",
            f"--rcfile={_ROOT / 'pyproject.toml'}",
            f"--data-file={_ROOT / '.coverage'}",
        ]
        command = [sys.executable, *(coverage if covered else []), "-m", "merp_api"]
        with self._log.open("ab") as log:
            # In a folder of its own: a .env of the developer's must not reach it.
            self._process = subprocess.Popen(
                command, cwd=self._folder, env=os.environ | self._environment, stdout=log, stderr=log
            )
        deadline = time.monotonic() + _START_SECONDS
        while not self._is_ready():
            assert self._process.poll() is None, f"the gateway ended: {self._log.read_text()[-3000:]}"
            assert time.monotonic() < deadline, f"the gateway is not ready: {self._log.read_text()[-3000:]}"
            time.sleep(0.1)

    def stop(self) -> None:
        """End it as the kubelet does."""
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            self._process.wait(_STOP_SECONDS)
        for kind in ("clusterrolebinding", "clusterrole"):
            self._kube.kubectl("delete", kind, self._account, "--ignore-not-found")

    def name_of(self, user: str) -> str:
        """What the API server calls a user."""
        return f"system:serviceaccount:{self._namespace}:{user}"

    def ask(self, method: str, path: str, body: Json | None = None, user: str = "clerk") -> Answer:
        """One REST call; a refusal is an answer too. `path` is as in a Location."""
        headers = {"Authorization": f"Bearer {self._tokens[user]}", "Content-Type": "application/json"}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.url}{path}", method=method, data=data, headers=headers)
        try:
            with self._opener.open(request, timeout=_ANSWER_SECONDS) as answer:
                return Answer(answer.status, json.loads(answer.read()), answer.headers.get("Location", ""))
        except urllib.error.HTTPError as error:
            return Answer(error.code, json.loads(error.read()), "")

    @contextmanager
    def stream(self, path: str, user: str = "clerk") -> Iterator[Iterator[bytes]]:
        """The lines of a long answer as they come."""
        headers = {"Authorization": f"Bearer {self._tokens[user]}"}
        request = urllib.request.Request(f"{self.url}{path}", headers=headers)
        with self._opener.open(request, timeout=_ANSWER_SECONDS) as answer:
            yield iter(answer.readline, b"")

    def readiness(self) -> tuple[int, Json]:
        """What a probe is told; (0, {}) where nobody answers."""
        try:
            with self._opener.open(f"{self.url}/readyz", timeout=_PROBE_SECONDS) as answer:
                return answer.status, json.loads(answer.read())
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read())
        except OSError:
            return 0, {}

    def _is_ready(self) -> bool:
        return self.readiness()[0] == 200


def _records(database: Path | URL) -> dict[str, str]:
    """How the gateway is told where the records are."""
    if isinstance(database, Path):
        return {"MERP_SQLITE_PATH": str(database)}
    return {
        "DB_HOST": str(database.host),
        "DB_PORT": str(database.port),
        "DB_NAME": str(database.database),
        "DB_USER": str(database.username),
        "DB_PASSWORD": database.password or "",
    }


def _own_token(kube: Kube, account: str) -> str:
    """The token of an account with the rights that the chart gives the gateway's."""
    kube.kubectl("create", "serviceaccount", "gateway")
    kinds = ["scheduledjobs", "jobruns", "jobpools", "businesscalendars"]
    rules = [
        {"apiGroups": ["scheduler.merp.io"], "resources": kinds, "verbs": ["list", "watch"]},
        {"apiGroups": ["authentication.k8s.io"], "resources": ["tokenreviews"], "verbs": ["create"]},
        {"apiGroups": ["authorization.k8s.io"], "resources": ["subjectaccessreviews"], "verbs": ["create"]},
    ]
    api = "rbac.authorization.k8s.io"
    kube.apply(
        {"apiVersion": f"{api}/v1", "kind": "ClusterRole", "metadata": {"name": account}, "rules": rules},
        {
            "apiVersion": f"{api}/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": account},
            "roleRef": {"apiGroup": api, "kind": "ClusterRole", "name": account},
            "subjects": [{"kind": "ServiceAccount", "name": "gateway", "namespace": kube.namespace}],
        },
    )
    return kube.kubectl("create", "token", "gateway").strip()


def _users(kube: Kube) -> dict[str, str]:
    """The tokens of those who ask for runs and change jobs."""
    kube.apply(
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "Role",
            "metadata": {"name": "planner"},
            "rules": [_rule("scheduledjobs", "get", "list", "patch"), _rule("jobruns", "get", "list", "create")],
        }
    )
    tokens = {}
    for user in ("clerk", "chief"):
        kube.kubectl("create", "serviceaccount", user)
        kube.kubectl("create", "rolebinding", user, "--role=planner", f"--serviceaccount={kube.namespace}:{user}")
        tokens[user] = kube.kubectl("create", "token", user).strip()
    return tokens


def _rule(resource: str, *verbs: str) -> Json:
    return {"apiGroups": ["scheduler.merp.io"], "resources": [resource], "verbs": list(verbs)}
