"""Rows of one table into another, in the order of a cursor, batch by batch."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Self

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Engine,
    MetaData,
    String,
    Table,
    and_,
    func,
    inspect,
    or_,
    select,
    tuple_,
    type_coerce,
)
from sqlalchemy.dialects import mysql, sqlite
from sqlalchemy.exc import NoSuchTableError
from sqlalchemy.types import NullType

from merp_runner import ParameterError, TaskFailed


@dataclass(frozen=True)
class Copy:
    """Two tables of the same columns. `place` is what rows of the source are ordered by: the cursor, then the key."""

    source: Engine
    target: Engine
    read: Table
    written: Table
    key: tuple[str, ...]
    cursor: str
    place: tuple[ColumnElement[Any], ...]
    batch_size: int

    @classmethod
    def between(
        cls,
        source: Engine,
        target: Engine,
        table: str,
        target_table: str,
        key: Sequence[str],
        cursor: str,
        batch_size: int,
    ) -> Self:
        """Look at both tables. Raises ParameterError where they do not fit each other, or the task's parameters."""
        read = _reflect(source, table, "table", "source")
        written = _reflect(target, target_table, "target_table", "target")
        _check(read, written, key, cursor)
        _check_keys(target, written, key)
        place = tuple(_as_stored(source, read.c[name]) for name in (cursor, *key))
        return cls(source, target, read, written, tuple(key), cursor, place, batch_size)

    def changes(self, overlap_seconds: int, progress: Callable[[int, int, str], None]) -> dict[str, Any]:
        """Copy what is new; the result says how many rows, in how many batches, and from where to where."""
        with self.target.connect() as connection:
            newest = connection.scalar(select(func.max(self.written.c[self.cursor])))
        if isinstance(newest, datetime):
            newest -= timedelta(seconds=overlap_seconds)
        # In rows without a cursor nobody can see a change.
        unknown, since = self.place[0].is_(None), self._since(newest)
        with self.source.connect() as connection:
            count = select(func.count()).select_from(self.read)
            total = connection.scalar(count.where(since)) or 0
            without = connection.scalar(count.where(unknown)) or 0
        rows = batches = 0
        after: Sequence[Any] | None = None
        while True:
            page = self._page(since if after is None else self._beyond(after))
            if page:
                self._write([row[: -len(self.place)] for row in page])
                rows, batches, after = rows + len(page), batches + 1, page[-1][-len(self.place) :]
                progress(rows, max(total, rows), self.written.name)
            if len(page) < self.batch_size:
                break
        return {"rows": rows, "batches": batches, "since": newest, "without_cursor": without}

    def deletions(self) -> int:
        """Delete what the source has no row for; how many. Raises TaskFailed where the source has no row at all."""
        keys = [self.written.c[name] for name in self.key]
        deleted = 0
        after: Sequence[Any] | None = None
        with self.source.connect() as connection:
            if connection.execute(select(self.place[0]).limit(1)).first() is None:
                raise TaskFailed(f"deletions: {self.read.name} is empty in the source, and would be in the target")
        while True:
            ordered = [_as_stored(self.target, key) for key in keys]
            page = select(*keys, *ordered).order_by(*ordered).limit(self.batch_size)
            if after is not None:
                page = page.where(_later(ordered, after))
            with self.target.connect() as connection:
                found = connection.execute(page).all()
            if not found:
                return deleted
            after = found[-1][len(keys) :]
            gone = {tuple(row[: len(keys)]) for row in found} - self._existing([row[: len(keys)] for row in found])
            if gone:
                with self.target.begin() as connection:
                    deleted += connection.execute(self.written.delete().where(_any_of(keys, list(gone)))).rowcount

    def _existing(self, keys: Sequence[Sequence[Any]]) -> set[tuple[Any, ...]]:
        columns = [self.read.c[name] for name in self.key]
        with self.source.connect() as connection:
            return {tuple(row) for row in connection.execute(select(*columns).where(_any_of(columns, keys)))}

    def _since(self, newest: Any) -> ColumnElement[bool]:
        cursor: ColumnElement[Any] = self.place[0]
        if newest is None:
            return cursor.is_not(None)
        if isinstance(newest, datetime) and self.source.dialect.name == "sqlite":
            # Times are text there: without a fraction it is less than, or equal to, however the column writes them.
            newest = newest.isoformat(sep=" ", timespec="seconds")
        beyond: ColumnElement[bool] = cursor >= newest
        return beyond

    def _beyond(self, after: Sequence[Any]) -> ColumnElement[bool]:
        return _later(self.place, after)

    def _page(self, condition: ColumnElement[bool]) -> list[tuple[Any, ...]]:
        query = select(*self.read.c, *self.place).where(condition).order_by(*self.place).limit(self.batch_size)
        # A transaction a page: one for the whole would hold a lock on an SQLite file, and its past on a server.
        with self.source.connect() as connection:
            return [tuple(row) for row in connection.execute(query)]

    def _write(self, rows: Sequence[Sequence[Any]]) -> None:
        names = self.read.c.keys()
        with self.target.begin() as connection:
            _upsert(connection, self.written, self.key, [dict(zip(names, row, strict=True)) for row in rows])


