"""Where the records are: the seed's variables, as both services read them."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict
from sqlalchemy import URL, Engine

from merp_records import engine


class DatabaseSettings(BaseSettings):
    """The database, from the environment or a `.env` file. Without DB_HOST it is an SQLite file."""

    model_config = SettingsConfigDict(env_file=".env", extra="ignore", frozen=True)

    db_host: Annotated[str, Field(description="Host of MySQL or MariaDB. Default: empty, which means SQLite.")] = ""
    db_port: Annotated[int, Field(ge=1, le=65_535, description="Its port. Default: 3306.")] = 3306
    db_name: Annotated[str, Field(description="Name of the database. Default: merp_db.")] = "merp_db"
    db_user: Annotated[str, Field(description="User of the database. Default: merp_user.")] = "merp_user"
    db_password: Annotated[SecretStr, Field(description="The user's password. No default.")] = SecretStr("")
    job_store: Annotated[
        Literal["sqlalchemy"], Field(description="How records are kept: only sqlalchemy. Default: sqlalchemy.")
    ] = "sqlalchemy"
    merp_sqlite_path: Annotated[
        Path, Field(description="The SQLite file where there is no DB_HOST. Default: /var/lib/merp/records.db.")
    ] = Path("/var/lib/merp/records.db")
    db_pool_size: Annotated[
        int | None,
        Field(ge=1, le=100, description="Connections that are kept. Default: 4 of the operator, 5 of the gateway."),
    ] = None
    db_pool_overflow: Annotated[
        int | None,
        Field(ge=0, le=100, description="Connections beyond these, while needed. Default: 0 and 5."),
    ] = None
    db_pool_recycle: Annotated[
        int,
        Field(
            ge=1,
            le=86_400,
            description="Seconds after which a connection is made anew; less than the server's wait_timeout and what a "
            "load balancer on the way allows. Default: 230.",
        ),
    ] = engine.POOL_RECYCLE
    db_pool_timeout: Annotated[
        float, Field(gt=0, le=60, description="Seconds that a caller waits for a connection. Default: 10.")
    ] = 10

    @field_validator("db_password", mode="before")
    @classmethod
    def _without_line_end(cls, value: object) -> object:
        # `echo secret | kubectl create secret --from-file` leaves one, and no password ends in one.
        return value.rstrip("\r\n") if isinstance(value, str) else value

    def create_engine(self, *, pool_size: int = 4, max_overflow: int = 0, read_only: bool = False) -> Engine:
        """An engine on the database, with the pool of these settings; the arguments are the service's own defaults.

        Raises ValueError that names the variable.
        """
        return engine.create_engine(
            self.url(),
            pool_size=self.db_pool_size or pool_size,
            max_overflow=max_overflow if self.db_pool_overflow is None else self.db_pool_overflow,
            pool_recycle=self.db_pool_recycle,
            pool_timeout=self.db_pool_timeout,
            read_only=read_only,
        )

    def url(self) -> URL:
        """The database's URL. Raises ValueError that names the variable."""
        return engine.database_url(
            host=self.db_host or None,
            port=self.db_port,
            name=self.db_name,
            user=self.db_user,
            password=self.db_password.get_secret_value(),
            sqlite_path=None if self.db_host else self.merp_sqlite_path,
        )
