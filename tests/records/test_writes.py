"""What a batch leaves in the database: the same in every one, whatever comes, however often, in any order."""

import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from functools import partial

import pytest
from sqlalchemy import text

from merp_crds.names import execution_id
from merp_crds.reasons import Reason, RunState, Trigger, Verdict
from merp_records import queries, writes
from merp_records.engine import create_engine, run_in_transaction
from merp_records.tables import TEXT_BYTES
from merp_records.writes import DependencyRecord, Failure, record

NOW = datetime(2027, 3, 14, 12, 0, 0, 123456, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)
UID = "7a1e0000-0000-4000-8000-000000000001"


def read(engine, run):
    with engine.connect() as connection:
        return queries.execution(connection, run.id, namespaces=None)


def read_job(engine, job):
    with engine.connect() as connection:
        return queries.job(connection, job.id, namespaces=None)


def test_a_run_is_recorded_from_waiting_to_its_verdict(engine, make_job, make_run) -> None:
    steps = [
        make_run(status=RunState.WAITING, due_time=NOW),
        make_run(status=RunState.RUNNING, start_time=LATER, node="node-1", opened_by=["up-1"]),
        make_run(
            status=Verdict.FAILED, start_time=LATER, end_time=LATER, reason=Reason.EXIT_CODE, exit_code=1, attempts=2
        ),
    ]
    seen = []
    for step in steps:
        result = record(engine, [make_job()], [step], now=NOW)
        assert (result.executions, result.failures) == ({step.id}, ())
        seen.append(read(engine, step))
    assert [run.status for run in seen] == ["waiting", "running", "failed"]
    last = seen[-1]
    assert (last.due_time, last.node, last.opened_by, last.exit_code, last.attempts) == (NOW, "node-1", ["up-1"], 1, 2)


def test_the_same_batch_again_changes_nothing(engine, make_job, make_run) -> None:
    dependency = DependencyRecord(depends_on="up", condition="Succeeded", window_kind="sinceLastRun")
    job = make_job(dependencies=(dependency,), args=("all",), kwargs={"a": 1.5})
    run = make_run(status=Verdict.SUCCESS, waited_seconds=0.1 + 0.2, params={"kwargs": {"z": 1, "a": [1.5, None]}})
    record(engine, [job], [run], now=NOW)
    before = read(engine, run), read_job(engine, job)
    result = record(engine, [job, job], [run, run], now=LATER)
    assert (result.jobs, result.executions) == ({job.id}, {run.id})
    # recorded_at and updated_at would have moved.
    assert (read(engine, run), read_job(engine, job)) == before


def test_an_older_state_never_overwrites_a_verdict(engine, make_job, make_run) -> None:
    done = make_run(status=Verdict.SUCCESS, result='{"rows": 5}')
    record(engine, [make_job()], [done], now=NOW)
    result = record(engine, [], [make_run(), make_run(status=Verdict.FAILED, reason=Reason.UNKNOWN)], now=LATER)
    assert result.executions == {done.id}
    assert (read(engine, done).status, read(engine, done).result) == ("success", '{"rows": 5}')


def test_a_thousand_runs_in_one_batch(engine, make_job, make_run) -> None:
    runs = [make_run(run_name=f"inventory-{number}") for number in range(1001)]
    assert len(record(engine, [make_job()], runs, now=NOW).executions) == 1001
    done = [make_run(run_name=run.run_name, status=Verdict.SUCCESS) for run in runs]
    assert len(record(engine, [make_job()], done, now=NOW).executions) == 1001
    with engine.connect() as connection:
        assert queries.open_executions(connection) == []


def test_empty_batch_does_nothing(engine) -> None:
    assert record(engine, [], [], now=NOW) == writes.WriteResult(frozenset(), frozenset())


