"""HTTP requests against a real service: where they may go, how long they take, and when they are repeated."""

import json
import socket
import ssl
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from web_server import Reply, WebServer, web_server

from merp_runner import Connection, Context, ParameterError, TaskFailed
from merp_tasks.http_exchange import Answer, Exchange, Payload, Refusal
from merp_tasks.http_requests import http_request

JSON = {"Content-Type": "application/json"}


@pytest.fixture
def service() -> Iterator[WebServer]:
    with web_server() as made:
        yield made


@pytest.fixture
def allowed(service: WebServer, monkeypatch: pytest.MonkeyPatch) -> WebServer:
    """The service, in the allow-list."""
    monkeypatch.setenv("MERP_HTTP_HOSTS", f"erp.example, localhost:{service.port}")
    return service


def test_an_answer(allowed: WebServer, context: Context) -> None:
    allowed.answer("/stock", Reply(body='{"库存": [1, null]}'.encode()))
    result = http_request(context, allowed.url("/stock?key=geheim"), headers={"Accept-Language": "zh"})
    assert result.pop("seconds") < 60
    assert result == {
        "status": 200,
        "url": allowed.url("/stock"),
        "attempts": 1,
        "content_type": "application/json",
        "body": {"库存": [1, None]},
        "truncated": False,
    }
    (asked,) = allowed.asked
    assert (asked.method, asked.path, asked.headers["accept-language"]) == ("GET", "/stock?key=geheim", "zh")


@pytest.mark.parametrize(
    ("body", "headers", "sent", "kind"),
    [
        pytest.param({"a": "库"}, {}, '{"a": "库"}'.encode(), "application/json", id="json"),
        pytest.param([1], {"Content-Type": "application/vnd.erp+json"}, b"[1]", "application/vnd.erp+json", id="own-content-type"),
        pytest.param("a,b\n", {}, b"a,b\n", "text/plain; charset=utf-8", id="text"),
        pytest.param(None, {}, b"", None, id="none"),
    ],
)  # fmt: skip
def test_body(
    allowed: WebServer, context: Context, body: Any, headers: dict[str, str], sent: bytes, kind: str | None
) -> None:
    allowed.answer("/in", Reply())
    http_request(context, allowed.url("/in"), "POST", body=body, headers=headers)
    (asked,) = allowed.asked
    assert (asked.body, asked.headers.get("content-type")) == (sent, kind)
    assert "idempotency-key" not in asked.headers


@pytest.mark.parametrize(
    ("reply", "body", "truncated"),
    [
        pytest.param(Reply(body=b"caf\xe9", headers={"Content-Type": "text/plain; charset=latin-1"}), "café", False, id="charset"),
        pytest.param(Reply(body=b"\xff", headers={"Content-Type": "text/plain; charset=of-our-own"}), "�", False, id="unknown-charset"),
        pytest.param(Reply(body=b"{no"), "{no", False, id="json-that-is-none"),
        pytest.param(Reply(body=b"x" * 3000, headers={}), "x" * 1500, True, id="long-text"),
        pytest.param(Reply(body=b"[" + b"1," * 600_000 + b"1]"), "[" + "1," * 749 + "1", True, id="more-than-a-mebibyte"),
    ],
)  # fmt: skip
def test_what_the_record_shows(allowed: WebServer, context: Context, reply: Reply, body: str, truncated: bool) -> None:
    allowed.answer("/out", reply)
    result = http_request(context, allowed.url("/out"))
    assert (result["body"], result["truncated"]) == (body, truncated)


@pytest.mark.parametrize(
    ("method", "status", "expect", "told"),
    [
        pytest.param("GET", 404, None, "404 Not Found\nno such article", id="not-found"),
        pytest.param("POST", 500, None, "500 Internal Server Error", id="server-error"),
        pytest.param("GET", 200, [204], "200 OK", id="success-that-was-not-expected"),
        pytest.param("POST", 303, None, "303 See Other", id="redirect-after-post"),
    ],
)
def test_other_statuses_fail(
    allowed: WebServer, context: Context, method: Any, status: int, expect: list[int] | None, told: str
) -> None:
    allowed.answer("/x", Reply(status, b"no such article", {"Location": allowed.url("/y")}))
    with pytest.raises(TaskFailed) as failed:
        http_request(context, allowed.url("/x?key=geheim"), method, expect=expect)
    assert str(failed.value).startswith(f"{method} {allowed.url('/x')}: {told}")
    assert "geheim" not in str(failed.value)


