"""The proxy before a database, tried on a real server."""

import threading
from collections.abc import Iterator
from typing import Any

import pymysql
import pytest
from cutting_database import CuttingDatabase
from cutting_proxy import Moment, nth
from mariadb_server import Server, running

pytestmark = pytest.mark.mariadb


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running() as found:
        found.sql("CREATE DATABASE cut")
        found.sql("CREATE TABLE cut.t (n INT PRIMARY KEY)")
        yield found


def connect(port: int) -> "pymysql.Connection[Any]":
    # Who gives up before the proxy cuts him off has met no cut.
    return pymysql.connect(host="127.0.0.1", port=port, user="root", database="cut", read_timeout=60)


def insert(port: int, number: int) -> None:
    with connect(port) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT COUNT(*) FROM t")
        cursor.execute("INSERT INTO t VALUES (%s)", (number,))
        connection.commit()


def test_what_is_not_cut_passes_and_is_counted(server: Server) -> None:
    with CuttingDatabase(server.port, anew=lambda: None) as proxy:
        insert(proxy.port, 1)
        assert [write.method for write in proxy.writes] == ["INSERT", "COMMIT"]
        assert proxy.writes[0].body == b"INSERT INTO t VALUES (1)"
    assert server.sql("SELECT n FROM cut.t WHERE n = 1") == ((1,),)


@pytest.mark.parametrize(
    ("method", "moment", "kept"),
    [
        pytest.param("INSERT", Moment.BEFORE, False, id="before-the-insert"),
        pytest.param("INSERT", Moment.AFTER, False, id="after-the-insert"),
        pytest.param("COMMIT", Moment.BEFORE, False, id="before-the-commit"),
        pytest.param("COMMIT", Moment.AFTER, True, id="after-the-commit"),
    ],
)
def test_the_client_is_cut_off_and_hears_nothing(server: Server, method: str, moment: Moment, kept: bool) -> None:
    called = threading.Event()
    number = 10 + 2 * list("IC").index(method[0]) + list(Moment).index(moment)
    with CuttingDatabase(server.port, anew=called.set) as proxy:
        proxy.plan = nth(1, moment, lambda write: write.method == method)
        with pytest.raises(pymysql.err.Error):
            insert(proxy.port, number)
        assert called.is_set()
        assert [(write.method, when) for write, when in proxy.cuts] == [(method, moment)]
        # The next client is served.
        insert(proxy.port, number + 100)
    assert bool(server.sql(f"SELECT n FROM cut.t WHERE n = {number}")) is kept
    assert server.sql(f"SELECT n FROM cut.t WHERE n = {number + 100}") == ((number + 100,),)
