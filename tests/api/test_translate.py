"""REST ⇄ custom resource: what goes in comes out, and what REST does not know stays."""

import copy
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from merp_api.schemas import JobView
from merp_api.translate import contract, new_job, with_fields
from merp_crds.scheduledjob import ScheduledJobSpec

ZONE = "Asia/Shanghai"
NAMES = st.from_regex(r"[a-z0-9]([-a-z0-9]{0,10}[a-z0-9])?", fullmatch=True)
TEXT = st.text(st.characters(codec="utf-8"), max_size=20)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
SECONDS = st.integers(1, 2**31 - 1)
MOMENTS = st.datetimes(datetime(1970, 1, 1), datetime(2999, 1, 1)).map(  # aware on the next line
    lambda moment: moment.replace(microsecond=0, tzinfo=UTC)
)
ZONES = st.sampled_from(["UTC", "Asia/Shanghai", "Europe/Zurich"])
WINDOWS = st.sampled_from([{"since_last_run": True}, {"within": "24h"}, {"period": "Week"}])
DEPENDENCIES = st.lists(
    st.fixed_dictionaries(
        {
            "id": NAMES,
            "condition": st.sampled_from(["Succeeded", "Failed", "Completed"]),
            "window": WINDOWS,
            "latest": st.booleans(),
        }
    ),
    max_size=3,
    unique_by=lambda entry: entry["id"],
)
TIMINGS = st.one_of(
    st.fixed_dictionaries({"job_type": st.just("cron"), "cron_expression": st.just("0 0 1 * *")}),
    st.fixed_dictionaries({"job_type": st.just("interval"), "interval_seconds": SECONDS}),
    st.fixed_dictionaries({"job_type": st.just("date"), "run_date": MOMENTS}),
)
ADDITIONS = st.fixed_dictionaries(
    {},
    optional={
        "priority": st.sampled_from(["high", "normal", "low"]),
        "depends_on": DEPENDENCIES,
        "concurrency_policy": st.sampled_from(["Forbid", "Allow", "Replace", "Queue"]),
        "timeout_seconds": SECONDS,
        "retry_limit": st.integers(0, 100),
        "image": st.just("registry.example/x:1"),
        "time_zone": ZONES,
        "pool": st.none()
        | st.fixed_dictionaries(
            {
                "name": NAMES,
                "slots": st.integers(1, 3),
                "timeout_seconds": st.sampled_from([None, 60]),
                "on_timeout": st.sampled_from(["Skip", "Fail"]),
            }
        ),
        "dependency_policy": st.fixed_dictionaries(
            {
                "require": st.sampled_from(["All", "Any"]),
                "timeout_seconds": st.sampled_from([60, 86_400]),
                "on_timeout": st.sampled_from(["Skip", "Fail", "Run"]),
            }
        ),
        "max_queued": st.sampled_from([1, 100, 1000]),
        "no_retry_exit_codes": st.none() | st.lists(st.integers(1, 255), max_size=3),
        "pending_timeout_seconds": st.sampled_from([1, 900]),
        "missed": st.fixed_dictionaries(
            {
                "policy": st.sampled_from(["Latest", "Skip", "All"]),
                "max_age": st.sampled_from(["24h", "1h"]),
                "max_count": st.sampled_from([1, 100]),
            }
        ),
        "calendar": st.none()
        | st.fixed_dictionaries({"name": NAMES, "on_holiday": st.sampled_from(["Skip", "Next", "Previous"])}),
        "connections": st.lists(NAMES, max_size=3, unique=True),
    },
)
BASICS = st.fixed_dictionaries(
    {"name": TEXT.filter(bool), "func": st.just("echo_args")},
    optional={
        "args": st.lists(JSON, max_size=3),
        "kwargs": st.dictionaries(TEXT, JSON, max_size=3),
        "description": st.none() | TEXT,
    },
)
FIELDS = st.tuples(BASICS, TIMINGS, ADDITIONS).map(lambda parts: parts[0] | parts[1] | parts[2])