def test_a_status_that_is_expected_is_a_success(allowed: WebServer, context: Context) -> None:
    allowed.answer("/gone", Reply(404))
    assert http_request(context, allowed.url("/gone"), "DELETE", expect=[204, 404])["status"] == 404


@pytest.mark.parametrize(
    ("url", "hosts", "told"),
    [
        pytest.param("http://erp.example/x", "", "url: erp.example is not allowed: the variable MERP_HTTP_HOSTS", id="off-by-default"),
        pytest.param("http://evil.example/x", "erp.example", "url: evil.example is not allowed", id="another-host"),
        pytest.param("http://erp.example.evil/x", "erp.example", "url: erp.example.evil is not allowed", id="suffix"),
        pytest.param("http://evilerp.example/x", "*.erp.example", "url: evilerp.example is not allowed", id="wildcard-is-a-whole-label"),
        pytest.param("http://erp.example/x", "*.erp.example", "url: erp.example is not allowed", id="wildcard-is-below"),
        pytest.param("http://erp.example:8080/x", "erp.example", "url: erp.example:8080 is not allowed", id="another-port"),
        pytest.param("https://erp.example/x", "erp.example:80", "url: erp.example is not allowed", id="port-of-another-scheme"),
        pytest.param("http://[::1]:9/x", "::1", "url: [::1]:9 is not allowed", id="IPv6"),
        pytest.param("http://u:geheim@erp.example/x", "erp.example", "url: has credentials in it", id="credentials"),
        pytest.param("http://erp.example@evil.example/x", "erp.example", "url: has credentials in it", id="host-as-user"),
        pytest.param("file:///etc/passwd", "erp.example", "url: 'file:///etc/passwd' is no http", id="file"),
        pytest.param("erp.example/x", "erp.example", "url: 'erp.example/x' is no http", id="no-scheme"),
        pytest.param("http://erp.example/a b", "erp.example", "url: 'http://erp.example/a b' is no http", id="space"),
        pytest.param("http://erp.example/a\r\nHost: x", "erp.example", "url: 'http://erp.example/a\\r\\n", id="line-break"),
        pytest.param("http://erp.example:99999/", "erp.example", "url: 'http://erp.example:99999/' is no http", id="no-port"),
    ],
)  # fmt: skip
def test_url_is_refused(context: Context, monkeypatch: pytest.MonkeyPatch, url: str, hosts: str, told: str) -> None:
    monkeypatch.setenv("MERP_HTTP_HOSTS", hosts)
    with pytest.raises(ParameterError) as refused:
        http_request(context, url)
    assert str(refused.value).startswith(told)
    assert "geheim" not in str(refused.value)


@pytest.mark.parametrize("hosts", ["localhost:{port}", "*.example,LOCALHOST:{port}", "localhost:1, localhost:{port}"])
def test_host_is_allowed(service: WebServer, context: Context, monkeypatch: pytest.MonkeyPatch, hosts: str) -> None:
    service.answer("/", Reply())
    monkeypatch.setenv("MERP_HTTP_HOSTS", hosts.format(port=service.port))
    assert http_request(context, service.url(""))["status"] == 200


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        pytest.param({"headers": {"Authorization": "x"}}, "headers.Authorization: is the task's own; credentials come from a connection", id="credentials"),
        pytest.param({"headers": {"Host": "x"}}, "headers.Host: is the task's own", id="host"),
        pytest.param({"headers": {"X-A": "b\r\nC: d"}}, "headers.X-A: has more than printable", id="header-with-a-line-break"),
        pytest.param({"headers": {"X A": "b"}}, "headers.'X A': is no header's name", id="header-name"),
        pytest.param({"headers": {"X-A": "库"}}, "headers.X-A: has more than printable ASCII", id="header-not-ascii"),
        pytest.param({"timeout_seconds": 0, "retries": 11}, "timeout_seconds: 0 is not above 0 and at most 3600; retries: 11 is not between 0 and 10", id="numbers"),
    ],
)  # fmt: skip
def test_parameters_are_refused(allowed: WebServer, context: Context, changes: dict[str, Any], told: str) -> None:
    with pytest.raises(ParameterError) as refused:
        http_request(context, allowed.url("/x"), **changes)
    assert str(refused.value).startswith(told)