def test_one_bad_record_is_reported_and_the_others_are_written(engine, make_job, make_run) -> None:
    bad = make_run(run_name="bad", exit_code=2**40)
    orphan = make_run(job_id="7a1e0000-0000-4000-8000-00000000dead", run_name="orphan")
    good = [make_run(run_name=f"good-{number}") for number in range(3)]
    result = record(engine, [make_job()], [good[0], bad, orphan, *good[1:]], now=NOW)
    assert result.executions == {run.id for run in good}
    assert result.failures == (
        Failure("execution", bad.id, "exit_code: is out of range", "exit_code"),
        Failure("execution", orphan.id, result.failures[1].problem),
    )
    assert result.failures[1].problem.startswith("the job of this execution is not recorded")
    assert [read(engine, run).status for run in good] == ["running"] * 3


def test_c67_a_bad_job_does_not_block_the_others(engine, make_job, make_run) -> None:
    bad = make_job(id="7a1e0000-0000-4000-8000-0000000000ff", name="n" * 101)
    result = record(engine, [bad, make_job()], [make_run(), make_run(job_id=bad.id)], now=NOW)
    assert (result.jobs, result.executions) == ({make_job().id}, {make_run().id})
    assert [(failure.kind, failure.column) for failure in result.failures] == [("job", "name"), ("execution", None)]


@pytest.mark.parametrize(
    ("status", "column"),
    [
        pytest.param(Verdict.FAILED, "error", id="C67-error"),
        pytest.param(Verdict.SUCCESS, "result", id="C67-result"),
    ],
)
def test_c67_200000_characters(engine, make_job, make_run, status, column) -> None:
    run = make_run(status=status, **{column: "数据库错误✅\x00\ud83d" * 25_000})
    assert record(engine, [make_job()], [run], now=NOW).failures == ()
    stored = read(engine, run)
    value = getattr(stored, column)
    assert (stored.status, len(value.encode()) <= TEXT_BYTES) == (str(status), True)
    assert (value[:11], value[-33:]) == ("数据库错误✅��数据库", "… [cut, 200000 characters in all]")


def test_c67_parameters_of_64_kib_are_whole(engine, make_job, make_run) -> None:
    args = ["𠮷" * 16_380, 'quote " and \\ and \x00']
    job, run = make_job(args=args), make_run(params={"args": args})
    record(engine, [job], [run], now=NOW)
    assert (read_job(engine, job).args, read(engine, run).params) == (args, {"args": args})


def test_c43_four_byte_characters_come_back(engine, make_job, make_run) -> None:
    job = make_job(
        name="库存盘点任务 #1 (夜间)",
        description="每月1日 ✅ 𠮷野家",
        args=["仓库𠮷", "✅"],
        kwargs={"仓库𠮷": "100% 'x' \\ \" ? :a %s"},
    )
    other = make_job(id="7a1e0000-0000-4000-8000-000000000002", resource_name="other", name=job.name)
    run = make_run(status=Verdict.SUCCESS, result='"𠮷✅"')
    assert record(engine, [job, other], [run], now=NOW).failures == ()
    stored = read_job(engine, job)
    assert (stored.name, stored.description, stored.args, stored.kwargs) == (
        job.name,
        job.description,
        job.args,
        job.kwargs,
    )
    assert (read(engine, run).result, read_job(engine, other).name) == ('"𠮷✅"', job.name)


@pytest.mark.mariadb
def test_c43_the_rows_hold_the_characters_and_not_their_replacement(mariadb, migrated_mariadb, make_job) -> None:
    engine = create_engine(migrated_mariadb)
    job = make_job(id="7a1e0000-0000-4000-8000-000000000043", name="仓库𠮷✅")
    record(engine, [job], [], now=NOW)
    engine.dispose()
    rows = mariadb.sql(f"SELECT HEX(name) FROM jobs WHERE id = '{job.id}'", migrated_mariadb.database)
    assert rows == (("仓库𠮷✅".encode().hex().upper(),),)


