"""Data sync: what changed in a table of one database, into the same table of another."""

from typing import Annotated, Any, Final

from merp_runner import Connection, Context, ParameterError, task

# One statement a batch; beyond this it outgrows the servers' limit for one packet.
_MAX_BATCH: Final = 10_000
_DAY: Final = 86_400


@task(title={"en": "Data sync", "zh": "数据同步"}, description={"zh": "复制游标不早于目标中最新值的行，从最旧的开始。"})
def data_sync(
    context: Context,
    source: Annotated[Connection, "Database that is read"],
    target: Annotated[Connection, "Database that is written"],
    table: Annotated[str, "Table in both, or view in the source"],
    key: Annotated[str | list[str], "Column, or columns, that identify a row"],
    cursor: Annotated[str, "Column that grows with every change of a row: a time or a number"],
    *,
    target_table: Annotated[str, "Its name in the target, where that is another"] = "",
    batch_size: Annotated[int, "Rows that are written at once"] = 1000,
    overlap_seconds: Annotated[int, "How far to look back behind the newest time in the target"] = 300,
    deletions: Annotated[bool, "Delete from the target what the source does not have any more"] = False,
) -> dict[str, Any]:
    """Copy the rows whose cursor is at or beyond the newest one in the target, oldest first.

    Each batch is one transaction, so a run that was killed goes on where it stopped, and one that is repeated changes
    nothing.
    """
    problems = []
    if not 0 < batch_size <= _MAX_BATCH:
        problems.append(f"batch_size: {batch_size} is not between 1 and {_MAX_BATCH}")
    if not 0 <= overlap_seconds <= _DAY:
        problems.append(f"overlap_seconds: {overlap_seconds} is not between 0 and {_DAY}")
    if problems:
        raise ParameterError(*problems)
    # Here: it takes a quarter of a second, which every other task of the image would wait for too.
    from merp_tasks.copying import Copy
    from merp_tasks.databases import database

    with database(source) as read, database(target) as written:
        copy = Copy.between(
            read, written, table, target_table or table, [key] if isinstance(key, str) else key, cursor, batch_size
        )
        result = copy.changes(overlap_seconds, context.progress)
        if deletions:
            result["deleted"] = copy.deletions()
    return result