@pytest.mark.parametrize(
    ("values", "sent"),
    [
        pytest.param({"token": "t-1234"}, "Bearer t-1234", id="token"),
        pytest.param({"username": "erp", "password": "ge:heim"}, "Basic ZXJwOmdlOmhlaW0=", id="basic"),
        pytest.param({}, None, id="none"),
    ],
)
def test_a_connection_brings_host_and_credentials(
    service: WebServer, context: Context, values: dict[str, str], sent: str | None
) -> None:
    service.answer("/api/orders", Reply())
    connection = Connection("shop", {"url": service.url("/api/")} | values)
    http_request(context, "/orders?since=1", connection=connection)
    (asked,) = service.asked
    assert (asked.path, asked.headers.get("authorization")) == ("/api/orders?since=1", sent)


def test_with_a_connection_no_url_leads_elsewhere(service: WebServer, context: Context) -> None:
    connection = Connection("shop", {"url": service.url("/api")})
    for url in ("http://evil.example/", "@evil.example/", ".evil.example"):
        with pytest.raises(ParameterError, match="does not begin with /"):
            http_request(context, url, connection=connection)
    assert service.asked == []


def test_redirects_on_the_same_host_are_followed(allowed: WebServer, context: Context) -> None:
    allowed.answer("/old", Reply(302, b"", {"Location": "/new?x=1"}))
    allowed.answer("/new", Reply(body=b"[1]"))
    result = http_request(context, allowed.url("/old"))
    assert (result["url"], result["body"]) == (allowed.url("/new"), [1])


