"""Files that tasks leave behind: in one folder, whole or not at all."""

import csv
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Final

from merp_runner import Context, ParameterError

# A volume of the job's template is mounted there.
FOLDER: Final = "/output"
# What file systems take, less what the name has until the file is whole.
_MAX_NAME: Final = 240
# What a spreadsheet takes for a formula.
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")


def folder() -> Path:
    """The folder of MERP_OUTPUT, by default /output. Raises ParameterError where it cannot be written."""
    path = Path(os.environ.get("MERP_OUTPUT") or FOLDER)
    if not path.is_dir() or not os.access(path, os.W_OK):
        raise ParameterError(
            f"{path}: is no folder that can be written: mount a volume there by the job's template, or name another "
            "folder by the variable MERP_OUTPUT"
        )
    return path


def output_path(name: str, parameter: str, context: Context) -> Path:
    """Where a file of that name goes; `{date}` stands for the business date, `{run}` for the run's name.

    Raises ParameterError naming `parameter` for anything but a plain name.
    """
    made = name.replace("{date}", context.business_date.isoformat()).replace("{run}", context.run_name)
    if not made or made.startswith(".") or "/" in made or "\\" in made or "\0" in made:
        raise ParameterError(f"{parameter}: {name!r} is no plain file name; it goes to the folder of MERP_OUTPUT")
    if len(os.fsencode(made)) > _MAX_NAME:
        raise ParameterError(f"{parameter}: {name[:40]!r}… is longer than {_MAX_NAME} bytes")
    return folder() / made


@contextmanager
def whole_file(path: Path) -> Iterator[IO[bytes]]:
    """A new file that gets its name only when all of it is on the disk; one of that name is replaced."""
    part = path.with_name(f".{path.name}.part")
    try:
        with part.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """A table for spreadsheets: UTF-8 with the mark that they know it by, and no text that they would calculate."""
    with whole_file(path) as file:
        # newline: the csv module writes its own line ends. The wrapper must not close what whole_file closes.
        text = open(file.fileno(), "w", encoding="utf-8-sig", newline="", closefd=False)  # noqa: SIM115 - as above
        with text:
            writer = csv.writer(text)
            writer.writerow(header)
            writer.writerows([_plain(cell) for cell in row] for row in rows)


def _plain(cell: Any) -> Any:
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(_FORMULA) else cell
