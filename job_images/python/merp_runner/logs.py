"""The runner's own log: one JSON object a line on standard output, secrets masked."""

from __future__ import annotations

import json
import logging
import sys
import time
from datetime import datetime, timezone
from typing import Any, Callable

from merp_runner.jsonsafe import json_safe
from merp_runner.masking import Masking

# A loop over a million rows that tells of each would push everything else out of the node's log.
PROGRESS_INTERVAL = 0.25


class Log:
    """Writes lines {"time", "level", "logger", "message", …}.

    Nothing here raises: a log that cannot be written (a closed pipe, a full disk) must not fail the task.
    """

    def __init__(self, masking: Masking) -> None:
        self._masking = masking

    def line(self, level: str, message: str, logger: str = "merp_runner", **fields: Any) -> None:
        """Write one line; `fields` may be any values and are made strict JSON."""
        entry: dict[str, Any] = {
            "time": datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": level,
            "logger": logger,
            "message": message,
            **fields,
        }
        text = json.dumps(self._masking.value(json_safe(entry)), ensure_ascii=False)
        try:
            # sys.stdout of now, not of the start: whoever redirects a task's output redirects its log too.
            sys.stdout.write(text + "\n")
            sys.stdout.flush()
        except (OSError, ValueError, AttributeError):  # broken pipe; closed by the task; replaced by None
            pass

    def warn(self, text: str) -> None:
        """Plain text for a person, on standard error."""
        try:
            sys.stderr.write(self._masking.text(text).rstrip("\n") + "\n")
            sys.stderr.flush()
        except (OSError, ValueError, AttributeError):  # as above
            pass

    def capture_logging(self, level: str) -> None:
        """Write what tasks log through the standard library in the same form, unless they set up logging themselves."""
        root = logging.getLogger()
        if root.handlers:
            return
        known = logging.getLevelName(level.upper())
        root.setLevel(known if isinstance(known, int) else logging.INFO)
        root.addHandler(_Handler(self))


class _Handler(logging.Handler):
    def __init__(self, log: Log) -> None:
        super().__init__()
        self._log = log
        self._frames = logging.Formatter()

    def emit(self, record: logging.LogRecord) -> None:
        """Write the record as a line; a record that cannot be formatted is told on standard error."""
        try:
            fields = {"traceback": self._frames.formatException(record.exc_info)} if record.exc_info else {}
            self._log.line(record.levelname, record.getMessage(), logger=record.name, **fields)
        except Exception:  # noqa: BLE001 - arguments that do not fit the message; logging has its own way to say so
            self.handleError(record)


class Progress:
    """Progress as log lines {"progress": {"done", "total"}}: at most four a second, the last one always."""

    def __init__(self, log: Log, clock: Callable[[], float] = time.monotonic) -> None:
        self._log = log
        self._clock = clock
        self._last: float | None = None
        self._left_out: tuple[int | float, int | float | None, str] | None = None

    def __call__(self, done: int | float, total: int | float | None, message: str) -> None:
        """Write `done` of `total` as one line, or leave it out where the last one was written just now."""
        now = self._clock()
        if done != total and self._last is not None and now - self._last < PROGRESS_INTERVAL:
            self._left_out = (done, total, message)
            return
        self._last = now
        self._write(done, total, message)

    def finish(self) -> None:
        """The task has ended: write what was told last, if it was left out."""
        if self._left_out is not None:
            self._write(*self._left_out)

    def _write(self, done: int | float, total: int | float | None, message: str) -> None:
        self._left_out = None
        self._log.line("INFO", message, logger="merp_runner.progress", progress={"done": done, "total": total})
