"""The one error of this package: something in the world was not as needed, and which file tells why."""

from pathlib import Path

TAIL_LINES = 20


class ClusterError(Exception):
    """`log` is the file that says more; its last lines are part of what the user sees."""

    def __init__(self, message: str, log: Path | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.log = log

    def __str__(self) -> str:
        if self.log is None:
            return self.message
        tail = "\n".join(f"  | {line}" for line in last_lines(self.log))
        return f"{self.message}\n{tail}\nread the whole log: {self.log}"


def last_lines(log: Path, count: int = TAIL_LINES) -> list[str]:
    """The last `count` lines of a text file; empty if there is no such file."""
    try:
        return log.read_text(errors="replace").splitlines()[-count:]
    except FileNotFoundError:
        return []
