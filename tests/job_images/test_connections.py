"""Connections: what a run gets from Secrets, found by name, and shown to nobody."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from runner_pod import Pod

from merp_runner import Connection, ParameterError, connection
from merp_runner.connections import names, secrets
from merp_runner.kinds import kind_of

PASSWORD = 'p@ss/#"geheim"/密'


def mount(folder: Path, name: str, **values: str) -> dict[str, str]:
    """A Secret as the kubelet mounts it: the keys are links into a folder of the current version. Returns the variables."""
    data = folder / name / "..2026_12_01"
    data.mkdir(parents=True)
    (folder / name / "..data").symlink_to(data.name)
    for key, value in values.items():
        (data / key).write_text(value, encoding="utf-8")
        (folder / name / key).symlink_to(f"..data/{key}")
    return {"MERP_CONNECTIONS": str(folder)}


@pytest.mark.parametrize(
    ("values", "url"),
    [
        pytest.param({"url": "sqlite:////data/erp.db\n"}, "sqlite:////data/erp.db", id="url"),
        pytest.param({"uri": "mysql://erp@db/erp"}, "mysql://erp@db/erp", id="uri"),
        pytest.param({"type": "mysql", "host": "db"}, "mysql://db/", id="least-parts"),
        pytest.param(
            {
                "type": "mysql",
                "host": "db",
                "port": "3307",
                "username": "erp@x",
                "password": PASSWORD,
                "database": "库",
            },
            "mysql://erp%40x:p%40ss%2F%23%22geheim%22%2F%E5%AF%86@db:3307/%E5%BA%93",
            id="C43-all-parts",
        ),
        pytest.param({"type": "mysql", "host": "fd00::1", "port": "3306"}, "mysql://[fd00::1]:3306/", id="IPv6"),
        pytest.param({"url": "", "type": "https", "host": "erp"}, "https://erp/", id="empty-url"),
    ],
)
def test_url(tmp_path: Path, values: Mapping[str, str], url: str) -> None:
    assert connection("erp", mount(tmp_path, "erp", **values)).url == url


@pytest.mark.parametrize(
    ("values", "told"),
    [
        pytest.param({"host": "db"}, "connection erp: its Secret has no type: give it the key url", id="no-type"),
        pytest.param({"password": "geheim"}, "connection erp: its Secret has no type and no host", id="password-only"),
    ],
)
def test_url_of_an_incomplete_secret(values: Mapping[str, str], told: str) -> None:
    with pytest.raises(ParameterError) as refused:
        _ = Connection("erp", values).url
    assert str(refused.value).startswith(told)
    assert "geheim" not in str(refused.value)


def test_all_keys_are_there(tmp_path: Path) -> None:
    found = connection("erp", mount(tmp_path, "erp", url="https://erp", token="t-1234\n", extra="x\ny"))
    assert found == Connection("erp", {"url": "https://erp", "token": "t-1234", "extra": "x\ny"})
    assert repr(found) == "Connection(name='erp')"


@pytest.mark.parametrize(
    ("name", "variable"),
    [
        pytest.param("erp", "MERP_CONNECTION_ERP", id="letters"),
        pytest.param("erp-2.cn", "MERP_CONNECTION_ERP_2_CN", id="other-characters"),
    ],
)
def test_variable(name: str, variable: str) -> None:
    assert connection(name, {variable: "sqlite://\n"}).url == "sqlite://"


def test_the_folder_wins_over_the_variable(tmp_path: Path) -> None:
    environment = mount(tmp_path, "erp", url="sqlite:////folder")
    assert connection("erp", environment | {"MERP_CONNECTION_ERP": "sqlite:////variable"}).url == "sqlite:////folder"


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, id=name or "empty")
        for name in ("wms", "", "..", "../erp", "erp/../erp", "/etc", "ERP", "erp ", "a" * 300, "库存", "er\0p")
    ],
)
def test_unknown_name(tmp_path: Path, name: str) -> None:
    environment = mount(tmp_path, "erp", url="sqlite://") | {"MERP_CONNECTION_HR_DB": "sqlite://"}
    with pytest.raises(ParameterError, match="this run has erp, hr-db; ") as refused:
        connection(name, environment)
    assert len(str(refused.value)) < 250


@pytest.mark.parametrize(
    "folder",
    [
        pytest.param("{}/absent", id="absent"),
        pytest.param("{}/file", id="a-file"),
        pytest.param("{}/loop", id="a-link-to-itself"),
        pytest.param("/" + "a" * 5000, id="longer-than-a-path"),
    ],
)
def test_a_run_without_connections(tmp_path: Path, folder: str) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to("loop")
    environment = {"MERP_CONNECTIONS": folder.format(tmp_path), "MERP_CONNECTION_ERP": ""}
    assert (names(environment), list(secrets(environment))) == ([], [])
    with pytest.raises(ParameterError, match="this run has none"):
        connection("erp", environment)


def test_a_key_that_is_no_text(tmp_path: Path) -> None:
    environment = mount(tmp_path, "erp", url="sqlite://")
    (tmp_path / "erp" / "keystore").write_bytes(b"\xff\xfe")
    with pytest.raises(ParameterError, match="connection erp: 'utf-8'"):
        connection("erp", environment)
    assert list(secrets(environment)) == []


@pytest.mark.parametrize(
    ("values", "hidden"),
    [
        pytest.param({"url": "mysql://u:geheim@db/erp"}, ["mysql://u:geheim@db/erp"], id="url-with-a-password"),
        pytest.param({"url": "https://erp.example"}, [], id="url-without-one"),
        pytest.param({"host": "db", "port": "3306", "username": "erp", "database": "erp"}, [], id="open-parts"),
        pytest.param(
            {"password": "geheim", "token": "t-1234", "anything": "x"}, ["x", "geheim", "t-1234"], id="others"
        ),
    ],
)
def test_what_is_secret(tmp_path: Path, values: Mapping[str, str], hidden: list[str]) -> None:
    assert list(secrets(mount(tmp_path, "erp", **values))) == hidden


def test_schema_says_that_the_text_names_a_connection() -> None:
    assert kind_of(Connection).schema() == {"type": "string", "format": "connection"}


@pytest.mark.parametrize(
    ("func", "kwargs", "problem"),
    [
        pytest.param(
            "reveal_connection",
            {"connection": "wms"},
            "connection: connection 'wms': this run has erp; spec.connections, or a variable MERP_CONNECTION_…, gives it one",
            id="unknown",
        ),
        pytest.param(
            "reveal_connection", {"connection": 1}, "connection: expected the name of a connection, got 1", id="number"
        ),
        pytest.param("reveal_connection", {}, "connection: missing", id="missing"),
    ],
)
def test_parameter_that_names_no_connection(pod: Pod, func: str, kwargs: dict[str, Any], problem: str) -> None:
    pod.environment |= mount(pod.folder / "connections", "erp", url="sqlite://")
    ended = pod.run(func, [], kwargs)
    assert (ended.code, ended.message["error"]["message"]) == (2, problem)


@pytest.mark.parametrize("how", [pytest.param(how, id=f"C59-{how}") for how in ("return", "raise")])
@pytest.mark.parametrize("given", [pytest.param(given, id=given) for given in ("parts", "url", "variable")])
def test_nothing_of_a_connection_is_shown(pod: Pod, how: str, given: str) -> None:
    parts = {"type": "mysql", "host": "db", "username": "erp", "password": PASSWORD, "token": "t-1234"}
    url = Connection("erp", parts).url
    if given == "variable":
        pod.environment["MERP_CONNECTION_ERP"] = url
    else:
        pod.environment |= mount(pod.folder / "connections", "erp", **(parts if given == "parts" else {"url": url}))
    ended = pod.run("reveal_connection", ["erp", how])
    whole = ended.stdout + ended.stderr + ended.raw.decode()
    assert ended.code == (1 if how == "raise" else 0), whole
    for form in (PASSWORD, json.dumps(PASSWORD)[1:-1], repr(PASSWORD)[1:-1], "geheim", "t-1234", "%23"):
        assert form not in whole
    assert "***" in ended.raw.decode()
