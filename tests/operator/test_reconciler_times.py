"""What the reconciler makes of due times over hours: pauses, what cannot be read for a moment, what is kept for how long."""

import json
import shutil
from datetime import timedelta
from pathlib import Path

import pytest
from cluster_objects import UID, job, scheduled_job
from due_times import at
from played_cluster import KEY, Json
from played_operator import DEFAULTS, World, hourly, minutely, run_at

from merp_crds import names
from merp_crds.common import parse_rfc3339, rfc3339
from merp_crds.schedule import Timetable
from merp_crds.scheduledjob import Schedule
from merp_operator import observe, records
from merp_records import queries
from merp_records.engine import create_engine, database_url
from merp_records.rows import JobRecord, job_row
from merp_records.writes import record


def paused_until(text: str) -> dict[str, str]:
    return {names.ANNOTATION_PAUSED: json.dumps({"until": rfc3339(at(text))})}


# Pauses.


@pytest.mark.parametrize(
    "schedule",
    [pytest.param({"cron": "0 12 * * *"}, id="native"), pytest.param({"at": "2026-11-25T12:00:00Z"}, id="operator")],
)
async def test_a_run_that_is_due_when_its_pause_ends_is_started(schedule: Json) -> None:
    world = World("09:00", created="06:00", schedule=schedule, annotations=paused_until("12:00"))
    await world.settle()
    world.now = at("12:00:00.1")
    await world.settle(1)
    world.now = at("12:00:05")
    await world.settle(1)
    assert await world.clock() == ["12:00:00 schedule"]


async def test_what_is_due_in_a_pause_has_no_verdict_and_what_is_due_after_it_has_one_whoever_was_away() -> None:
    every = {"intervalSeconds": 1500}
    world = World(
        "09:00", created="06:00", schedule=every, missed={"policy": "Skip"}, annotations=paused_until("12:00")
    )
    await world.settle()
    # Nobody looks for three hours.
    world.now = at("15:00")
    world.start_process()
    await world.settle()
    since = at("12:00") - timedelta(microseconds=1)
    expected = list(Timetable.of(Schedule(interval_seconds=1500)).between(since, at("14:58")))
    assert len(expected) == 8
    assert world.recent == [f"{due:%H:%M:%S} missed(Outage)" for due in expected]


async def test_what_was_missed_before_a_pause_has_its_verdict_when_it_begins() -> None:
    world = await hourly()
    world.now = at("12:01:30")
    await world.settle()
    assert world.recent == []
    world.edit(annotations={names.ANNOTATION_PAUSED: "{}"})
    await world.settle()
    assert world.recent == ["12:00:00 missed(Outage)"]
    world.now = at("14:30")
    world.edit(annotations={})
    await world.settle()
    assert world.recent == ["12:00:00 missed(Outage)"]


@pytest.mark.parametrize(
    ("stopped", "going"),
    [
        pytest.param({"suspend": True}, {"suspend": False}, id="C14-a-declared-pause"),
        pytest.param(
            {"template": {"podTemplate": {"spec": {"restartPolicy": "Always"}}}},
            {"template": {}},
            id="a-bad-definition",
        ),
    ],
)
async def test_what_is_left_of_an_earlier_pause_makes_no_outage_of_a_later_one(stopped: Json, going: Json) -> None:
    world = World("06:30", created="06:00", schedule={"intervalSeconds": 1500}, annotations=paused_until("07:00"))
    await world.settle()
    world.now = at("07:00:01")
    await world.settle()
    world.now = at("07:01")
    world.edit(**stopped)
    await world.settle()
    world.now = at("12:10")
    world.edit(**going)
    await world.settle()
    assert await world.clock() == []
    assert world.recent == []


