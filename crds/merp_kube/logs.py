"""One line of JSON for each log record, as both services write them."""

import logging
import logging.handlers
import sys
from pathlib import Path
from typing import Final

from pythonjsonlogger.json import JsonFormatter

# A log file of its own is for machines without a log collector; 10 MiB five times over fills no disk.
_FILE_BYTES: Final = 10 * 2**20
_FILE_COUNT: Final = 5


def configure(level: str, log_file: Path | None = None) -> None:
    """Send every record of `level` (a name of the logging module) and above to stdout and, if given, to a file too.

    Raises OSError if the file cannot be written.
    """
    formatter = JsonFormatter(
        "{asctime}{levelname}{name}{message}",
        style="{",
        rename_fields={"asctime": "time", "levelname": "level", "name": "logger"},
        json_ensure_ascii=False,
    )
    handlers: list[logging.Handler] = [logging.StreamHandler(sys.stdout)]
    if log_file is not None:
        handlers.append(
            logging.handlers.RotatingFileHandler(
                log_file, maxBytes=_FILE_BYTES, backupCount=_FILE_COUNT, encoding="utf-8"
            )
        )
    for handler in handlers:
        handler.setFormatter(formatter)
    logging.basicConfig(level=level.upper(), handlers=handlers, force=True)
    # It tells of each look at the schema.
    logging.getLogger("alembic.runtime.migration").setLevel(logging.WARNING)
