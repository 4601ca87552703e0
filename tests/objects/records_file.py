"""The records in an operator's SQLite file, as a test reads them while the operator writes."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

# A writer that stands still on a busy machine is waited for.
_LOCK_SECONDS = 60.0
# What SQLite says where the operator has not made the file, or the tables in it.
_NOT_MADE = ("unable to open database file", "no such table")


def rows(database: Path, query: str, *parameters: object) -> list[tuple[Any, ...]]:
    """What a query finds. Nothing before the tables are there: an operator is ready without them, and makes them then."""
    return [tuple(row) for row in _found(database, query, parameters)]


def dicts(database: Path, query: str, *parameters: object) -> list[dict[str, Any]]:
    """The same by the names of the columns."""
    return [dict(row) for row in _found(database, query, parameters)]


def _found(database: Path, query: str, parameters: tuple[object, ...]) -> list[sqlite3.Row]:
    try:
        with closing(sqlite3.connect(f"file:{database}?mode=ro", timeout=_LOCK_SECONDS, uri=True)) as connection:
            connection.row_factory = sqlite3.Row
            return connection.execute(query, parameters).fetchall()
    except sqlite3.OperationalError as error:
        if str(error).startswith(_NOT_MADE):
            return []
        raise