def test_c58_a_long_name_of_a_caller_is_stored(engine, make_job, make_run) -> None:
    caller = "system:serviceaccount:erp-production-environment:job-deployer-production"
    long = ["oidc:" + "x" * 300 + end for end in ("a", "b")]
    runs = [make_run(run_name=f"r-{number}", created_by=name) for number, name in enumerate([caller, *long])]
    assert record(engine, [make_job(created_by=caller)], runs, now=NOW).failures == ()
    assert read_job(engine, make_job()).created_by == caller
    names = [read(engine, run).created_by for run in runs]
    assert (names[0], len(set(names)), max(map(len, names))) == (caller, 3, 255)


def test_keys_are_compared_byte_by_byte(engine, make_job, make_run) -> None:
    """In MySQL's default collations `Job-A`, `job-a` and `job-a ` are one."""
    runs = [make_run(job_id=make_job().id, run_name=name) for name in ("Job-A", "job-a")]
    jobs = [make_job(id=uid) for uid in ("uid-A", "uid-a", make_job().id)]
    assert record(engine, jobs, runs, now=NOW).failures == ()
    with engine.connect() as connection:
        assert [queries.job(connection, uid, namespaces=None).id for uid in ("uid-A", "uid-a")] == ["uid-A", "uid-a"]
        assert queries.job(connection, "UID-A", namespaces=None) is None
        assert queries.job(connection, "uid-A ", namespaces=None) is None


def test_c64_other_columns_stay_when_a_row_is_updated(engine, make_job, make_run) -> None:
    job, run = make_job(next_run_time=LATER), make_run(due_time=NOW)
    record(engine, [job], [run], now=NOW)
    record(engine, [make_job(next_run_time=LATER, description="other")], [make_run(node="n")], now=LATER)
    with engine.begin() as connection:
        # As somebody with a client would, without naming any time.
        connection.execute(text("UPDATE job_executions SET status = 'failed', result = 'x'"))
        connection.execute(text("UPDATE jobs SET func = 'y'"))
    stored, stored_job = read(engine, run), read_job(engine, job)
    assert (stored.start_time, stored.due_time, stored.end_time) == (NOW, NOW, None)
    assert (stored_job.created_at, stored_job.next_run_time, stored_job.updated_at) == (NOW, LATER, LATER)


@pytest.fixture
def client_in_shanghai(monkeypatch):
    monkeypatch.setenv("TZ", "Asia/Shanghai")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


C68_MOMENTS = [
    pytest.param(datetime(2027, 3, 14, 2, 30, tzinfo=UTC), id="C68-spring-gap-of-new-york"),
    pytest.param(datetime(2027, 11, 7, 5, 30, tzinfo=UTC), id="C68-repeated-hour-first"),
    pytest.param(datetime(2027, 11, 7, 6, 30, tzinfo=UTC), id="C68-repeated-hour-second"),
    pytest.param(datetime(2027, 3, 14, 10, 30, tzinfo=timezone(timedelta(hours=8))), id="C68-other-offset"),
    pytest.param(datetime(2038, 1, 19, 3, 14, 8, tzinfo=UTC), id="C68-after-2038"),
    pytest.param(datetime(2027, 12, 31, 23, 59, 59, 999999, tzinfo=UTC), id="C68-last-microsecond"),
]


@pytest.mark.parametrize("moment", C68_MOMENTS)
def test_c68_a_moment_comes_back(engine, make_job, make_run, client_in_shanghai, moment) -> None:
    run = make_run(status=Verdict.SUCCESS, start_time=moment, due_time=moment, end_time=moment)
    assert record(engine, [make_job()], [run], now=NOW).failures == ()
    stored = read(engine, run)
    assert {stored.start_time, stored.due_time, stored.end_time} == {moment}
    assert stored.start_time.utcoffset() == timedelta(0)
    with engine.connect() as connection:
        # As text, where no type of Python's or the database's says what zone it is in.
        raw = connection.execute(text("SELECT CAST(start_time AS CHAR) FROM job_executions")).scalar_one()
    assert raw == moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")