# A resource as kubectl may have made it, with much that REST does not know.
FOREIGN = st.fixed_dictionaries(
    {},
    optional={
        "missed": st.sampled_from([{}, {"policy": "All", "maxAge": "1h"}, {"policy": "Latest", "maxCount": 7}]),
        "pool": st.sampled_from(
            [
                {"name": "nightly"},
                {"name": "nightly", "slots": 1},
                {"name": "a", "timeoutSeconds": 9, "onTimeout": "Skip"},
            ]
        ),
        "history": st.just({"failed": 9}),
        "connections": st.just(["erp"]),
        "suspend": st.booleans(),
        "dependencyPolicy": st.sampled_from([{"require": "Any"}, {"require": "All", "timeoutSeconds": 60}]),
        "maxQueued": st.integers(1, 9),
        "pendingTimeoutSeconds": SECONDS,
        "priorityClassName": st.just("x"),
        "displayName": TEXT.filter(bool),
        "description": TEXT,
        "priority": st.sampled_from(["high", "normal", "low"]),
        "concurrencyPolicy": st.sampled_from(["Forbid", "Queue"]),
        "timeoutSeconds": SECONDS,
        "retry": st.sampled_from([{}, {"limit": 0}, {"limit": 2, "noRetryExitCodes": [7]}]),
        "template": st.sampled_from([{"env": [{"name": "A"}]}, {"image": "i", "resources": {"limits": {}}}]),
        "dependsOn": st.lists(
            st.sampled_from(
                [
                    {"name": "a"},
                    {"name": "b", "window": {"sinceLastRun": True}, "condition": "Succeeded", "latest": False},
                    {"name": "c", "window": {"period": "Day"}, "latest": True},
                ]
            ),
            max_size=3,
            unique_by=lambda entry: entry["name"],
        ),
        "task": st.sampled_from([{"func": "echo_args"}, {"func": "echo_args", "args": [], "kwargs": {"a": None}}]),
        "schedule": st.sampled_from(
            [
                {"cron": "0 0 * * *", "calendar": {"name": "cn"}, "startAt": "2026-01-01T00:00:00Z"},
                {"cron": "0 0 * * *", "timeZone": "UTC", "dst": "Once"},
                {"cron": "0 0 * * *", "calendar": {"name": "cn", "onHoliday": "Skip"}},
                {"intervalSeconds": 45},
                {"at": "2030-01-01T00:00:00Z", "timeZone": ZONE},
            ]
        ),
    },
)


def _job(spec: dict[str, Any]) -> dict[str, Any]:
    return {"metadata": {"name": "j", "namespace": "default"}, "spec": spec}


@given(FIELDS)
def test_what_a_client_writes_is_what_it_reads(fields: dict[str, Any]) -> None:
    job = new_job("j", "default", fields, {}, ZONE)
    shown = contract(job, ZONE)
    assert {field: shown[field] for field in fields} == fields
    ScheduledJobSpec.model_validate(job["spec"])


@given(FOREIGN)
def test_what_was_read_and_is_written_back_changes_nothing(spec: dict[str, Any]) -> None:
    job = _job(spec)
    assert with_fields(job, contract(job, ZONE), ZONE) == spec


@given(FOREIGN, FIELDS)
def test_what_rest_does_not_know_is_kept(spec: dict[str, Any], fields: dict[str, Any]) -> None:
    job = _job(spec)
    before = copy.deepcopy(job)
    after = with_fields(job, fields, ZONE)
    shown = contract(_job(after), ZONE)
    assert {field: shown[field] for field in fields} == fields
    assert job == before
    written = {
        "displayName", "description", "priority", "concurrencyPolicy", "timeoutSeconds", "schedule", "task", "retry",
        "template", "dependsOn", "pool", "dependencyPolicy", "maxQueued", "pendingTimeoutSeconds", "missed",
        "connections",
    }  # fmt: skip
    assert {key: value for key, value in after.items() if key not in written} == {
        key: value for key, value in spec.items() if key not in written
    }
    for part, known in (
        ("schedule", {"cron", "intervalSeconds", "at", "timeZone", "calendar"}),
        ("retry", {"limit", "noRetryExitCodes"}),
        ("template", {"image"}),
    ):
        kept = {key: value for key, value in (spec.get(part) or {}).items() if key not in known}
        assert {key: value for key, value in (after.get(part) or {}).items() if key not in known} == kept
    # Fields that were not sent are as they were.
    assert not [
        field
        for field, value in contract(job, ZONE).items()
        if field not in fields and field not in _timing(fields) and shown[field] != value
    ]


