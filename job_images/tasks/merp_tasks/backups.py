"""Backups of databases, and the check that one can be restored: a backup that nobody has restored is a hope."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Final

from merp_runner import Connection, Context, ParameterError, TaskFailed, task
from merp_tasks.outputs import folder

_MAX_KEEP: Final = 1000
# A hundred years.
_MAX_HOURS: Final = 876_600


@task(
    title={"en": "Back up a database", "zh": "备份数据库"},
    description={"zh": "把整个数据库一致地、压缩地备份到 MERP_OUTPUT 目录，并删除旧备份。"},
)
def database_backup(
    context: Context,
    connection: Annotated[Connection, "Database"],
    *,
    keep: Annotated[int, "So many of its newest backups are kept"] = 7,
    routines: Annotated[bool, "With procedures and functions, which needs more rights (MySQL, MariaDB)"] = False,
) -> dict[str, Any]:
    """Write a consistent, compressed copy of a whole database to the folder of MERP_OUTPUT, and delete old ones.

    Beside it stands what it holds: rows by table, and a checksum. Nobody is locked out meanwhile.
    """
    if not 0 < keep <= _MAX_KEEP:
        raise ParameterError(f"keep: {keep} is not between 1 and {_MAX_KEEP}")
    directory = folder()
    # Here: it takes a quarter of a second, which every other task of the image would wait for too.
    from merp_tasks.archives import Archive, archives, remove_old, sweep
    from merp_tasks.copies import copy_of

    copy = copy_of(connection, routines=routines)
    sweep(directory, datetime.now(UTC))
    stem = f"{connection.name}-{context.due_time:%Y%m%dT%H%M%SZ}"
    archive = Archive.write(directory, stem, connection.name, copy, datetime.now(UTC))
    context.progress(1, 1, archive.file)
    removed = remove_old(directory, archives(directory, connection.name), keep)
    return {
        "file": archive.file,
        "bytes": archive.size,
        "sha256": archive.sha256,
        "tables": len(archive.tables),
        "rows": sum(archive.tables.values()),
        "removed": removed,
    }


@task(
    title={"en": "Check a backup by restoring it", "zh": "恢复校验备份"},
    description={"zh": "恢复数据库的最新备份，并与备份时的行数和校验和比对。"},
)
def database_restore_check(
    context: Context,
    backup: Annotated[str, "Connection whose newest backup is checked"],
    *,
    scratch: Annotated[Connection | None, "An empty database to restore into (MySQL, MariaDB)"] = None,
    max_age_hours: Annotated[float, "A backup older than this is a failure; 0: any age"] = 26,
) -> dict[str, Any]:
    """Restore the newest backup of a database and compare it with what was backed up, row counts and checksum.

    The scratch database is left as empty as it has to be; nothing else is written.
    """
    if not 0 <= max_age_hours <= _MAX_HOURS:
        raise ParameterError(f"max_age_hours: {max_age_hours:g} is not between 0 and {_MAX_HOURS}")
    directory = folder()
    # Here: as above.
    from merp_tasks.archives import archives
    from merp_tasks.copies import restored_counts

    found = archives(directory, backup)
    if not found:
        raise TaskFailed(f"{directory} has no backup of {backup!r}")
    newest = found[-1]
    age = datetime.now(UTC) - newest.made_at
    if max_age_hours and age > timedelta(hours=max_age_hours):
        raise TaskFailed(
            f"the newest backup of {backup!r}, {newest.file}, was made {age.total_seconds() / 3600:.1f} h ago"
        )
    newest.verify(directory)
    context.progress(1, 2, "checksum")
    counts = restored_counts(newest, Path(directory), scratch)
    context.progress(2, 2, "restored")
    differences = _differences(newest.tables, counts)
    if differences:
        raise TaskFailed(f"{newest.file} was restored and is not what was backed up: {'; '.join(differences)}")
    return {
        "file": newest.file,
        "made_at": newest.made_at,
        "tables": len(counts),
        "rows": sum(counts.values()),
        "sha256": newest.sha256,
    }


def _differences(expected: dict[str, int], restored: dict[str, int]) -> list[str]:
    return [
        f"{table}: {expected.get(table, 'no table')} in the backup, {restored.get(table, 'no table')} restored"
        for table in sorted(expected.keys() | restored.keys())
        if expected.get(table) != restored.get(table)
    ]