@pytest.mark.parametrize(
    "where",
    ["http://127.0.0.1:{port}/new", "http://localhost:1/new", "https://localhost:{port}/new", "//evil.example/", "file:///etc/passwd", "http://localhost:x/"],
)  # fmt: skip
def test_redirects_to_anywhere_else_are_not(
    allowed: WebServer, context: Context, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    monkeypatch.setenv("MERP_HTTP_HOSTS", f"localhost:{allowed.port},127.0.0.1:{allowed.port},evil.example,localhost:1")
    allowed.answer("/old", Reply(301, b"", {"Location": where.format(port=allowed.port)}))
    allowed.answer("/new", Reply())
    with pytest.raises(TaskFailed, match=r"301 redirects to .*, which is not followed"):
        http_request(context, allowed.url("/old"))
    assert [asked.path for asked in allowed.asked] == ["/old"]


def test_a_ring_of_redirects_ends(allowed: WebServer, context: Context) -> None:
    allowed.answer("/ring", Reply(302, b"", {"Location": "/ring"}))
    with pytest.raises(TaskFailed, match="more than 5 redirects"):
        http_request(context, allowed.url("/ring"))
    assert len(allowed.asked) == 6


DOWN, BUSY, GONE = Reply(503), Reply(429, headers={"Retry-After": "7"}), Reply(drop=True)


@pytest.mark.parametrize(
    ("method", "repeatable", "replies", "status", "attempts", "pauses"),
    [
        pytest.param("GET", False, [Reply()], 200, 1, [], id="nothing-to-repeat"),
        pytest.param("GET", False, [DOWN, DOWN, Reply()], 200, 3, [1, 2], id="get-twice-down"),
        pytest.param("GET", False, [DOWN], 503, 3, [1, 2], id="get-down-for-good"),
        pytest.param("GET", False, [GONE, Reply()], 200, 2, [1], id="get-answer-lost"),
        pytest.param("PUT", False, [DOWN, Reply()], 200, 2, [1], id="put"),
        pytest.param("DELETE", False, [GONE, Reply()], 200, 2, [1], id="delete"),
        pytest.param("GET", False, [BUSY, Reply()], 200, 2, [7], id="as-long-as-it-wants"),
        pytest.param("GET", False, [Reply(429, headers={"Retry-After": "3600"})], 429, 1, [], id="longer-than-a-run-waits"),
        pytest.param("GET", False, [Reply(500)], 500, 1, [], id="an-error-of-its-own-is-final"),
        pytest.param("POST", False, [DOWN], 503, 1, [], id="post-is-not-repeated"),
        pytest.param("PATCH", False, [DOWN], 503, 1, [], id="patch-is-not-repeated"),
        pytest.param("POST", True, [DOWN, Reply()], 200, 2, [1], id="post-with-a-key"),
        pytest.param("POST", True, [GONE, Reply()], 200, 2, [1], id="post-with-a-key-answer-lost"),
    ],
)  # fmt: skip
def test_repeats(
    service: WebServer,
    method: str,
    repeatable: bool,
    replies: list[Reply],
    status: int,
    attempts: int,
    pauses: list[int],
) -> None:
    service.answer("/x", *replies)
    slept: list[float] = []
    exchange = Exchange(lambda url: True, {}, 10, slept.append)
    answer = exchange.send(method, service.url("/x"), Payload.of(None, {}), 2, repeatable=repeatable)
    assert (answer.status, answer.attempts, len(service.asked)) == (status, attempts, attempts)
    # A quarter more at most, so that many do not come back at once.
    assert [least <= pause <= least * 1.25 for least, pause in zip(pauses, slept, strict=True)] == [True] * len(pauses)


def test_post_whose_answer_was_lost_is_not_repeated(service: WebServer) -> None:
    service.answer("/x", GONE, Reply())
    exchange = Exchange(lambda url: True, {}, 10, lambda seconds: pytest.fail("repeated"))
    with pytest.raises(Refusal, match="the connection was lost: RemoteDisconnected"):
        exchange.send("POST", service.url("/x"), Payload.of({}, {}), 5, repeatable=False)
    assert len(service.asked) == 1


def test_post_that_was_never_sent_is_repeated() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        slept: list[float] = []
        exchange = Exchange(lambda url: True, {}, 10, slept.append)
        with pytest.raises(Refusal, match="no connection: "):
            exchange.send("POST", f"http://127.0.0.1:{port}/", Payload.of({}, {}), 2, repeatable=False)
    assert len(slept) == 2


def test_the_key_is_that_of_the_run(allowed: WebServer, context: Context) -> None:
    allowed.answer("/x", Reply())
    http_request(context, allowed.url("/x"), "POST", body={}, idempotent=True)
    assert allowed.asked[0].headers["idempotency-key"] == context.idempotency_key


@pytest.mark.parametrize(
    "reply",
    [
        pytest.param(Reply(body=b"x" * 1000, drip=0.1), id="a-body-that-drips"),
        pytest.param(Reply(body=b"x" * 2, drip=100), id="a-body-that-stalls"),
    ],
)
def test_one_attempt_has_one_time_limit(allowed: WebServer, context: Context, reply: Reply) -> None:
    allowed.answer("/slow", reply)
    began = time.monotonic()
    with pytest.raises(TaskFailed, match=r"no (whole )?answer within 0\.5 s"):
        http_request(context, allowed.url("/slow"), "POST", timeout_seconds=0.5)
    # The whole body would take a hundred seconds.
    assert time.monotonic() - began < 60


def test_a_service_that_accepts_and_says_nothing(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        monkeypatch.setenv("MERP_HTTP_HOSTS", f"127.0.0.1:{port}")
        with pytest.raises(TaskFailed, match=r"no answer within 0\.3 s"):
            http_request(context, f"http://127.0.0.1:{port}/", "POST", timeout_seconds=0.3)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate of its own for 127.0.0.1, and its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "erp")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "erp.pem"
    pem = serialization.Encoding.PEM
    path.write_bytes(
        made.public_bytes(pem) + key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return path


def test_tls_is_checked_against_the_connections_authority(context: Context, certificate: Path) -> None:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate)
    authority = certificate.read_text().partition("-----BEGIN PRIVATE")[0]
    with web_server(tls) as service:
        service.answer("/x", Reply(body=b"[1]"))
        address = f"https://127.0.0.1:{service.port}"
        trusting = Connection("erp", {"url": address, "ca.crt": authority})
        assert http_request(context, "/x", connection=trusting)["body"] == [1]
        with pytest.raises(TaskFailed, match="its certificate is not trusted: self-signed certificate"):
            http_request(context, "/x", connection=Connection("erp", {"url": address}))
        with pytest.raises(TaskFailed, match=r"the connection's ca\.crt is no certificate"):
            http_request(context, "/x", connection=Connection("erp", {"url": address, "ca.crt": "none"}))
        other_name = Connection("erp", {"url": service.url("", "https"), "ca.crt": authority})
        with pytest.raises(TaskFailed, match="its certificate is not trusted: Hostname mismatch"):
            http_request(context, "/x", connection=other_name)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [pytest.param("7", 7, id="number"), pytest.param("Tue, 01 Dec 2026 00:00:00 GMT", 0, id="date"), pytest.param("", 0, id="none")],
)  # fmt: skip
def test_wanted_pause(header: str, seconds: int) -> None:
    answer = Answer(503, "", "", "", "", None, truncated=False, location="", retry_after=header)
    assert answer.wanted_pause == seconds


def test_the_result_fits_a_record(allowed: WebServer, context: Context) -> None:
    allowed.answer("/x", Reply(body=b"x" * 100_000, headers={}))
    assert len(json.dumps(http_request(context, allowed.url("/x")))) < 2000