def _timing(fields: dict[str, Any]) -> set[str]:
    """What a change of the type takes along."""
    return (
        {"cron_expression", "interval_seconds", "run_date", "job_type", "time_zone"} if "job_type" in fields else set()
    )


@pytest.mark.parametrize(
    ("spec", "fields", "expected"),
    [
        pytest.param({"priority": "high"}, {"priority": None}, {}, id="none-is-the-default"),
        pytest.param({}, {"priority": "normal"}, {}, id="a-shown-default-is-not-written"),
        pytest.param(
            {"schedule": {"cron": "0 0 * * *"}},
            {"time_zone": ZONE},
            {"schedule": {"cron": "0 0 * * *"}},
            id="the-zone-that-is-in-force-is-not-written",
        ),
        pytest.param(
            {"schedule": {"cron": "0 0 * * *", "timeZone": "UTC"}},
            {"time_zone": None},
            {"schedule": {"cron": "0 0 * * *"}},
            id="the-zone-is-reset",
        ),
        pytest.param({"retry": {"limit": 2}}, {"retry_limit": None}, {}, id="an-empty-part-goes"),
        pytest.param(
            {"dependsOn": [{"name": "a", "latest": False}, {"name": "b"}]},
            {
                "depends_on": [
                    {"id": "b", "condition": "Failed", "window": {"since_last_run": True}, "latest": False},
                    {"id": "a", "condition": "Succeeded", "window": {"since_last_run": True}, "latest": False},
                ]
            },
            {"dependsOn": [{"name": "b", "condition": "Failed"}, {"name": "a", "latest": False}]},
            id="an-entry-sent-back-stays-as-it-is-written",
        ),
        pytest.param({"dependsOn": [{"name": "a"}]}, {"depends_on": []}, {}, id="no-upstream-any-more"),
        pytest.param(
            {"missed": {"policy": "All", "maxAge": "24h"}},
            {"missed": {"policy": "Skip", "max_age": "24h", "max_count": 100}},
            {"missed": {"policy": "Skip", "maxAge": "24h"}},
            id="a-default-inside-a-part-stays-as-it-is-written",
        ),
        pytest.param(
            {"pool": {"name": "a", "slots": 2, "timeoutSeconds": 60}},
            {"pool": {"name": "b", "slots": 1, "timeout_seconds": None, "on_timeout": "Skip"}},
            {"pool": {"name": "b"}},
            id="a-default-inside-a-part-is-not-written",
        ),
        pytest.param({"pool": {"name": "a"}, "missed": {}}, {"pool": None}, {"missed": {}}, id="no-pool-any-more"),
        pytest.param(
            {"schedule": {"cron": "0 0 * * *", "calendar": {"name": "cn"}, "startAt": "2026-01-01T00:00:00Z"}},
            {"calendar": None},
            {"schedule": {"cron": "0 0 * * *", "startAt": "2026-01-01T00:00:00Z"}},
            id="every-day-counts-again",
        ),
        pytest.param({"description": "x"}, {"description": ""}, {"description": ""}, id="empty-is-not-none"),
    ],
)
def test_changes(spec: dict[str, Any], fields: dict[str, Any], expected: dict[str, Any]) -> None:
    assert with_fields(_job(spec), fields, ZONE) == expected


def test_the_answer_has_every_field_of_the_contract() -> None:
    assert contract(_job({}), ZONE).keys() <= JobView.model_fields.keys()