def _upsert(connection: Connection, table: Table, key: Sequence[str], rows: list[dict[str, Any]]) -> None:
    # The key too: a server that finds `Abc` for `abc` would keep the old one.
    names = list(rows[0])
    if connection.dialect.name == "sqlite":
        lite = sqlite.insert(table)
        changes = {name: lite.excluded[name] for name in names}
        connection.execute(lite.on_conflict_do_update(index_elements=list(key), set_=changes), rows)
        return
    statement = mysql.insert(table)
    connection.execute(statement.on_duplicate_key_update({name: statement.inserted[name] for name in names}), rows)


def _later(columns: Sequence[ColumnElement[Any]], values: Sequence[Any]) -> ColumnElement[bool]:
    """Whether a row stands after `values` in the order of `columns`; spelled out, since servers do not index tuples."""
    return or_(
        *(
            and_(*(columns[before] == values[before] for before in range(index)), columns[index] > values[index])
            for index in range(len(columns))
        )
    )


def _any_of(columns: Sequence[Column[Any]], keys: Sequence[Sequence[Any]]) -> ColumnElement[bool]:
    if len(columns) == 1:
        return columns[0].in_([key[0] for key in keys])
    return tuple_(*columns).in_([tuple(key) for key in keys])


def _as_stored(engine: Engine, column: Column[Any]) -> ColumnElement[Any]:
    """The column as it is compared: times are texts in SQLite, and decimals floats, written however one likes."""
    return type_coerce(column, NullType()) if engine.dialect.name == "sqlite" else column


def _reflect(engine: Engine, name: str, parameter: str, what: str) -> Table:
    try:
        return Table(name, MetaData(), autoload_with=engine, resolve_fks=False)
    except NoSuchTableError as error:
        raise ParameterError(f"{parameter}: the {what} has no table {name!r}") from error


def _check(read: Table, written: Table, key: Sequence[str], cursor: str) -> None:
    problems = []
    if not key:
        problems.append("key: names no column")
    for parameter, names in (("key", key), ("cursor", [cursor])):
        problems += [f"{parameter}: the source has no column {name!r}" for name in names if name not in read.c]
    lacking = [name for name in read.c.keys() if name not in written.c]  # noqa: SIM118 - a collection, not a dict
    if lacking:
        problems.append(f"table: the target has no column {', '.join(lacking)}: add it, or sync from a view without it")
    if cursor in read.c and isinstance(read.c[cursor].type, String | NullType):
        problems.append(f"cursor: {cursor!r} is text, which databases order differently: use a time or a number")
    if problems:
        raise ParameterError(*problems)


def _check_keys(target: Engine, table: Table, key: Sequence[str]) -> None:
    """An upsert finds a row by any unique key of the table, so there may be none but that of the parameter."""
    inspector = inspect(target)
    found: list[Sequence[str | None]] = [inspector.get_pk_constraint(table.name)["constrained_columns"]]
    found += [each["column_names"] for each in inspector.get_unique_constraints(table.name)]
    found += [each["column_names"] for each in inspector.get_indexes(table.name) if each["unique"]]
    unique = {frozenset(str(name) for name in names) for names in found if names}
    wanted = frozenset(key)
    if wanted not in unique:
        raise ParameterError(f"key: {', '.join(key)} is no unique key of the target: rows would be written twice")
    # Wider ones hold wherever the key itself does.
    others = sorted(", ".join(sorted(names)) for names in unique if not names >= wanted)
    if others:
        raise ParameterError(
            f"table: the target has another unique key ({'; '.join(others)}), by which a row could take another one's "
            "place: drop it there"
        )
