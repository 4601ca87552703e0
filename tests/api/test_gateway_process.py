"""The gateway as a process: settings, logs, and its end."""

import asyncio
import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx2
import pytest
from free_port import free_port

from merp_api.__main__ import main
from merp_api.settings import Settings

pytestmark = pytest.mark.processes

TOKEN = "token-of-admin"
# Far more than any wait takes: the machine may be busy with other suites.
PATIENCE = 60.0


def _environment(folder: Path, **variables: str) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "COVERAGE_PROCESS_START") if name in os.environ}
    return kept | {"MERP_SQLITE_PATH": str(folder / "records.db")} | variables


@pytest.mark.parametrize(
    ("variables", "named"),
    [
        pytest.param({"MERP_REQUESTS_PER_SECOND": "-1"}, "MERP_REQUESTS_PER_SECOND", id="negative-rate"),
        pytest.param(
            {"MERP_API_SERVER": "https://10.0.0.1", "MERP_METRICS_PORT": "8006", "MERP_LISTEN": "192.0.2.1"},
            "MERP_METRICS_PORT",
            id="metrics-at-no-address-of-ours",
        ),
        pytest.param({"MERP_STREAMS": "none"}, "MERP_STREAMS", id="streams-are-no-number"),
        pytest.param({"JOB_STORE": "memory"}, "JOB_STORE", id="another-job-store"),
        pytest.param({"SERVICE_PORT": "http"}, "SERVICE_PORT", id="port-is-no-number"),
        pytest.param({"LOG_LEVEL": "LOUD"}, "LOG_LEVEL", id="unknown-level"),
        pytest.param({"MERP_DEFAULT_TIME_ZONE": "Mars"}, "MERP_DEFAULT_TIME_ZONE", id="unknown-zone"),
        pytest.param({"MERP_NAMESPACE": "A B"}, "MERP_NAMESPACE", id="namespace-is-no-name"),
        pytest.param({}, "MERP_API_SERVER", id="outside-a-cluster"),
        pytest.param({"MERP_API_SERVER": "http://10.0.0.1:6443"}, "MERP_API_SERVER", id="tokens-in-the-clear"),
        pytest.param({"MERP_API_SERVER": "https://a:b@10.0.0.1"}, "MERP_API_SERVER", id="credentials-in-the-url"),
        pytest.param({"MERP_API_SERVER": "10.0.0.1:6443"}, "MERP_API_SERVER", id="no-url"),
        pytest.param({"MERP_API_SERVER_CA": "/no/such/file"}, "MERP_API_SERVER_CA", id="no-such-authority"),
        pytest.param({"MERP_TOKEN_FILE": "/no/such/file"}, "MERP_TOKEN_FILE", id="no-such-token"),
        pytest.param(
            {"MERP_API_SERVER": "https://10.0.0.1", "MERP_TOKEN_FILE": os.devnull}, "MERP_TOKEN_FILE", id="no-file"
        ),
        pytest.param({"MERP_WATCH_NAMESPACE": "A B"}, "MERP_WATCH_NAMESPACE", id="watched-namespace-is-no-name"),
        pytest.param(
            {"MERP_API_SERVER": "https://10.0.0.1", "DB_HOST": "mysql://u:S3cret@h"}, "DB_HOST", id="url-as-host"
        ),
        pytest.param(
            {"MERP_API_SERVER": "https://10.0.0.1", "MERP_CATALOGUE": __file__}, "MERP_CATALOGUE", id="no-catalogue"
        ),
        pytest.param(
            {"MERP_API_SERVER": "https://10.0.0.1", "LOG_FILE": "/no/such/folder/x.log"}, "LOG_FILE", id="no-log-folder"
        ),
    ],
)
def test_a_wrong_setting_is_named_and_nothing_starts(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    variables: dict[str, str],
    named: str,
) -> None:
    # Neither an .env file nor the variables of the machine.
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    for name, value in _environment(tmp_path, **variables).items():
        monkeypatch.setenv(name, value)
    # What it sets up writes to a stream that is closed after this test.
    monkeypatch.setattr(logging.root, "handlers", [])
    monkeypatch.setattr(logging.root, "level", logging.root.level)
    # The limit is the whole process's, and so that of whatever test comes next.
    monkeypatch.setattr("merp_kube.nesting.read_all_that_kubernetes_stores", lambda: None)
    assert main() == 2
    said = capsys.readouterr()
    assert (said.err.partition(":")[0], said.out) == (named, "")
    assert "S3cret" not in said.err


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        pytest.param({"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, "https://10.0.0.1:443", id="of-the-pod"),
        pytest.param(
            {"KUBERNETES_SERVICE_HOST": "fd00::1", "KUBERNETES_SERVICE_PORT": "6443"},
            "https://[fd00::1]:6443",
            id="IPv6",
        ),
        pytest.param({"MERP_API_SERVER": "https://k8s.example/"}, "https://k8s.example", id="given"),
        pytest.param({"MERP_API_SERVER": "http://127.0.0.1:8001"}, "http://127.0.0.1:8001", id="kubectl-proxy"),
    ],
)
def test_where_the_api_server_is(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], expected: str) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert Settings(_env_file=None).api_server() == expected


def test_the_password_is_in_no_representation() -> None:
    assert "S3cret" not in repr(Settings(_env_file=None, db_password="S3cret"))


