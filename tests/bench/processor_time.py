"""Groups of processes of this machine: what processor time they took, and which processor they may use."""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

_TICKS: Final = os.sysconf("SC_CLK_TCK")
# Of the fields of /proc/<pid>/stat after the name: ticks in user mode and in the kernel, ended threads included.
_USER, _SYSTEM = 11, 12

Groups = Mapping[str, Iterable[int]]


def seconds(groups: Groups) -> dict[str, float]:
    """Processor seconds that each group has taken since its processes began."""
    return {name: sum(map(_seconds, pids)) for name, pids in groups.items()}


def resident_mebibytes(pid: int) -> float:
    """The memory that a process holds now."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def pin(pids: Iterable[int], processors: Iterable[int]) -> None:
    """Let processes run on these processors alone, and the threads that they will start."""
    wanted = set(processors)
    for pid in pids:
        # A thread begins where the one is that starts it: what came while the list was read is found by the next.
        seen: set[int] = set()
        while unseen := {int(entry.name) for entry in Path(f"/proc/{pid}/task").iterdir()} - seen:
            for thread in unseen:
                _pin_thread(thread, wanted)
            seen |= unseen


def _pin_thread(thread: int, processors: set[int]) -> None:
    try:
        os.sched_setaffinity(thread, processors)
    except ProcessLookupError:
        # It ended since it was listed.
        return


def _seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[_USER]) + int(fields[_SYSTEM])) / _TICKS
