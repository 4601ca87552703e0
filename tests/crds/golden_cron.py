"""Writes golden_cron.jsonl: what the library that CronJobs are run by says of chosen expressions, zones and moments.

    PYTHONPATH=tests/cluster .venv/bin/python tests/crds/golden_cron.py

One row a line: expression, zone, moment (seconds since 1970), the next five due times; null where it is refused.
"""

import json
import subprocess
from datetime import UTC, datetime
from pathlib import Path

from merp_cluster.binaries import Binaries
from merp_cluster.cache import Cache, cache_root

FILE = Path(__file__).with_suffix(".jsonl")
COUNT = 5
VALID = (
    "* * * * *", "*/7 * * * *", "*/90 * * * *", "45 1 * * *", "15 2 * * *", "30 2 * * *", "15 0 * * *", "30 0 * * *",
    "0 0 * * *", "59 23 * * *", "0 */6 * * *", "5/15 3 * * *", "20 6 * * 0", "0 5 * * 4", "0 5 * * 5", "0 9 * * MON-FRI",
    "15 6 */2 * SUN", "0 0 1 * */1", "0 3 13 * 5", "0 4 31 * *", "0 0 29 2 *", "0 5 * 10 *", "30 3 * * ?", "*-5 2 * * *",
    "@monthly", "@hourly", "0 0 30 2 *", "0 , * * *",
)  # fmt: skip
INVALID = (
    "30 6 * * 7", "0 22 * * FRI-MON", "* 22-2 * * *", "0 30 3 * * ?", "0 0 2 * * *", "0 3 * *", "0 0 L * *",
    "0 0 15W * *", "0 0 * * 5#3", "*/0 * * * *", "60 * * * *", "-1 * * * *", "1-2-3 * * * *", "1/2/3 * * * *",
    "0 0 0 * *", "0 0 * 13 *", "@fortnightly", "@reboot", "", "5 3\x1f* * *",
)  # fmt: skip
# A day before what the clocks of the zone do, and far from it.
PLAIN = "2026-12-01T00:00:00"
MOMENTS = {
    "UTC": (PLAIN, "2096-03-01T00:00:00"),
    "Asia/Shanghai": (PLAIN,),
    "Europe/Berlin": (PLAIN, "2027-03-27T10:00:00", "2027-10-30T10:00:00", "2027-10-31T00:30:00"),
    "America/Chicago": (PLAIN, "2027-03-13T10:00:00", "2027-11-06T10:00:00"),
    "Australia/Lord_Howe": ("2026-10-02T10:00:00", "2027-04-02T10:00:00"),
    "Africa/Cairo": ("2026-04-22T10:00:00", "2026-10-28T10:00:00"),
    "Asia/Beirut": ("2026-03-27T10:00:00", "2026-10-23T10:00:00"),
    "America/Asuncion": ("2017-09-29T10:00:00", "2018-03-23T10:00:00"),
    "America/Havana": ("2027-03-12T10:00:00", "2027-11-05T10:00:00"),
    "Etc/GMT-3": (PLAIN,),
}


def answers(oracle: Path, questions: list[tuple[str, str, int]]) -> list[list[int] | None]:
    """What the library says: the next due times, or None where it refuses the expression."""
    asked = "".join(
        json.dumps({"Expression": expression, "Zone": zone, "After": after, "Count": COUNT}) + "\n"
        for expression, zone, after in questions
    )
    said = subprocess.run([oracle], input=asked, capture_output=True, text=True, check=True).stdout.splitlines()
    return [None if answer.get("error") else answer["times"] for answer in map(json.loads, said)]


def main() -> None:
    """Asks, and writes the file."""
    oracle = Binaries(Cache(cache_root())).from_source("cron-oracle", Path(__file__).parent / "oracle")
    moments = [
        (zone, int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()))
        for zone, texts in MOMENTS.items()
        for text in texts
    ]
    questions = [(expression, zone, after) for expression in VALID for zone, after in moments]
    questions += [(expression, *moments[0]) for expression in INVALID]
    rows = zip(questions, answers(oracle, questions), strict=True)
    FILE.write_text("".join(json.dumps([*question, times]) + "\n" for question, times in rows))


if __name__ == "__main__":
    main()
