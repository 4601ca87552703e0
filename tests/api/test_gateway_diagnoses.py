"""What a reason means, in the language of whoever asks."""

from typing import Any

import pytest

from merp_api.checktexts import CHECKS
from merp_api.outlooks import Check
from merp_crds.reasons import Reason, Verdict

CHINESE = {"Accept-Language": "zh-CN,zh;q=0.9,en;q=0.8"}


@pytest.mark.parametrize(
    ("headers", "language", "sentence"),
    [
        pytest.param({}, "en", "Its program failed with exit code 3.", id="nothing-said"),
        pytest.param(CHINESE, "zh", "程序运行失败，退出码 3。", id="chinese"),
        pytest.param({"Accept-Language": "fr"}, "en", "Its program failed with exit code 3.", id="unknown"),
    ],
)
async def test_an_execution(gateway: Any, recorder: Any, headers: dict[str, str], language: str, sentence: str) -> None:
    entry = recorder.run("j", 0, status=Verdict.FAILED, reason=Reason.EXIT_CODE, exit_code=3, error="exit code 3")
    for path in (f"/api/v1/executions/{entry.id}", "/api/v1/jobs/history"):
        answer = await gateway.get(path, headers=headers)
        body = answer.json()
        view = body["items"][0] if "items" in body else body
        assert view["diagnosis"]["sentence"] == sentence
        assert view["diagnosis"]["remedy"]
        assert (view["reason"], view["error"]) == ("ExitCode", "exit code 3")
        assert (answer.headers["content-language"], answer.headers["vary"]) == (language, "Accept-Language")


@pytest.mark.parametrize(
    ("values", "diagnosis"),
    [
        pytest.param({}, None, id="no-reason"),
        pytest.param({"reason": Reason.COMPLETED}, {"sentence": "It did its work.", "remedy": None}, id="success"),
        pytest.param(
            {"reason": Reason.SCHEDULED_JOB_DELETED},
            {"sentence": "Its job was deleted, and it ended with that.", "remedy": None},
            id="nothing-to-do",
        ),
    ],
)
async def test_where_there_is_less_to_say(
    gateway: Any, recorder: Any, values: dict[str, Any], diagnosis: dict[str, Any] | None
) -> None:
    entry = recorder.run("j", 0, **values)
    assert (await gateway.get(f"/api/v1/executions/{entry.id}")).json()["diagnosis"] == diagnosis


async def test_an_invalid_job_and_its_tags(gateway: Any, cluster: Any, scheduled_job: Any, condition: Any) -> None:
    job = scheduled_job("j")
    wrong = condition("Ready", "False", "InvalidCalendar", "calendar: there is no BusinessCalendar cn")
    job["status"] = {"conditions": [wrong], "observedGeneration": 1}
    cluster.put("scheduledjobs", job)
    english = await gateway.get("/api/v1/jobs/j")
    chinese = await gateway.get("/api/v1/jobs/j", headers=CHINESE)
    assert english.json()["reason"] == "InvalidCalendar"
    assert english.json()["diagnosis"]["sentence"] == "The job's calendar is missing or cannot be used."
    assert chinese.json()["diagnosis"]["sentence"] == "任务使用的日历不存在或无法使用。"
    assert english.headers["etag"] != chinese.headers["etag"]
    same = await gateway.get("/api/v1/jobs/j", headers=CHINESE | {"If-None-Match": chinese.headers["etag"]})
    assert (same.status_code, same.headers["vary"], same.headers["content-language"]) == (304, "Accept-Language", "zh")
    other = await gateway.get("/api/v1/jobs/j", headers=CHINESE | {"If-None-Match": english.headers["etag"]})
    assert other.status_code == 200
    everything = (await gateway.get("/api/v1/jobs", headers=CHINESE)).json()["items"]
    assert everything[0]["diagnosis"]["remedy"].startswith("创建或修正")
    written = await gateway.request(
        "PATCH", "/api/v1/jobs/j", json={"description": "x"}, headers={"If-Match": chinese.headers["etag"]}
    )
    assert written.status_code == 200


async def test_a_good_job_has_nothing_to_say(gateway: Any, cluster: Any, scheduled_job: Any) -> None:
    cluster.put("scheduledjobs", scheduled_job("j"))
    body = (await gateway.get("/api/v1/jobs/j")).json()
    assert (body["reason"], body["diagnosis"], body["message"]) == (None, None, None)


RECENT = {"run": "j-1", "trigger": "schedule", "message": "particulars"}
TOLD = {
    "missed": {"verdict": "missed", "reason": "Outage"},
    "overlap": {"verdict": "skipped", "reason": "Overlap"},
    "pod": {"verdict": "failed", "reason": "ImagePull"},
}


@pytest.mark.parametrize(
    ("check", "sentence"),
    [
        pytest.param("missed", "到期时集群或调度器不可用，未能启动。", id="missed"),
        pytest.param("overlap", "因上一次运行尚未结束且 concurrency_policy 为 Forbid，本次被跳过。", id="overlap"),
        pytest.param("pod", "镜像拉取失败。", id="pod"),
    ],
)
async def test_an_explanation_goes_by_the_reason(
    gateway: Any, cluster: Any, scheduled_job: Any, check: str, sentence: str
) -> None:
    job = scheduled_job("j")
    job["status"] = {"recent": [RECENT | TOLD[check]], "observedGeneration": 1}
    cluster.put("scheduledjobs", job)
    body = (await gateway.get("/api/v1/jobs/j/explain", headers=CHINESE)).json()
    found = {entry["check"]: entry for entry in body["checks"]}
    assert (found[check]["ok"], found[check]["diagnosis"]["sentence"]) == (False, sentence)
    assert found["definition"]["diagnosis"] is None
    assert body["summary"] == f"{sentence}{check}: j-1: particulars"


async def test_an_explanation_of_the_job_itself(gateway: Any, cluster: Any, scheduled_job: Any) -> None:
    job = scheduled_job("j", suspend=True)
    job["status"] = {"observedGeneration": 1}
    cluster.put("scheduledjobs", job)
    english = (await gateway.get("/api/v1/jobs/j/explain")).json()
    assert english["summary"] == "paused: its manifest has suspend: true"
    found = {entry["check"]: entry for entry in english["checks"]}
    assert found["paused"]["diagnosis"]["sentence"] == "The job is paused, so nothing becomes due."


@pytest.mark.parametrize("check", Check)
def test_every_check_is_told_in_both_languages(check: Check) -> None:
    texts = CHECKS[check]
    assert texts.en.sentence.endswith(".")
    assert texts.zh.sentence.endswith("。")
    assert texts.en.remedy
    assert texts.zh.remedy