@pytest.mark.mariadb
@pytest.mark.parametrize("zone", [pytest.param(zone, id=f"C68-{zone}") for zone in ("America/New_York", "+00:00")])
def test_c68_the_servers_zone_may_change(mariadb, migrated_mariadb, make_job, make_run, zone) -> None:
    moments = [param.values[0] for param in C68_MOMENTS]
    job = make_job(id=f"zone-{zone}"[:36].replace("/", "-"))
    runs = [make_run(job_id=job.id, run_name=f"r-{number}", start_time=moment) for number, moment in enumerate(moments)]
    engine = create_engine(migrated_mariadb)
    record(engine, [job], runs[:3], now=NOW)
    engine.dispose()
    before = mariadb.sql("SELECT @@global.time_zone")[0][0]
    mariadb.sql(f"SET GLOBAL time_zone = '{zone}'")
    try:
        assert record(engine, [job], runs[3:], now=NOW).failures == ()
        assert [read(engine, run).start_time for run in runs] == moments
        with engine.connect() as connection:
            page = queries.history(
                connection,
                namespaces=None,
                job_id=job.id,
                start=datetime(2027, 3, 14, 2, tzinfo=UTC),
                end=datetime(2027, 3, 14, 3, tzinfo=UTC),
            )
        # The first, and the same instant said with another offset.
        assert {run.id for run in page.items} == {runs[0].id, runs[3].id}
    finally:
        mariadb.sql(f"SET GLOBAL time_zone = '{before}'")
        engine.dispose()


@pytest.mark.mariadb
@pytest.mark.parametrize(
    "mode",
    [
        pytest.param("", id="C67-not-strict"),
        pytest.param("STRICT_TRANS_TABLES", id="C67-strict"),
        pytest.param("ORACLE", id="C67-oracle"),
        pytest.param("ANSI,NO_BACKSLASH_ESCAPES", id="C67-ansi"),
    ],
)
def test_c67_the_servers_mode_does_not_matter(mariadb, migrated_mariadb, make_job, make_run, mode) -> None:
    before = mariadb.sql("SELECT @@global.sql_mode")[0][0]
    mariadb.sql(f"SET GLOBAL sql_mode = '{mode}'")
    try:
        engine = create_engine(migrated_mariadb)
        run = make_run(run_name="mode", status=Verdict.FAILED, error="C:\\dir\\ 'q' \"d\" || 文✅" * 20_000)
        record(engine, [make_job()], [run], now=NOW)
        assert read(engine, run).error.startswith("C:\\dir\\ 'q' \"d\" || 文✅C:")
        with engine.connect() as connection, pytest.raises(Exception, match="Data too long"):
            connection.execute(text("UPDATE jobs SET func = REPEAT('x', 101)"))
        engine.dispose()
    finally:
        mariadb.sql(f"SET GLOBAL sql_mode = '{before}'")


def test_dependencies_follow_the_definition(engine, make_job) -> None:
    first = DependencyRecord(depends_on="a", condition="Succeeded", window_kind="within", window_value="24h")
    second = DependencyRecord(depends_on="a", condition="Failed", window_kind="sinceLastRun", latest=True)
    seen = []
    for generation, entries in enumerate([(first,), (second, first), (second,), ()]):
        record(engine, [make_job(generation=generation, dependencies=entries)], [], now=NOW)
        with engine.connect() as connection:
            seen.append([(row.condition, row.latest) for row in queries.dependencies(connection, make_job().id)])
    one, two = ("Succeeded", False), ("Failed", True)
    assert seen == [[one], [two, one], [two], []]
    record(engine, [make_job(generation=1, dependencies=(first,))], [], now=NOW)
    with engine.connect() as connection:
        assert queries.dependencies(connection, make_job().id) == [], "an older definition came late"


