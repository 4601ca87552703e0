"""The variables of the seed, from the environment and from a `.env` file, and the pool that they make."""

import pytest
from pydantic import ValidationError

from merp_records.engine import connection_limit
from merp_records.settings import DatabaseSettings

PASSWORD = "p@ss:w/rd#1?%25&x=+ é"


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch, tmp_path):
    """No variable of the machine, and a folder without a `.env` file."""
    for name in DatabaseSettings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    "line",
    [
        pytest.param(PASSWORD, id="C65-plain"),
        pytest.param(f"'{PASSWORD}'", id="C65-single-quotes"),
        pytest.param(f'"{PASSWORD}"', id="C65-double-quotes"),
        pytest.param(f"{PASSWORD}\r", id="C65-line-end-of-windows"),
    ],
)
def test_a_password_in_a_file_is_taken_as_it_is(tmp_path, line) -> None:
    (tmp_path / ".env").write_text(f"DB_HOST=::1\nDB_NAME=erp-prod\nDB_USER=erp@prod\nDB_PASSWORD={line}\n")
    url = DatabaseSettings().url()
    assert (url.host, url.database, url.username, url.password) == ("::1", "erp-prod", "erp@prod", PASSWORD)


def test_a_variable_goes_before_the_file(tmp_path, monkeypatch) -> None:
    (tmp_path / ".env").write_text("DB_HOST=file\nDB_PORT=3307\n")
    monkeypatch.setenv("DB_HOST", "variable")
    monkeypatch.setenv("DB_PASSWORD", PASSWORD + "\n")
    url = DatabaseSettings().url()
    assert (url.host, url.port, url.password) == ("variable", 3307, PASSWORD)


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        pytest.param({}, (5, 10), id="nothing-set-is-the-services-own"),
        pytest.param({"DB_POOL_SIZE": "2"}, (2, 7), id="size"),
        pytest.param({"DB_POOL_OVERFLOW": "0"}, (5, 5), id="no-overflow"),
        pytest.param({"DB_POOL_SIZE": "1", "DB_POOL_OVERFLOW": "9"}, (1, 10), id="both"),
    ],
)
def test_the_pool_has_the_size_that_is_set(tmp_path, monkeypatch, variables, expected) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    settings = DatabaseSettings(merp_sqlite_path=tmp_path / "a.db")
    engine = settings.create_engine(pool_size=5, max_overflow=5, read_only=True)
    assert (engine.pool.size(), connection_limit(engine)) == expected
    engine.dispose()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        pytest.param("DB_POOL_SIZE", "0", id="no-connection"),
        pytest.param("DB_POOL_SIZE", "many", id="no-number"),
        pytest.param("DB_POOL_OVERFLOW", "-1", id="without-a-limit"),
        pytest.param("DB_POOL_RECYCLE", "-1", id="never"),
        pytest.param("DB_POOL_TIMEOUT", "0", id="no-time"),
        pytest.param("DB_PORT", "65536", id="port"),
        pytest.param("JOB_STORE", "redis", id="store"),
    ],
)
def test_a_wrong_setting_is_named_and_the_password_is_not_told(monkeypatch, name, value) -> None:
    monkeypatch.setenv("DB_PASSWORD", PASSWORD)
    monkeypatch.setenv(name, value)
    with pytest.raises(ValidationError) as caught:
        DatabaseSettings()
    assert [str(entry["loc"][0]).upper() for entry in caught.value.errors()] == [name]
    assert PASSWORD not in str(caught.value)
