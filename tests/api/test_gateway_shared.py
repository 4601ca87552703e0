"""Pools and calendars, read only."""

from typing import Any

READY = {"type": "Ready", "status": "True", "reason": "Valid", "message": "admits runs"}


async def test_pools(gateway: Any, cluster: Any) -> None:
    status = {
        "conditions": [READY],
        "used": 2,
        "admitted": [{"run": "a-1", "uid": "u", "scheduledJob": "a", "slots": 2}],
        "waiting": [
            {"run": "b-1", "scheduledJob": "b", "priority": "high", "dueTime": "2026-12-01T00:00:00Z", "slots": 1}
        ],
        "waitingCount": 300,
    }
    cluster.put(
        "jobpools",
        {
            "metadata": {"name": "nightly", "namespace": "default"},
            "spec": {"slots": 2, "description": "夜间批处理"},
            "status": status,
        },
    )
    cluster.put("jobpools", {"metadata": {"name": "new", "namespace": "erp"}, "spec": {"slots": 1}})
    body = (await gateway.get("/api/v1/pools")).json()
    assert body == {
        "items": [
            {
                "name": "nightly",
                "namespace": "default",
                "description": "夜间批处理",
                "slots": 2,
                "used": 2,
                "admitted": [{"run": "a-1", "job_id": "a", "slots": 2, "priority": None, "due_time": None}],
                "waiting": [
                    {"run": "b-1", "job_id": "b", "slots": 1, "priority": "high", "due_time": "2026-12-01T00:00:00Z"}
                ],
                "waiting_count": 300,
                "message": None,
            }
        ]
    }
    everywhere = (await gateway.get("/api/v1/pools?namespace=*")).json()["items"]
    assert [(pool["name"], pool["used"], pool["waiting"]) for pool in everywhere][1] == ("new", 0, [])


async def test_a_pool_with_trouble_says_it(gateway: Any, cluster: Any) -> None:
    trouble = READY | {"status": "False", "reason": "PoolTooSmall", "message": "j asks for 4 slots"}
    cluster.put(
        "jobpools",
        {
            "metadata": {"name": "p", "namespace": "default"},
            "spec": {"slots": 2},
            "status": {"conditions": [trouble]},
        },
    )
    assert (await gateway.get("/api/v1/pools")).json()["items"][0]["message"] == "j asks for 4 slots"


async def test_calendars(gateway: Any, cluster: Any) -> None:
    soon = READY | {"reason": "ExpiresSoon", "message": "ends on 2026-12-31: renew it"}
    cluster.put(
        "businesscalendars",
        {
            "metadata": {"name": "cn"},
            "spec": {"builtIn": "CN"},
            "status": {"conditions": [soon], "validFrom": "2026-01-01", "validThrough": "2026-12-31"},
        },
    )
    cluster.put("businesscalendars", {"metadata": {"name": "own"}, "spec": {"validThrough": "2027-12-31"}})
    assert (await gateway.get("/api/v1/calendars")).json()["items"] == [
        {
            "name": "cn",
            "built_in": "CN",
            "valid_from": "2026-01-01",
            "valid_through": "2026-12-31",
            "message": "ends on 2026-12-31: renew it",
        },
        {"name": "own", "built_in": None, "valid_from": None, "valid_through": "2027-12-31", "message": None},
    ]


async def test_a_calendar_with_wrong_dates_is_shown_with_its_message(gateway: Any, cluster: Any) -> None:
    wrong = READY | {"status": "False", "reason": "InvalidCalendar", "message": "validThrough: is no date"}
    spec = {"validThrough": "2026-02-30"}
    cluster.put("businesscalendars", {"metadata": {"name": "odd"}, "spec": spec, "status": {"conditions": [wrong]}})
    [item] = (await gateway.get("/api/v1/calendars")).json()["items"]
    assert (item["valid_through"], item["message"]) == ("2026-02-30", "validThrough: is no date")


async def test_who_may_not_read_them_gets_403(gateway: Any, cluster: Any) -> None:
    cluster.allow("t", "nobody", "erp")
    for path in ("/api/v1/pools", "/api/v1/calendars"):
        assert (await gateway.get(path, "t")).status_code == 403