def test_a_deleted_job_keeps_its_history_and_a_new_one_does_not_inherit_it(engine, make_job, make_run) -> None:
    old, new = make_job(), make_job(id="7a1e0000-0000-4000-8000-000000000002", created_at=LATER)
    record(engine, [old], [make_run()], now=NOW)

    def mark(connection):
        return writes.mark_jobs_deleted(connection, [old.id], deleted_at=LATER, now=LATER)

    marked = [run_in_transaction(engine, mark) for _ in range(2)]
    assert marked == [1, 0]
    # A last record of the deleted one comes late, and brings the job with it.
    record(engine, [new, old], [make_run(status=Verdict.CANCELLED, reason=Reason.SCHEDULED_JOB_DELETED)], now=LATER)
    with engine.connect() as connection:
        assert [(job.id, job.deleted_at) for job in queries.jobs_named(connection, "erp", "inventory")] == [
            (new.id, None),
            (old.id, LATER),
        ]
        assert queries.undeleted_job_ids(connection) == {new.id}
        assert queries.history(connection, namespaces=None, job_id=new.id).items == ()
        (kept,) = queries.history(connection, namespaces=None, job_id=old.id).items
        assert (kept.status, kept.id) == ("cancelled", execution_id(old.id, "inventory-1"))


def test_open_runs_are_closed_and_finished_ones_are_not(engine, make_job, make_run) -> None:
    runs = [
        make_run(run_name=str(status), status=status)
        for status in (RunState.WAITING, RunState.RUNNING, Verdict.SUCCESS)
    ]
    record(engine, [make_job()], runs, now=NOW)
    ids = [run.id for run in runs]
    closed = run_in_transaction(engine, lambda c: writes.close_open_executions(c, ids, end_time=LATER, now=LATER))
    again = run_in_transaction(engine, lambda c: writes.close_open_executions(c, ids, end_time=LATER, now=LATER))
    assert (closed, again) == (2, 0)
    stored = [read(engine, run) for run in runs]
    assert [(run.status, run.reason, run.end_time) for run in stored] == [
        ("cancelled", "JobDeleted", LATER),
        ("cancelled", "JobDeleted", LATER),
        ("success", None, NOW),
    ]


def test_purge_takes_old_verdicts_in_batches_and_leaves_the_rest(engine, make_job, make_run) -> None:
    old = NOW - timedelta(days=400)
    verdicts = [make_run(run_name=f"old-{n}", status=Verdict.SUCCESS, start_time=old, end_time=old) for n in range(5)]
    running = make_run(run_name="long", start_time=old)
    recent = make_run(run_name="recent", status=Verdict.SUCCESS)
    late = make_run(run_name="late", status=Verdict.MISSED, start_time=old, end_time=NOW)
    record(engine, [make_job(record_days=30)], [*verdicts, running, recent, late], now=NOW)
    before = NOW - timedelta(days=365)
    purged = [run_in_transaction(engine, lambda c: writes.purge_executions(c, before, 3)) for _ in range(3)]
    assert purged == [3, 2, 0]
    with engine.connect() as connection:
        left = {run.run_name for run in queries.history(connection, namespaces=None).items}
        assert (left, queries.retentions(connection)) == ({"long", "recent", "late"}, {make_job().id: 30})


def test_purge_of_one_job_leaves_the_others(engine, make_job, make_run) -> None:
    other = make_job(id="7a1e0000-0000-4000-8000-000000000002", resource_name="other")
    runs = [make_run(status=Verdict.SUCCESS), make_run(job_id=other.id, status=Verdict.SUCCESS)]
    record(engine, [make_job(), other], runs, now=NOW)
    assert run_in_transaction(engine, lambda c: writes.purge_executions(c, LATER, job_id=other.id)) == 1
    assert [read(engine, run) is None for run in runs] == [False, True]