@pytest.mark.parametrize(
    ("first", "edit", "now", "started", "recent"),
    [
        pytest.param(
            {"at": "2026-11-25T12:00:00Z"},
            {"schedule": {"at": "2026-11-25T09:29:30Z"}},
            "09:30",
            ["09:29:30 schedule"],
            [],
            id="C16-passed-when-it-was-written",
        ),
        pytest.param(
            {"cron": "0 * * * *"},
            {"schedule": {"at": "2026-11-25T09:10:00Z"}},
            "09:30",
            ["09:10:00 catch-up"],
            [],
            id="C16-instead-of-a-series",
        ),
        pytest.param(
            {"at": "2026-11-25T12:00:00Z"},
            {"schedule": {"at": "2026-11-25T12:30:00Z"}},
            "12:45",
            ["12:30:00 catch-up"],
            [],
            id="put-off-in-an-outage",
        ),
        pytest.param(
            {"at": "2026-11-25T12:00:00Z"},
            {"schedule": {"at": "2020-01-01T00:00:00Z"}},
            "09:30",
            [],
            ["00:00:00 missed(TooLate)"],
            id="C16-years-ago",
        ),
        pytest.param(
            {"at": "2026-11-25T12:00:00Z"},
            {"schedule": {"at": "2026-11-25T09:10:00Z"}, "missed": {"policy": "Skip"}},
            "09:30",
            [],
            ["09:10:00 missed(TooLate)"],
            id="C16-skip",
        ),
    ],
)
async def test_a_single_moment_that_an_edit_writes_ends_in_a_run_or_a_verdict(
    first: Json, edit: Json, now: str, started: list[str], recent: list[str]
) -> None:
    world = World("09:05", created="08:00:30", schedule=first)
    await world.settle()
    world.now = at(now)
    world.edit(**edit)
    await world.settle()
    assert await world.clock() == started
    assert world.recent == recent
    world.show()
    world.finish_all()
    world.show()
    await world.settle()
    world.start_process()
    await world.settle()
    assert await world.clock() == []
    assert len(world.recent) == 1


@pytest.mark.parametrize(
    ("stopped", "going"),
    [
        pytest.param({"suspend": True}, {"suspend": False}, id="C14-a-declared-pause"),
        pytest.param(
            {"annotations": {names.ANNOTATION_PAUSED: "{}"}}, {"annotations": {}}, id="C14-an-operational-pause"
        ),
        pytest.param(
            {"template": {"podTemplate": {"spec": {"restartPolicy": "Always"}}}},
            {"template": {}},
            id="a-bad-definition",
        ),
    ],
)
async def test_a_single_moment_that_a_pause_let_pass_is_not_run_by_an_edit_that_ends_it(
    stopped: Json, going: Json
) -> None:
    once = {"at": "2026-11-25T12:00:00Z"}
    world = World("09:05", created="08:00:30", schedule=once)
    await world.settle()
    world.edit(**stopped)
    await world.settle()
    world.now = at("13:00")
    world.edit(schedule=once | {"endAt": "2026-11-25T18:00:00Z"}, **going)
    await world.settle()
    assert await world.clock() == []
    assert world.recent == []


def on_schedule(world: World) -> tuple[str, str, str]:
    found = next(entry for entry in world.status["conditions"] if entry["type"] == "OnSchedule")
    return found["status"], found["reason"], found["message"]


@pytest.mark.parametrize(
    "schedule",
    [pytest.param({"cron": "0 * * * *"}, id="native"), pytest.param({"intervalSeconds": 3600}, id="operator")],
)
async def test_what_a_clock_that_was_ahead_has_taken_away_is_told_and_can_be_given_back(schedule: Json) -> None:
    world = World("11:01", created="11:00:30", schedule=schedule, missed={"policy": "Skip"})
    await world.settle()
    # The API server's clock is a day ahead for a while.
    world.now = at("11:02") + timedelta(days=1)
    await world.settle()
    world.now = at("11:05")
    await world.settle()
    assert world.status["nextRunTime"] == "2026-11-26T12:00:00Z"
    truth, reason, message = on_schedule(world)
    assert (truth, reason) == ("False", "ClockSetBack")
    assert message.startswith("all due times up to 2026-11-26T11:00:00Z have their verdicts")
    assert message.endswith(
        """kubectl patch sj -n ns j --subresource status --type merge -p '{"status":{"accounted":null}}'"""
    )
    # As the message says.
    body = world.cluster.scheduled_jobs[KEY]
    del body["status"]["accounted"]
    world.edit()
    await world.settle()
    assert world.status["nextRunTime"] == "2026-11-25T12:00:00Z"
    world.now = at("13:00:05")
    await world.settle()
    assert await world.clock() == ["13:00:00 schedule"]
    assert on_schedule(world)[1] != "ClockSetBack"


async def test_a_clock_that_goes_back_by_a_moment_is_no_news() -> None:
    world = await hourly()
    await world.run_natively("12:00", ended="12:00:04")
    world.now = at("11:59:58")
    await world.settle()
    assert world.status["nextRunTime"] == "2026-11-25T13:00:00Z"
    assert on_schedule(world)[0] == "True"


