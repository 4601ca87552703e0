"""The gateway as a process of this machine, beside an operator's records, and users of it who may change jobs alone."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from kube import Kube

Json = dict[str, Any]
_ROOT = Path(__file__).parents[2]
_START_SECONDS = 30.0
_STOP_SECONDS = 20.0
_ANSWER_SECONDS = 30.0


@dataclass(frozen=True)
class Answer:
    """What a request was answered with."""

    status: int
    body: Json
    location: str


class GatewayProcess:
    """One gateway for one namespace, and two users, `clerk` and `chief`, who have no rights on Jobs and pods."""

    def __init__(
        self, folder: Path, kube: Kube, database: Path, settings: Mapping[str, str] = MappingProxyType({})
    ) -> None:
        """`settings` are more of its variables."""
        layout = kube.cluster.layout
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port = int(probe.getsockname()[1])
        self._environment = {
            "MERP_API_SERVER": layout.api_url,
            "MERP_API_SERVER_CA": str(layout.pki / "ca.crt"),
            "MERP_NAMESPACE": kube.namespace,
            "MERP_SQLITE_PATH": str(database),
            "MERP_LISTEN": "127.0.0.1",
            "SERVICE_PORT": str(self._port),
        } | dict(settings)
        self._folder = folder
        self._log = folder / "gateway.log"
        self._process: subprocess.Popen[bytes] | None = None
        # The machine's proxy settings are for the world outside.
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        self._namespace = kube.namespace
        self._tokens = _users(kube)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._port}"

    def token(self, user: str) -> str:
        """What that user shows."""
        return self._tokens[user]

    def log(self) -> str:
        """What it has logged so far."""
        return self._log.read_text(encoding="utf-8")

    def start(self) -> None:
        """Start it, and wait until it has reached the API server."""
        command = [sys.executable, "-m", "coverage", "run", f"--rcfile={_ROOT / 'pyproject.toml'}"]
        command += [f"--data-file={_ROOT / '.coverage'}", "-m", "merp_api"]
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

    def name_of(self, user: str) -> str:
        """What the API server calls a user."""
        return f"system:serviceaccount:{self._namespace}:{user}"

    def ask(self, method: str, path: str, body: Json | None = None, user: str = "clerk") -> Answer:
        """One REST call; a refusal is an answer too. `path` is as in a Location."""
        headers = {"Authorization": f"Bearer {self._tokens[user]}", "Content-Type": "application/json"}
        data = None if body is None else json.dumps(body).encode()
        url = f"http://127.0.0.1:{self._port}{path}"
        request = urllib.request.Request(url, method=method, data=data, headers=headers)
        try:
            with self._opener.open(request, timeout=_ANSWER_SECONDS) as answer:
                return Answer(answer.status, json.loads(answer.read()), answer.headers.get("Location", ""))
        except urllib.error.HTTPError as error:
            return Answer(error.code, json.loads(error.read()), "")

    def _is_ready(self) -> bool:
        try:
            with self._opener.open(f"http://127.0.0.1:{self._port}/readyz", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False


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