def test_jobs_are_purged_when_their_last_record_would_be(engine, make_job, make_run) -> None:
    dependency = DependencyRecord(depends_on="a", condition="Succeeded", window_kind="sinceLastRun")
    short = make_job(id="7a1e0000-0000-4000-8000-00000000000d", record_days=1)
    empty = make_job(id="7a1e0000-0000-4000-8000-00000000000e", dependencies=(dependency,))
    live = make_job(id="7a1e0000-0000-4000-8000-00000000000f")
    jobs = [make_job(), short, empty, live]
    record(engine, jobs, [make_run()], now=NOW)
    gone = [job.id for job in jobs[:3]]
    run_in_transaction(engine, lambda c: writes.mark_jobs_deleted(c, gone, deleted_at=NOW, now=NOW))
    days = [timedelta(days=days, seconds=seconds) for days, seconds in ((1, 0), (1, 1), (365, 0), (365, 1))]
    purged = [run_in_transaction(engine, partial(writes.purge_jobs, now=NOW + age)) for age in days]
    assert purged == [0, 1, 0, 1]
    assert [read_job(engine, job) is None for job in jobs] == [False, True, True, False]


def never_ran(make_run, first: int, last: int | None = None, **changes):
    """A due time that was skipped, so many minutes after NOW, or all of a range of minutes."""
    count = 1 if last is None else last - first + 1
    due_time = NOW + timedelta(minutes=first)
    return make_run(
        run_name=f"inventory-{first}",
        status=Verdict.SKIPPED,
        reason=Reason.OVERLAP,
        start_time=due_time,
        due_time=due_time,
        due_time_end=None if last is None else NOW + timedelta(minutes=last),
        count=count,
        end_time=LATER,
        **changes,
    )


@pytest.mark.parametrize("order", ["the-range-first", "the-range-last", "at-once", "grown", "a-range-in-it"])
def test_what_a_range_counts_has_no_record_of_its_own(engine, make_job, make_run, order) -> None:
    """While the database is away due times are handed over one by one at first, and then as a range."""
    singles, whole = [never_ran(make_run, number) for number in range(1, 6)], never_ran(make_run, 1, 5)
    batches = {
        "the-range-first": [[whole], singles[1:]],
        "the-range-last": [singles, [whole]],
        "at-once": [[*singles[1:], whole]],
        "grown": [[never_ran(make_run, 1, 2)], singles[2:], [whole]],
        "a-range-in-it": [[never_ran(make_run, 3, 4)], [whole]],
    }[order]
    for batch in batches:
        result = record(engine, [make_job()], batch, now=NOW)
        assert result.executions == {entry.id for entry in batch}
    with engine.connect() as connection:
        [left] = queries.history(connection, namespaces=None).items
    assert (left.id, left.count) == (whole.id, 5)


def test_what_a_range_does_not_count_keeps_its_record(engine, make_job, make_run) -> None:
    others = [
        never_ran(make_run, 0),
        never_ran(make_run, 6),
        replace(never_ran(make_run, 2), reason=Reason.CALENDAR),
        replace(never_ran(make_run, 3), trigger=Trigger.MANUAL),
        replace(never_ran(make_run, 4), job_uid=UID),
        replace(never_ran(make_run, 5), status=Verdict.MISSED),
        replace(never_ran(make_run, 5), job_id=UID.replace("1", "2")),
    ]
    jobs = [make_job(), make_job(id=UID.replace("1", "2"))]
    for batch in (others, [never_ran(make_run, 1, 5)], others):
        record(engine, jobs, batch, now=NOW)
    with engine.connect() as connection:
        assert len(queries.history(connection, namespaces=None).items) == 1 + len(others)


def nested(depth: int) -> list[object]:
    value: list[object] = []
    for _ in range(depth - 1):
        value = [value]
    return value


@pytest.mark.parametrize("depth", [101, 900, 975, 980, 2000])
def test_what_is_nested_too_deeply_holds_up_nobody_else(engine, make_job, make_run, depth) -> None:
    deep = make_job(id=UID.replace("1", "2"), args=nested(depth))
    result = record(engine, [deep, make_job(args=nested(100))], [make_run()], now=NOW)
    assert (result.jobs, result.executions) == ({UID}, {make_run().id})
    assert result.failures == (Failure("job", deep.id, "args: is nested deeper than 100", "args"),)