# A definition, a calendar or a status that cannot be read for a moment.


@pytest.mark.parametrize(
    ("zone", "expected"),
    [
        pytest.param("Asia/Shanghai", "Asia/Shanghai", id="a-zone"),
        pytest.param("Asia/Shanghai ", None, id="a-space-behind-it"),
        pytest.param("亚洲/上海", None, id="in-other-letters"),
    ],
)
def test_a_job_whose_zone_is_none_has_a_row_all_the_same(zone: str, expected: str | None) -> None:
    body = scheduled_job(schedule={"cron": "0 0 * * *", "timeZone": zone})
    row = job_row(records.job_record(observe.observe(body, None, [], []), DEFAULTS, {}))
    assert row["time_zone"] == expected


def calendar(version: int, weekend: list[str]) -> Json:
    return {
        "apiVersion": names.API_VERSION,
        "kind": "BusinessCalendar",
        "metadata": {"name": "cn", "uid": "calendar", "resourceVersion": str(version), "generation": version},
        "spec": {"validThrough": "2027-12-31", "weekend": weekend},
    }


GOOD, BAD = ["Saturday", "Sunday"], ["Funday"]


async def run_along(world: World, end: str) -> list[str]:
    """Every ten minutes a run is due, started, and over after five seconds."""
    ran = []
    while world.now < at(end):
        world.now += timedelta(minutes=10)
        ran += await world.clock()
        world.show()
        await world.settle(1)
        world.now += timedelta(seconds=5)
        world.finish_all()
        world.show()
        await world.settle(2)
        world.now -= timedelta(seconds=5)
    return ran


async def on_working_days(policy: str) -> World:
    """Every ten minutes since six, 22 times; the status lists the last twenty, and the cluster three."""
    world = World(
        "06:00",
        created="06:00",
        schedule={"cron": "*/10 * * * *", "calendar": {"name": "cn", "onHoliday": "Skip"}},
        missed={"policy": policy},
        concurrencyPolicy="Allow",
    )
    world.watch.calendars.put(calendar(1, GOOD))
    await world.settle(1)
    assert len(await run_along(world, "09:40")) == 22
    assert len(world.cluster.jobs) == 3
    world.now = at("09:41")
    return world


async def starts_within_a_minute(world: World) -> list[str]:
    started = []
    for _ in range(6):
        await world.settle(1)
        started += await world.clock()
        world.show()
        world.finish_all()
        world.now += timedelta(seconds=10)
    await world.settle()
    return started


@pytest.mark.parametrize("policy", ["All", "Latest", "Skip"])
async def test_a_calendar_that_is_gone_for_a_moment_changes_nothing_of_what_ran(policy: str) -> None:
    world = await on_working_days(policy)
    before = world.status["accounted"]
    world.watch.calendars.put(calendar(2, BAD))
    await world.settle()
    assert world.status.get("accounted", before)["until"] >= before["until"]
    world.now = at("09:42")
    world.watch.calendars.put(calendar(3, GOOD))
    assert await starts_within_a_minute(world) == []
    assert {told for verdicts in world.recorder.verdicts.values() for told in verdicts} == {"success(Completed)"}
    assert world.status["accounted"]["until"] >= before["until"]
    world.now = at("09:50")
    assert await world.clock() == ["09:50:00 schedule"]


async def test_a_status_that_cannot_be_read_starts_nothing_again() -> None:
    """Another version wrote it, with a word that this one does not know."""
    world = await on_working_days("All")
    body = world.cluster.scheduled_jobs[KEY]
    world.status["recent"][0]["reason"] = "AReasonOfTomorrow"
    world.cluster.put(world.cluster.scheduled_jobs, body)
    world.show()
    assert await starts_within_a_minute(world) == []
    assert {told for verdicts in world.recorder.verdicts.values() for told in verdicts} == {"success(Completed)"}


# What is kept, and for how long.