def _start(folder: Path, variables: dict[str, str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "merp_api"],
        env=_environment(folder, **variables),
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture
def metrics_port() -> int:
    return free_port()


@pytest.fixture
async def process(
    cluster: Any, database: Path, tmp_path: Path, metrics_port: int
) -> AsyncIterator[tuple[str, subprocess.Popen[str]]]:
    """A running gateway: its URL and its process."""
    port = free_port()
    variables = {
        "MERP_API_SERVER": cluster.url,
        "SERVICE_PORT": str(port),
        "MERP_LISTEN": "127.0.0.1",
        "LOG_FILE": str(tmp_path / "gateway.log"),
        "MERP_METRICS_PORT": str(metrics_port),
        "MERP_TOKEN_FILE": str(tmp_path / "token"),
    }
    (tmp_path / "token").write_text("token-of-gateway\n", encoding="ascii")
    started = _start(tmp_path, variables)
    try:
        await _until_ready(f"http://127.0.0.1:{port}", started)
        yield f"http://127.0.0.1:{port}", started
    finally:
        started.kill()
        started.communicate()


async def _until_ready(url: str, process: subprocess.Popen[str], seconds: float = 90) -> None:
    deadline = time.monotonic() + seconds
    async with httpx2.AsyncClient(timeout=PATIENCE) as client:
        while time.monotonic() < deadline:
            assert process.poll() is None, process.stderr.read() if process.stderr else ""
            with suppress(httpx2.ConnectError):
                if (await client.get(f"{url}/readyz")).status_code == 200:
                    return
            # Also where it answers that it is not: whoever asks at once again takes its time.
            await asyncio.sleep(0.05)
    raise AssertionError("the gateway was not ready in time")


async def test_one_line_of_json_per_request_and_a_clean_end(
    process: tuple[str, subprocess.Popen[str]], tmp_path: Path
) -> None:
    url, started = process
    headers = {"Authorization": f"Bearer {TOKEN}", "X-Request-Id": "r-1"}
    async with httpx2.AsyncClient(base_url=url, timeout=PATIENCE) as client:
        answer = await client.get("/api/v1/jobs/nope?namespace=erp", headers=headers)
        refused = await client.get("/api/v1/jobs")
    assert (answer.status_code, refused.status_code) == (404, 401)
    assert "server" not in answer.headers
    started.send_signal(signal.SIGTERM)
    output, errors = await asyncio.to_thread(started.communicate, timeout=PATIENCE)
    assert (started.returncode, errors) == (0, "")
    lines = [json.loads(line) for line in output.splitlines()]
    [line] = [line for line in lines if line["message"] == "request" and line["status"] == 404]
    assert (line["request_id"], line["method"], line["route"], line["user"], line["level"]) == (
        "r-1", "GET", "/api/v1/jobs/{id}", "admin", "INFO",
    )  # fmt: skip
    assert line["milliseconds"] >= 0
    assert TOKEN not in output
    assert "namespace=erp" not in output
    assert (tmp_path / "gateway.log").read_text(encoding="utf-8") == output


async def test_asked_to_end_it_closes_streams_of_events_at_once(process: tuple[str, subprocess.Popen[str]]) -> None:
    url, started = process
    async with (
        httpx2.AsyncClient(base_url=url, timeout=PATIENCE) as client,
        client.stream("GET", "/api/v1/events", headers={"Authorization": f"Bearer {TOKEN}"}) as response,
    ):
        lines = response.aiter_lines()
        assert await anext(lines) == ": open"
        started.send_signal(signal.SIGTERM)
        assert not [line async for line in lines if line.startswith("data")]
    output, errors = await asyncio.to_thread(started.communicate, timeout=PATIENCE)
    assert (started.returncode, errors) == (0, "")
    # It says so where requests under way took longer than the ten seconds that they have.
    assert "graceful shutdown exceeded" not in output


@pytest.mark.parametrize(
    ("token", "path", "status"),
    [
        pytest.param(TOKEN, "/api/v1/jobs", 413, id="too-large"),
        pytest.param("garbage", "/api/v1/jobs", 401, id="nobody"),
        pytest.param(TOKEN, "/api/v1/nothing", 404, id="unknown-path"),
    ],
)
async def test_a_large_body_gets_its_answer_and_no_reset(
    process: tuple[str, subprocess.Popen[str]], token: str, path: str, status: int
) -> None:
    url, _ = process
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    async with httpx2.AsyncClient(base_url=url, timeout=PATIENCE) as client:
        for _ in range(5):
            answer = await client.post(path, headers=headers, content=b" " * 10 * 2**20)
            assert answer.status_code == status


async def test_metrics_are_by_route_and_need_no_token(
    process: tuple[str, subprocess.Popen[str]], metrics_port: int
) -> None:
    url, _ = process
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with httpx2.AsyncClient(timeout=PATIENCE) as client:
        for name in ("one", "two"):
            assert (await client.get(f"{url}/api/v1/jobs/{name}", headers=headers)).status_code == 404
        assert (await client.request("CANARY", f"{url}/canary/path", headers=headers)).status_code == 404
        found = (await client.get(f"http://127.0.0.1:{metrics_port}/metrics")).text
        assert (await client.get(f"{url}/metrics")).status_code == 401
    assert 'merp_api_requests_total{method="GET",route="/api/v1/jobs/{id}",status="404"} 2.0' in found
    assert 'merp_api_requests_total{method="other",route="unknown",status="404"} 1.0' in found
    assert 'merp_api_request_duration_seconds_count{method="GET",route="/api/v1/jobs/{id}"} 2.0' in found
    assert "merp_api_streams_open 0.0" in found
    assert "canary" not in found.lower()
    assert TOKEN not in found
