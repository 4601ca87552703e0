"""Statements of an SQL script: split, checked, executed."""

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import sqlparse
from sqlalchemy import Connection, CursorResult, Engine, text
from sqlalchemy.exc import DBAPIError
from sqlparse import tokens
from sqlparse.engine import FilterStack

from merp_runner import ParameterError, TaskFailed

# A termination message holds no more; the statements' own tables are the place for rows.
_MAX_ROWS: Final = 10
_MAX_STATEMENTS: Final = 20
# They would end the transaction that the script is promised.
_CONTROL: Final = frozenset({"BEGIN", "START", "COMMIT", "ROLLBACK", "SAVEPOINT", "RELEASE", "END"})


@dataclass(frozen=True)
class Statement:
    """One statement with the values of its names. `first_word` is in capitals."""

    sql: str
    values: Mapping[str, Any]
    first_word: str

    @property
    def beginning(self) -> str:
        """For messages: one line, at most 60 characters."""
        line = " ".join(self.sql.replace("\\:", ":").split())
        return line if len(line) <= 60 else line[:59] + "…"


def statements_of(script: str, values: Mapping[str, Any], required: set[str]) -> list[Statement]:
    """The statements of a script; `:name` outside of quotes and comments is one of `values`.

    Raises ParameterError for a name without a value, for `required` ones that the script does not have, for commands of
    the mysql client, and for a script without a statement.
    """
    # Split, not parsed: what stands in brackets does not matter here, and sqlparse counts that up to a limit.
    stack = FilterStack()  # type: ignore[no-untyped-call]  # the library has no types
    found = [_statement(each, values) for each in stack.run(script)]  # type: ignore[no-untyped-call]  # as above
    statements = [each for each in found if each.first_word]
    problems = []
    if not statements:
        problems.append("script: has no statement")
    if any(each.first_word == "DELIMITER" for each in statements):
        problems.append("script: DELIMITER is a command of the mysql client: run each routine by a script of its own")
    used = {name for each in statements for name in each.values}
    problems += [f"parameters: the script has no :{name}" for name in sorted(required - used)]
    missing = sorted(name for name in used if name not in values)
    problems += [f"parameters: the script has :{name}, which is not given" for name in missing]
    if problems:
        raise ParameterError(*problems)
    return statements


def execute(
    engine: Engine, statements: list[Statement], progress: Callable[[int, int, str], None], *, transaction: bool
) -> dict[str, Any]:
    """Execute them in order. Raises TaskFailed naming the statement, and what stands of those before it."""
    if transaction:
        control = next((each for each in statements if each.first_word in _CONTROL), None)
        if control is not None:
            raise ParameterError(
                f"script: {control.beginning} would end the transaction: leave it out, or say transaction: false"
            )
        with _committed(engine, "the script") as connection:
            results = []
            for number, each in enumerate(statements, start=1):
                results.append(_one(connection, each, number, len(statements), "nothing of the script stands"))
                progress(number, len(statements), each.beginning)
    else:
        results = []
        for number, each in enumerate(statements, start=1):
            before = f"the {number - 1} before it stand"
            with _committed(engine, f"statement {number} of {len(statements)}") as connection:
                results.append(_one(connection, each, number, len(statements), before))
            progress(number, len(statements), each.beginning)
    return {"statements": len(statements), "results": results[:_MAX_STATEMENTS]}


@contextmanager
def _committed(engine: Engine, what: str) -> Iterator[Connection]:
    """A transaction. Raises TaskFailed where its end is not known."""
    try:
        with engine.begin() as connection:
            yield connection
    except DBAPIError as error:
        raise TaskFailed(f"{what}: {error.orig}; it was being committed, and may stand or not") from error


def _one(connection: Connection, statement: Statement, number: int, total: int, what_stands: str) -> dict[str, Any]:
    try:
        return _outcome(connection.execute(text(statement.sql), statement.values))
    except DBAPIError as error:
        raise TaskFailed(
            f"statement {number} of {total} ({statement.beginning}): {error.orig}; {what_stands}"
        ) from error


def _outcome(result: CursorResult[Any]) -> dict[str, Any]:
    if not result.returns_rows:
        return {"changed": max(0, result.rowcount)}
    columns = list(result.keys())
    rows = [list(row) for row in result.fetchmany(_MAX_ROWS + 1)]
    result.close()
    return {"columns": columns, "rows": rows[:_MAX_ROWS], "more": len(rows) > _MAX_ROWS}


def _statement(parsed: sqlparse.sql.Statement, values: Mapping[str, Any]) -> Statement:
    parts: list[str] = []
    named: dict[str, Any] = {}
    first_word = ""
    end = 0
    for token in parsed.flatten():  # type: ignore[no-untyped-call]  # the library has no types
        if token.ttype is tokens.Name.Placeholder and token.value.startswith(":"):
            name = token.value[1:]
            named[name] = values.get(name)
            parts.append(token.value)
        else:
            # What SQLAlchemy would take for a name, or for an escaped colon: in quotes and comments it is neither.
            parts.append(re.sub(r"(?<=\\):|:(?=[\w$])", r"\\:", token.value))
        if token.is_whitespace or token.ttype in tokens.Comment or token.value == ";":
            continue
        # Servers take one statement: nothing after it, not even its semicolon and a comment.
        end = len(parts)
        first_word = first_word or token.value.split()[0].upper()
    return Statement("".join(parts[:end]).strip(), named, first_word)
