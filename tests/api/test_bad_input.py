"""What no client should send, to every operation of the OpenAPI document: a new one is tried without a row of its own."""

import json
import logging
import socket
from pathlib import Path
from typing import Any

import httpx2
import pytest

from merp_api.app import create_app
from merp_api.description import render
from merp_api.filters import repeated
from merp_api.settings import Settings
from merp_kube.client import Client, server_only

DOCUMENT: dict[str, Any] = json.loads(render())
OPERATIONS = [
    (method.upper(), path, operation)
    for path, operations in DOCUMENT["paths"].items()
    for method, operation in operations.items()
]
NAMED = [(method, path) for method, path, _ in OPERATIONS if "{" in path]
QUERIED = [
    (method, path)
    for method, path, operation in OPERATIONS
    if any(parameter["name"] == "namespace" for parameter in operation.get("parameters", []))
]
WRITTEN = [
    (method, path, next(iter(operation["requestBody"]["content"])))
    for method, path, operation in OPERATIONS
    if "requestBody" in operation
]
PARAMETERS = {
    parameter["name"]: parameter["schema"]
    for _, _, operation in OPERATIONS
    for parameter in operation.get("parameters", [])
    if parameter["in"] == "query"
}
BODY = {"name": "x", "job_type": "cron", "func": "echo_args", "cron_expression": "0 0 1 * *"}
PASSWORD = "canary-S3cret!x"


def fitting(path: str, name: str) -> str:
    return path.replace("{id}", name).replace("{name}", name)


def of(path: str) -> str:
    """The path with an id that may be there."""
    return fitting(path, "00000000-0000-0000-0000-000000000000" if "/executions/" in path else "j")


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("..%2f..%2fsecrets", id="escaped-slashes"),
        pytest.param("%2e%2e%2fnodes", id="escaped-dots"),
        pytest.param("%252e%252e%252f", id="escaped-twice"),
        pytest.param("库存", id="not-ascii"),
        pytest.param("%ff%fe", id="not-utf-8"),
        pytest.param("a%00b", id="nul"),
        pytest.param("j'%20OR%20'1'='1", id="sql"),
        pytest.param("%25", id="like-wildcard"),
        pytest.param("a%0d%0aX-Injected:%201", id="header-injection"),
        pytest.param("x" * 2000, id="long"),
    ],
)
async def test_names_that_are_none(gateway: Any, cluster: Any, name: str) -> None:
    for method, path in NAMED:
        answer = await gateway.request(method, fitting(path, name), json=BODY if method in ("POST", "PUT") else None)
        assert answer.status_code in (400, 404, 405), (method, path, answer.text)
        assert answer.headers["content-type"] == "application/problem+json"
        assert len(answer.content) < 1000
        assert "x-injected" not in answer.headers
    assert not [seen.path for seen in cluster.seen if "selfsubject" not in seen.path]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        pytest.param(b"{", 400, id="no-json"),
        pytest.param(b"<xml/>", 400, id="xml"),
        pytest.param(b"\xff\xfe{}", 400, id="not-utf-8"),
        pytest.param(b"[" * 100_000, 400, id="nested"),
        pytest.param(b'{"nope": 1}', 400, id="an-unknown-field"),
        pytest.param(b"[]", 400, id="a-list"),
        pytest.param(b'"text"', 400, id="a-text"),
        pytest.param(b" " * (2**20 + 1), 413, id="large"),
    ],
)
async def test_bodies_that_are_none(
    gateway: Any, cluster: Any, scheduled_job: Any, recorder: Any, content: bytes, expected: int
) -> None:
    cluster.put("scheduledjobs", scheduled_job("j"))
    for method, path, media_type in WRITTEN:
        answer = await gateway.request(method, of(path), content=content, headers={"Content-Type": media_type})
        assert answer.status_code == expected, (method, path, answer.text)
        assert answer.headers["content-type"] == "application/problem+json"
    assert not cluster.writes("POST", "jobruns")
    assert not [write for verb in ("POST", "PUT", "PATCH") for write in cluster.writes(verb, "scheduledjobs")]


async def test_bodies_of_another_type(gateway: Any) -> None:
    for method, path, _ in WRITTEN:
        answer = await gateway.request(method, of(path), content=b"a=1", headers={"Content-Type": "text/plain"})
        assert answer.status_code == 415, (method, path, answer.text)


@pytest.mark.parametrize(
    "query",
    ["namespace=../kube-system", "namespace=a%2fb", "namespace=库", "nope=1", "namespace=default&namespace=erp"],
)
async def test_queries_that_are_none(gateway: Any, query: str) -> None:
    for method, path in QUERIED:
        content = {"json": BODY} if method in ("POST", "PUT", "PATCH") else {}
        answer = await gateway.request(method, f"{of(path)}?{query}", **content)
        assert answer.status_code == 400, (method, path, answer.text)
        assert [error["in"] for error in answer.json()["errors"]] == ["query"]


@pytest.mark.usefixtures("patient_probes")
async def test_c59_the_databases_password_is_told_nowhere(
    cluster: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        settings = Settings(
            _env_file=None,
            db_host="127.0.0.1",
            db_port=taken.getsockname()[1],
            db_name="merp",
            db_user="merp",
            db_password=PASSWORD,
        )
        engine = settings.create_engine(pool_size=1, max_overflow=0, read_only=True)
        app = create_app(settings, Client(server_only(host=cluster.url, ca_file=None)), engine)
        headers = {"Authorization": "Bearer token-of-admin"}
        transport = httpx2.ASGITransport(app=app)
        async with (
            app.router.lifespan_context(app),
            httpx2.AsyncClient(transport=transport, base_url="http://gateway", headers=headers) as client,
        ):
            answers = [await client.get(path) for path in ("/api/v1/jobs/history", "/api/v1/history/daily", "/readyz")]
    assert [answer.status_code for answer in answers] == [503, 503, 200]
    told = [*(answer.text for answer in answers), *(json.dumps(vars(line), default=str) for line in caplog.records)]
    assert any("the records cannot be read" in text for text in told)
    assert not [text for text in told if PASSWORD in text or "S3cret" in text]


def test_a_parameter_may_come_twice_where_it_is_a_list_and_nowhere_else() -> None:
    def is_list(schema: Any) -> bool:
        return any(kind.get("type") == "array" for kind in (schema, *schema.get("anyOf", [])))

    lists = {name for name, schema in PARAMETERS.items() if is_list(schema)}
    assert lists
    assert {name for name in PARAMETERS if not repeated([name, name])} == lists