async def while_one_catches_up(hours: float, step: timedelta) -> tuple[World, str, list[str]]:
    """The first catch-up hangs; meanwhile runs become due, succeed and are recorded. Returns its name, and all starts."""
    seconds = int(step.total_seconds())
    world = World(
        "06:00",
        created="05:59",
        schedule={"intervalSeconds": seconds},
        missed={"policy": "All"},
        concurrencyPolicy="Allow",
    )
    await world.settle(1)
    world.now += 3 * step + timedelta(seconds=70)
    await world.settle(1)
    started = await world.clock()
    assert [text for text in started if text.endswith("catch-up")] == started[:1]
    hangs = run_at(started[0].partition(" ")[0])
    begin = world.now
    world.show()
    for due in Timetable.of(Schedule(interval_seconds=seconds)).between(begin, begin + timedelta(hours=hours)):
        world.now = due
        await world.settle(1)
        started += await world.clock()
        world.show()
        world.now += timedelta(seconds=5)
        world.finish_all(hangs)
        world.show()
        await world.settle(2)
    return world, hangs, started


async def test_finished_jobs_go_while_a_catch_up_hangs() -> None:
    world, hangs, started = await while_one_catches_up(0.5, timedelta(seconds=90))
    assert len(started) > 20
    # Three by history, those too young to go, and the one that hangs.
    assert len(world.cluster.jobs) < 8
    assert (KEY[0], hangs) in world.cluster.jobs


async def test_what_ran_while_a_catch_up_hung_runs_no_second_time_though_its_job_is_gone() -> None:
    world, hangs, started = await while_one_catches_up(3.0, timedelta(minutes=7))
    for key in list(world.cluster.jobs):
        if key[1] != hangs:
            del world.cluster.jobs[key]
    world.show()
    await world.settle()
    world.cluster.finish(hangs, world.now)
    world.show()
    for _ in range(12):
        await world.settle(1)
        started += await world.clock()
        world.show()
        world.now += timedelta(seconds=6)
        world.finish_all()
        world.show()
    times = [text.partition(" ")[0] for text in started]
    assert len(times) == len(set(times))
    assert {len(verdicts) for verdicts in world.recorder.verdicts.values()} == {1}


async def test_a_recorded_run_whose_job_is_gone_is_not_compared_any_more() -> None:
    """Also where the status that tells of it has to wait, because one was written in the very second."""
    world = await minutely(concurrencyPolicy="Allow")
    run = await world.run_natively("11:58", ended="11:58:05")
    assert world.recorder.remembers(names.execution_id(UID, run))

    async def by_hand(name: str, after: float) -> float | None:
        made = job(name, uid=name, annotations={}, labels={names.LABEL_TRIGGER: "manual"})
        world.cluster.put(world.cluster.jobs, made)
        world.show()
        return await world.look(after)

    assert (await by_hand("j-r-1", after=1.0) or 0.0) > 1.0
    del world.cluster.jobs[KEY[0], run]
    assert await by_hand("j-r-2", after=0.25) == 0.75
    assert world.recorder.remembers(names.execution_id(UID, run))
    await world.settle()
    assert not world.recorder.remembers(names.execution_id(UID, run))


async def test_what_the_database_lacks_is_kept_in_ranges(tmp_path: Path, migrated_sqlite: Path) -> None:
    """It is away for 25 minutes, and so long a run forbids one that is due every fifteen seconds."""
    world = World("06:00", created="05:59:50", schedule={"intervalSeconds": 15})
    world.recorder.away = True
    await world.settle(1)
    world.now = at("06:00:00")
    assert len(await world.clock()) == 1
    world.show()
    for _ in range(100):
        world.now += timedelta(seconds=15)
        await world.settle(1)
    assert len(world.status["unrecorded"]) < 25
    assert sum(entry["count"] for entry in world.status["unrecorded"]) == 100
    assert world.now - parse_rfc3339(world.status["accounted"]["until"]) <= timedelta(seconds=30)
    world.recorder.away = False
    await world.settle()
    assert "unrecorded" not in world.status
    assert counted(world, shutil.copy(migrated_sqlite, tmp_path / "records.db")) == 100


def counted(world: World, path: Path) -> int:
    """How many due times have a verdict in the database, once it has all that was ever handed over."""
    engine = create_engine(database_url(sqlite_path=path))
    handed_over = world.recorder.handed_over.values()
    row = JobRecord(
        id=UID, namespace=KEY[0], resource_name=KEY[1], name=KEY[1], job_type="interval", func="", created_at=world.now
    )
    record(engine, [row], [entry for entry in handed_over if entry.end_time is not None], now=world.now)
    with engine.connect() as connection:
        found = queries.history(connection, namespaces=None, limit=500).items
    engine.dispose()
    return sum(entry.count for entry in found)
