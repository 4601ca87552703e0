"""How long pages of a long history take, and how long recording waits for a purge. Both have a limit.

    bench_records.py [RECORDS] [sqlite]      1,000,000 if not given, in a quarter of an hour

On a MariaDB server of the machine, which it starts for itself, or on a file of SQLite.
"""

import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "objects"))

from mariadb_server import running
from purge_beside_writing import purge_beside_writing
from recorded_history import NAMESPACES, History
from sqlalchemy import URL, Connection, Engine

from merp_records import queries, rollups
from merp_records.engine import create_engine, database_url
from merp_records.migrations import upgrade

DAYS = 100
ROUNDS = 9
PAGE_MILLISECONDS = 100
WAIT_SECONDS = 1.0
DAY = timedelta(days=1)


def pages(history: History) -> dict[str, Callable[[Connection], object]]:
    """What a client and a dashboard ask for."""
    big, small, today = history.job_id(0), history.job_id(7), history.end.date()
    many = [f"team-{number}" for number in range(NAMESPACES - 1)]
    middle = queries.encode_cursor(history.end - DAYS / 2 * DAY, "f")

    def page(**filters: object) -> Callable[[Connection], object]:
        return lambda connection: queries.history(connection, **{"namespaces": None} | filters)

    month = {"first": today - 29 * DAY, "last": today}
    return {
        "history, newest": page(),
        "history, from the middle": page(cursor=middle),
        "history of a namespace": page(namespaces=["team-3"]),
        "history of 19 namespaces": page(namespaces=many),
        "history of a day, failed": page(status=["failed"], start=history.end - 9 * DAY, end=history.end - 8 * DAY),
        "history, failed and timed out": page(status=["failed", "timeout"]),
        "history, by hand": page(trigger=["manual"]),
        "history, by hand in a namespace": page(trigger=["manual"], namespaces=["team-3"]),
        "history, a text that is nowhere": page(text="nowhere"),
        "job, a tenth of all records": page(job_id=big),
        "job, its failed runs": page(job_id=big, status=["failed"]),
        "job, its runs by hand": page(job_id=big, trigger=["manual"]),
        "job by name": page(job_name="job-7"),
        "list of 50 jobs, last verdicts": lambda connection: queries.last_executions(
            connection, [history.job_id(number) for number in range(50)], namespaces=None, finished=True
        ),
        "dashboard, 30 days": lambda connection: rollups.totals_by_day(connection, namespaces=None, **month),
        "dashboard, worst jobs of 30 days": lambda connection: rollups.totals_by_job(
            connection, namespaces=None, **month
        ),
        "dashboard of a job, 90 days": lambda connection: rollups.job_days(
            connection, small, namespaces=None, first=today - 89 * DAY, last=today
        ),
    }


def milliseconds(engine: Engine, work: Callable[[Connection], object]) -> float:
    """The median of some rounds, each with a connection from the pool as a request has it."""
    times = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        with engine.connect() as connection:
            work(connection)
        times.append((time.perf_counter() - began) * 1000)
    return statistics.median(times)


@contextmanager
def empty_database(kind: str) -> Iterator[URL]:
    """The address of one."""
    if kind == "sqlite":
        with tempfile.TemporaryDirectory() as folder:
            yield database_url(sqlite_path=Path(folder) / "records.db")
    else:
        with running("--innodb-buffer-pool-size=512M") as server:
            yield server.new_url()


def fill(engine: Engine, history: History) -> None:
    """The history, and its roll-ups."""
    began = time.monotonic()
    upgrade(engine)
    history.write(engine)
    loaded = time.monotonic()
    days = history.roll_up(engine)
    print(
        f"{history.records:,} records of {history.jobs} jobs in {history.days} days, half of which are kept", flush=True
    )
    print(
        f"  loaded in {loaded - began:.0f} s; {days:,} days rolled up in {time.monotonic() - loaded:.0f} s", flush=True
    )


def main() -> int:
    """A line a page, and one for the purge. Returns 1 where a limit is passed."""
    kind = "sqlite" if "sqlite" in sys.argv else "mariadb"
    records = next((int(word) for word in sys.argv[1:] if word.isdigit()), 1_000_000)
    history = History(records, jobs=500, days=DAYS, end=datetime.now(UTC), record_days=DAYS // 2)
    kept = True
    with empty_database(kind) as url:
        engine = create_engine(url)
        fill(engine, history)
        print(f"pages, milliseconds (at most {PAGE_MILLISECONDS})")
        for name, work in pages(history).items():
            took = milliseconds(engine, work)
            kept &= took < PAGE_MILLISECONDS
            print(f"  {name:<34} {took:7.1f}", flush=True)
        purged = asyncio.run(purge_beside_writing(engine, history))
        longest = max(purged.waits)
        kept &= longest < WAIT_SECONDS
        print(
            f"purge of {purged.deleted:,} records in {purged.seconds:.0f} s, beside {len(purged.waits)} runs that ended"
        )
        print(
            f"  end of a run to its record, seconds (at most {WAIT_SECONDS:.0f}, of which 0.1 to 0.25 is waiting for a batch)"
        )
        print(f"  median {statistics.median(purged.waits):.2f}, longest {longest:.2f}")
        engine.dispose()
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
