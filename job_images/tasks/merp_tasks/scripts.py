"""SQL scripts: several statements, from the job itself or from a file that is mounted."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final

from merp_runner import Connection, Context, ParameterError, task

FOLDER: Final = "/scripts"


@task(title={"en": "SQL script", "zh": "SQL 脚本"}, description={"zh": "在一个事务中执行 SQL 语句。"})
def sql_script(
    context: Context,
    connection: Annotated[Connection, "Database that the script runs in"],
    script: Annotated[str, "The statements, separated by semicolons"] = "",
    *,
    file: Annotated[str, "Instead: name of a file in the folder of MERP_SCRIPTS"] = "",
    parameters: Annotated[Mapping[str, str | int | float | bool | None] | None, "Values of :names in it"] = None,
    transaction: Annotated[bool, "All statements or none; else each stands for itself"] = True,
) -> dict[str, Any]:
    """Run SQL statements, in one transaction.

    `:business_date`, `:due_time` and `:idempotency_key` are the run's. The result has the rows that each statement
    changed, and the first rows that it found.
    """
    if bool(script) is bool(file):
        raise ParameterError("script: give either script or file")
    text = script or _read(file)
    # Here: it takes a quarter of a second, which every other task of the image would wait for too.
    from merp_tasks.databases import database
    from merp_tasks.statements import execute, statements_of

    known = {
        "business_date": context.business_date,
        "due_time": context.due_time.replace(tzinfo=None),
        "idempotency_key": context.idempotency_key,
    }
    statements = statements_of(text, known | dict(parameters or {}), required=set(parameters or {}))
    with database(connection) as engine:
        return execute(engine, statements, context.progress, transaction=transaction)


def _read(name: str) -> str:
    folder = Path(os.environ.get("MERP_SCRIPTS") or FOLDER)
    if name.startswith(".") or "/" in name or "\0" in name:
        raise ParameterError(f"file: {name!r} is no plain file name; scripts are in the folder of MERP_SCRIPTS")
    try:
        return (folder / name).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ParameterError(
            f"file: {folder / name}: {error}; mount a ConfigMap with the script there by the job's template"
        ) from error
