"""Where the records are: the seed's variables, as both services read them."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict
from sqlalchemy import URL

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

    @field_validator("db_password", mode="before")
    @classmethod
    def _without_line_end(cls, value: object) -> object:
        # `echo secret | kubectl create secret --from-file` leaves one, and no password ends in one.
        return value.rstrip("\r\n") if isinstance(value, str) else value

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
