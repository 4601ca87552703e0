"""The same answers as the parser that CronJobs are run by, for random expressions, zones and moments around clock changes."""

import json
import os
import random
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from merp_cluster.binaries import Binaries
from merp_cluster.cache import Cache, cache_root
from merp_crds.cron import Cron

SOURCE = Path(__file__).parent / "oracle"
GOLDEN = Path(__file__).parent / "golden_cron.jsonl"
# Fixed, so that a failure can be seen again; another one is tried by setting SEED.
SEED = int(os.environ.get("SEED", "20261125"))
QUESTIONS = 12_000
COUNT = 4
# Changes by an hour and by half an hour, at midnight, on both halves of the globe, and none at all.
ZONES = (
    "UTC", "Europe/Berlin", "America/New_York", "America/Chicago", "Asia/Shanghai", "Australia/Lord_Howe",
    "America/Sao_Paulo", "Asia/Beirut", "Africa/Cairo", "Pacific/Apia", "America/St_Johns", "Asia/Kathmandu",
    "Pacific/Chatham", "America/Santiago", "Africa/Casablanca", "Etc/GMT-3", "Asia/Tehran", "America/Havana",
)  # fmt: skip
BOUNDS = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 6))
NAMES = ((), (), (), ("jan", "FEB", "Mar", "dec"), ("sun", "MON", "Fri", "sat"))
# Each habit of another cron, and each quirk of this one, by name: (field, spelling), or a whole expression.
QUIRKS: dict[str, tuple[int, str] | str] = {
    "sunday-as-7": (4, "7"),
    "range-to-7": (4, "5-7"),
    "wrapped-names": (4, "FRI-MON"),
    "wrapped-hours": (1, "22-2"),
    "equal-range": (4, "1-1"),
    "equal-range-with-step": (2, "13-13/7"),
    "star-step-one": (4, "*/1"),
    "star-step-two": (2, "*/2"),
    "question-mark": (2, "?"),
    "question-mark-step": (2, "?/3"),
    "star-to-something": (1, "*-5"),
    "number-step": (0, "5/15"),
    "step-zero": (0, "*/0"),
    "step-beyond": (0, "3/90"),
    "plus-sign": (0, "+7"),
    "leading-zeros": (0, "007"),
    "minus": (0, "-1"),
    "too-many-hyphens": (0, "1-2-3"),
    "too-many-slashes": (0, "1/2/3"),
    # In the hour: with no minute at all the original looks at each minute of five years, for seconds.
    "only-commas": (1, ","),
    "stray-comma": (0, "1,,2"),
    "last-day": (2, "L"),
    "nearest-weekday": (2, "15W"),
    "nth-weekday": (4, "5#3"),
    "too-high": (1, "24"),
    "month-zero": (3, "0"),
    "dotted-i": (4, "FR\u0130"),
    "six-fields": "0 30 3 * * ?",
    "four-fields": "0 3 * *",
    "odd-spaces": "\t5  3\u00a0* * *\n",
    "unit-separator": "5 3\x1f* * *",
    "descriptor": "@daily",
    "unknown-descriptor": "@fortnightly",
    "reboot": "@reboot",
    "february-30": "0 0 30 2 *",
}


@pytest.fixture(scope="session")
def oracle() -> Path:
    """The oracle, built once for its sources."""
    return Binaries(Cache(cache_root())).from_source("cron-oracle", SOURCE)


def field(chance: random.Random, index: int) -> str:
    low, high = BOUNDS[index]

    def value() -> str:
        if NAMES[index] and chance.random() < 0.2:
            return chance.choice(NAMES[index])
        return str(chance.randint(max(0, low - 1), high + 1) if chance.random() < 0.12 else chance.randint(low, high))

    def part() -> str:
        kind = chance.random()
        text = "*" if kind < 0.35 else value() if kind < 0.7 else f"{value()}-{value()}"
        return f"{text}/{chance.randint(0, 12)}" if chance.random() < 0.25 else text

    return ",".join(part() for _ in range(1 if chance.random() < 0.75 else chance.randint(2, 4)))


def transitions(zone: str) -> list[datetime]:
    """Days around which the zone's offset changes. From 2012: at the day that Samoa left out in 2011 the original hangs."""
    local, moment, found = ZoneInfo(zone), datetime(2012, 1, 10, tzinfo=UTC), []
    while moment.year < 2032:
        later = moment + timedelta(days=10)
        if moment.astimezone(local).utcoffset() != later.astimezone(local).utcoffset():
            found.append(moment)
        moment = later
    return found


def questions() -> list[dict[str, Any]]:
    chance = random.Random(SEED)
    changes = {zone: transitions(zone) for zone in ZONES}
    asked = []
    names = list(QUIRKS)
    for number in range(QUESTIONS):
        fields = [field(chance, index) for index in range(5)]
        # Every other question is about a quirk, each in its turn.
        name = names[number // 2 % len(names)] if number % 2 == 0 else None
        quirk = None if name is None else QUIRKS[name]
        if isinstance(quirk, tuple):
            fields = [text if chance.random() < 0.3 else "*" for text in fields]
            fields[quirk[0]] = quirk[1]
        expression = quirk if isinstance(quirk, str) else " ".join(fields)
        zone = chance.choice(ZONES)
        if changes[zone] and chance.random() < 0.7:
            moment = chance.choice(changes[zone]) + timedelta(seconds=chance.randint(0, 11 * 86_400))
        else:
            moment = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=chance.randint(0, 5 * 365 * 86_400))
        question = {"Expression": expression, "Zone": zone, "After": int(moment.timestamp()), "Count": COUNT}
        asked.append(question | {"Quirk": name})
    return asked


def answers(oracle: Path, asked: list[dict[str, Any]]) -> list[list[int] | None]:
    text = "".join(json.dumps(question) + "\n" for question in asked)
    said = subprocess.run([oracle], input=text, capture_output=True, text=True, check=True).stdout.splitlines()
    return [None if answer.get("error") else answer["times"] for answer in map(json.loads, said)]


def ours(question: dict[str, Any]) -> list[int] | None:
    try:
        cron = Cron.parse(question["Expression"], question["Zone"])
    except ValueError:
        return None
    moment, found = datetime.fromtimestamp(question["After"], UTC), []
    for _ in range(question["Count"]):
        due = cron.after(moment)
        if due is None:
            break
        found.append(int(due.timestamp()))
        moment = due
    return found


@pytest.mark.timeout(600)  # twelve thousand searches over years, on a busy machine
def test_no_difference(oracle: Path) -> None:
    asked = questions()
    theirs = answers(oracle, asked)
    assert len(theirs) == len(asked) >= 10_000
    invalid = sum(times is None for times in theirs)
    assert invalid * 3 >= len(asked), f"only {invalid} of {len(asked)} are invalid"
    rare = {name: number for name in QUIRKS if (number := sum(question["Quirk"] == name for question in asked)) < 100}
    assert rare == {}
    differences = [
        (question, expected, found)
        for question, expected in zip(asked, theirs, strict=True)
        if (found := ours(question)) != expected
    ]
    assert differences[:5] == []


def test_the_golden_file_is_what_the_original_says(oracle: Path) -> None:
    rows = [json.loads(line) for line in GOLDEN.read_text().splitlines()]
    asked = [{"Expression": text, "Zone": zone, "After": after, "Count": 5} for text, zone, after, _ in rows]
    assert answers(oracle, asked) == [times for *_, times in rows]
