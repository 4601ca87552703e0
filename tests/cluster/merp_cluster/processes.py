"""Starting, recognising and ending the long-running processes of a cluster."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from merp_cluster.commands import POLL_SECONDS
from merp_cluster.files import read_optional, write

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
# Long enough for etcd and containerd to close their files; whoever takes longer loses nothing by being killed.
TERM_SECONDS = 3.0


@dataclass(frozen=True)
class Identity:
    """A process that cannot be mistaken for a later one with the same pid. `started` is in clock ticks since boot."""

    pid: int
    started: int
    boot: str

    def alive(self) -> bool:
        return self.boot == boot_id() and start_time(self.pid) == self.started


@dataclass(frozen=True)
class Record:
    """What a pid file holds: the process and a digest of the command line and configuration it was started with."""

    identity: Identity
    configuration: str

    def save(self, path: Path) -> None:
        write(path, json.dumps(asdict(self)) + "\n")

    @staticmethod
    def load(path: Path) -> "Record | None":
        """None if there is no such file, or none that this version wrote."""
        text = read_optional(path)
        if text is None:
            return None
        try:
            raw = json.loads(text)
            return Record(Identity(**raw["identity"]), raw["configuration"])
        except (ValueError, TypeError, KeyError):
            return None


def boot_id() -> str:
    return BOOT_ID.read_text().strip()


def start_time(pid: int) -> int | None:
    """Clock ticks between boot and the start of a process; None if there is none, or only its unreaped remains."""
    stat = _stat(pid)
    if stat is None or stat[0] == "Z":
        return None
    return int(stat[19])


def identify(pid: int) -> Identity | None:
    started = start_time(pid)
    return None if started is None else Identity(pid, started, boot_id())


def network_inode(pid: int) -> int | None:
    """Identity of the network namespace that a process lives in; None if the process is gone."""
    try:
        return Path(f"/proc/{pid}/ns/net").stat().st_ino
    except (FileNotFoundError, ProcessLookupError):
        return None


def command_name(pid: int) -> str:
    """The program's file name, at most 15 characters; empty if the process is gone."""
    return (read_optional(Path(f"/proc/{pid}/comm")) or "").strip()


def start(argv: list[str], log: Path, group: Path) -> Identity:
    """Starts a process of its own session whose output is appended to `log` and which is in cgroup `group` from its
    first instruction on."""
    log.parent.mkdir(parents=True, exist_ok=True)
    join_and_become = ["sh", "-c", 'echo 0 > "$0/cgroup.procs" && exec "$@"', str(group), *argv]
    with log.open("a") as out:
        # What an earlier process wrote stays, and is told apart.
        print(f"=== started at {time.strftime('%Y-%m-%dT%H:%M:%S%z')}", file=out, flush=True)
        child = subprocess.Popen(
            join_and_become, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True, cwd="/"
        )
    # It outlives this process on purpose; without this, Popen complains about that when it is collected.
    child.returncode = 0
    return Identity(child.pid, start_time(child.pid) or 0, boot_id())


def end(identities: Iterable[Identity], *, term_seconds: float = TERM_SECONDS) -> None:
    """Ends processes: SIGTERM, SIGKILL for those that live on after `term_seconds`. Returns when all are gone."""
    living = {identity for identity in identities if identity.alive()}
    if term_seconds > 0:
        _signal(living, signal.SIGTERM)
        living = _wait(living, term_seconds)
    while living:
        _signal(living, signal.SIGKILL)
        living = _wait(living, 1.0)


def _wait(living: set[Identity], seconds: float) -> set[Identity]:
    deadline = time.monotonic() + seconds
    while True:
        for identity in living:
            _reap(identity.pid)
        living = {identity for identity in living if identity.alive()}
        if not living or time.monotonic() > deadline:
            return living
        time.sleep(POLL_SECONDS / 2)


def _signal(identities: set[Identity], number: signal.Signals) -> None:
    for identity in identities:
        if identity.alive():
            try:
                os.kill(identity.pid, number)
            except ProcessLookupError:
                continue


def _reap(pid: int) -> None:
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        # Started by an earlier invocation: its new parent reaps it.
        return


def _stat(pid: int) -> list[str] | None:
    """The fields of /proc/PID/stat from the state on: the command before them may itself hold blanks and brackets."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return text.rpartition(")")[2].split()
