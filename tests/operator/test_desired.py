"""What should exist for a ScheduledJob, and what is wrong with one."""

import json
from datetime import datetime, timedelta
from typing import Any

import pytest
from cluster_objects import CRON_UID, DUE, NOW, UID, complete, cron_job, failed, job, job_run, scheduled_job

from merp_crds import names
from merp_crds.catalogue import Catalogue
from merp_crds.jobrun import UNKNOWN_JOB
from merp_crds.reasons import ConditionReason, Reason
from merp_crds.scheduledjob import Accounted
from merp_operator import definition, desired, observe, requests
from merp_operator.desired import Defaults
from merp_operator.observe import Observed

Json = dict[str, Any]
DEFAULTS = Defaults(
    image="tasks:1", time_zone="UTC", catalogue=Catalogue("tasks:1", {"echo": {}, "inventory_check": {}})
)


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


def observed(
    body: Json, jobs: list[Json] | None = None, runs: list[Json] | None = None, the_cron_job: Json | None = None
) -> Observed:
    return observe.observe(body, the_cron_job, [(entry, []) for entry in jobs or []], runs or [])


def rendered(body: Json, defaults: Defaults = DEFAULTS) -> Json:
    seen = observed(body)
    assert seen.spec is not None
    wanted = desired.cron_job(seen, seen.spec, defaults, NOW)
    assert wanted is not None
    return wanted


def pod_of(body: Json, defaults: Defaults = DEFAULTS) -> Json:
    template: Json = rendered(body, defaults)["spec"]["jobTemplate"]["spec"]["template"]
    return template


def test_a_cron_job_says_what_the_schedule_says() -> None:
    spec = rendered(scheduled_job(schedule={"cron": "0 0 1 * *", "timeZone": "Asia/Shanghai"}))["spec"]
    chosen = ("schedule", "timeZone", "concurrencyPolicy", "startingDeadlineSeconds", "suspend")
    assert {key: spec[key] for key in chosen} == {
        "schedule": "0 0 1 * *",
        "timeZone": "Asia/Shanghai",
        "concurrencyPolicy": "Forbid",
        "startingDeadlineSeconds": 60,
        "suspend": False,
    }


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        pytest.param(scheduled_job(), False, id="not-paused"),
        pytest.param(scheduled_job(suspend=True), True, id="declared"),
        pytest.param(scheduled_job(annotations={names.ANNOTATION_PAUSED: "{}"}), True, id="by-annotation"),
    ],
)
def test_a_pause_suspends_the_native_clock(body: Json, expected: bool) -> None:
    assert rendered(body)["spec"]["suspend"] is expected


def test_the_task_travels_as_a_file_untouched() -> None:
    task = {"func": "echo", "args": ["$(HOME)", "$$", "仓库𠮷"], "kwargs": {"n": None}}
    pod = pod_of(scheduled_job(task=task))
    assert json.loads(pod["metadata"]["annotations"][names.ANNOTATION_TASK]) == task
    assert "args" not in pod["spec"]["containers"][0]
    paths = {item["path"] for volume in pod["spec"]["volumes"] for item in volume["downwardAPI"]["items"]}
    assert paths == {"task", "due-time", "time-zone"}


def test_connections_are_files_that_only_the_task_has() -> None:
    sidecar = {"spec": {"containers": [{"name": "proxy", "image": "proxy:1"}]}}
    pod = pod_of(scheduled_job(connections=["erp", "warehouse"], template={"podTemplate": sidecar}))["spec"]
    assert [volume for volume in pod["volumes"] if "secret" in volume] == [
        {"name": "merp-connection-0", "secret": {"secretName": "erp"}},
        {"name": "merp-connection-1", "secret": {"secretName": "warehouse"}},
    ]
    task, proxy = pod["containers"]
    mounted = {mount["name"]: mount for mount in task["volumeMounts"]}
    assert mounted["merp-connection-1"] == {
        "name": "merp-connection-1",
        "mountPath": "/etc/merp-connections/warehouse",
        "readOnly": True,
    }
    assert "volumeMounts" not in proxy


KEY: Json = {"valueFrom": {"secretKeyRef": {"name": "erp", "key": "url"}}}
WHOLE: Json = {"secretRef": {"name": "erp"}}
PREFIXED: Json = {"prefix": "WMS_", "secretRef": {"name": "wms", "optional": True}}


@pytest.mark.parametrize(
    ("template", "named", "mounted"),
    [
        pytest.param({}, None, [], id="no-secret"),
        pytest.param({"env": [{"name": "A", "value": "1"}, {"name": "URL", **KEY}]}, "URL", [], id="by-env"),
        pytest.param({"envFrom": [{"configMapRef": {"name": "erp"}}]}, None, [], id="a-config-map-is-none"),
        pytest.param({"envFrom": [WHOLE, PREFIXED, WHOLE]}, None, ["erp", "wms"], id="by-env-from-each-once"),
        pytest.param(
            {"podTemplate": {"spec": {"containers": [{"name": "task", "env": [{"name": "B", **KEY}]}]}}},
            "B",
            [],
            id="by-the-pod-template",
        ),
        pytest.param(
            {"podTemplate": {"spec": {"containers": [{"name": "task", "envFrom": [WHOLE]}]}}},
            None,
            ["erp"],
            id="env-from-of-the-pod-template",
        ),
        pytest.param(
            {"podTemplate": {"spec": {"containers": [{"name": "proxy", "image": "p:1", "envFrom": [WHOLE]}]}}},
            None,
            [],
            id="anothers-secrets-are-not-the-tasks",
        ),
    ],
)
def test_the_runner_is_told_what_it_must_not_show(template: Json, named: str | None, mounted: list[str]) -> None:
    pod = pod_of(scheduled_job(template=template))["spec"]
    task = next(container for container in pod["containers"] if container["name"] == "task")
    assert {entry["name"]: entry.get("value") for entry in task["env"]}.get("MERP_SECRET_ENV") == named
    folders = {mount["name"]: mount for mount in task["volumeMounts"] if mount["name"].startswith("merp-masked-")}
    assert [folder["mountPath"] for folder in folders.values()] == [f"/etc/merp-secrets/{name}" for name in mounted]
    volumes = {volume["name"]: volume.get("secret") for volume in pod["volumes"]}
    assert [volumes[name] for name in folders] == [{"secretName": name, "optional": True} for name in mounted]


def test_an_image_without_the_runner_gets_no_more_files_of_secrets() -> None:
    body = scheduled_job(template={"image": "alpine:3", "envFrom": [WHOLE]})
    del body["spec"]["task"]
    assert [volume["name"] for volume in pod_of(body)["spec"]["volumes"]] == ["merp-task"]


def test_the_users_template_is_merged_by_name() -> None:
    user = {
        "spec": {
            "containers": [{"name": "task", "env": [{"name": "A", "value": "2"}]}, {"name": "proxy", "image": "p:1"}],
            "hostname": "h",
        }
    }
    pod = pod_of(
        scheduled_job(template={"env": [{"name": "A", "value": "1"}, {"name": "B", "value": "1"}], "podTemplate": user})
    )
    task, proxy = pod["spec"]["containers"]
    env = {entry["name"]: entry.get("value") for entry in task["env"]}
    assert (env["A"], env["B"], task["image"], proxy["image"], pod["spec"]["hostname"]) == (
        "2",
        "1",
        "tasks:1",
        "p:1",
        "h",
    )


def test_c31_containers_share_the_room_for_messages() -> None:
    more = [{"name": f"c{number}", "image": "x:1"} for number in range(5)]
    pod = pod_of(scheduled_job(template={"podTemplate": {"spec": {"containers": more}}}))
    assert {"name": "MERP_MESSAGE_LIMIT", "value": "2048"} in pod["spec"]["containers"][0]["env"]


def test_no_template_takes_our_labels_away() -> None:
    user = {"metadata": {"labels": {names.LABEL_SCHEDULED_JOB_UID: "someone-else", "team": "erp"}}}
    labels = pod_of(scheduled_job(template={"podTemplate": user}))["metadata"]["labels"]
    assert (labels[names.LABEL_SCHEDULED_JOB_UID], labels["team"]) == (UID, "erp")


def test_the_installations_environment_is_for_its_own_image_only() -> None:
    defaults = Defaults(image="tasks:1", time_zone="UTC", env=({"name": "URL", "value": "u"},))
    mine = {entry["name"] for entry in pod_of(scheduled_job(), defaults)["spec"]["containers"][0]["env"]}
    other = {
        entry["name"]
        for entry in pod_of(scheduled_job(template={"image": "x:1"}), defaults)["spec"]["containers"][0]["env"]
    }
    assert ("URL" in mine, "URL" in other) == (True, False)


@pytest.mark.parametrize(
    ("retry", "limit", "codes"),
    [
        pytest.param(None, 0, [2], id="default-with-a-task"),
        pytest.param({"limit": 3, "noRetryExitCodes": [42, 3, 42]}, 3, [3, 42], id="C34-sorted-without-repeats"),
        pytest.param({"limit": 1, "noRetryExitCodes": []}, 1, None, id="none-wanted"),
    ],
)
def test_retries(retry: Json | None, limit: int, codes: list[int] | None) -> None:
    spec = rendered(scheduled_job(retry=retry))["spec"]["jobTemplate"]["spec"]
    rules = {entry["action"]: entry for entry in spec["podFailurePolicy"]["rules"]}
    found = rules.get("FailJob", {}).get("onExitCodes", {}).get("values")
    assert (spec["backoffLimit"], found, "Ignore" in rules) == (limit, codes, True)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        pytest.param(scheduled_job(), None, id="nothing"),
        pytest.param(
            scheduled_job(schedule={"cron": "0 0 * * 7"}),
            (
                ConditionReason.INVALID_SCHEDULE,
                "schedule.cron: day-of-week: 7 in '7' is above 6: write Sunday as 0 or SUN",
            ),
            id="C01-cron",
        ),
        pytest.param(
            scheduled_job(schedule={"cron": "0 0 * * *", "timeZone": "asia/shanghai"}),
            (
                ConditionReason.INVALID_TIME_ZONE,
                "schedule.timeZone: 'asia/shanghai' is no zone: letter case counts, write Asia/Shanghai",
            ),
            id="C11-zone",
        ),
        pytest.param(
            scheduled_job(schedule={"cron": "0 0 31 2 *"}),
            (ConditionReason.NEVER_FIRES, "schedule.cron: '0 0 31 2 *' matches no moment of the next five years"),
            id="never",
        ),
        pytest.param(
            scheduled_job(task={"func": "inventory_chek"}),
            (
                ConditionReason.UNKNOWN_TASK,
                "task.func: the image tasks:1 has no task 'inventory_chek': did you mean inventory_check?",
            ),
            id="unknown-task",
        ),
        pytest.param(
            scheduled_job(task={"func": "echo", "kwargs": {"rows": ["x" * 100] * 1024}}),
            (
                ConditionReason.INVALID_PARAMETERS,
                "task.kwargs: args and kwargs have 105484 bytes as JSON, more than 65536: store the data elsewhere and "
                "pass where it is",
            ),
            id="100-KiB-of-rows",
        ),
        pytest.param(
            scheduled_job(task={"func": "other", "args": [nested(100)]}, template={"image": "mine:1"}),
            (ConditionReason.INVALID_PARAMETERS, "task.args: is nested deeper than 64: pass less, or a text"),
            id="nested-100",
        ),
        pytest.param(
            scheduled_job(task={"func": "other"}, template={"image": "mine:1"}), None, id="another-image-is-not-checked"
        ),
        pytest.param(
            scheduled_job(template={"podTemplate": {"spec": {"restartPolicy": "OnFailure"}}}),
            (
                ConditionReason.INVALID_TEMPLATE,
                "template.podTemplate.spec.restartPolicy: OnFailure would hide attempts from the Job: leave it out, it is Never",
            ),
            id="C34-restart-policy",
        ),
        pytest.param(
            scheduled_job(template={"podTemplate": {"metadata": {"labels": None}}}),
            (ConditionReason.INVALID_TEMPLATE, "template.podTemplate.metadata.labels: must be an object"),
            id="labels-that-are-null",
        ),
        pytest.param(
            scheduled_job(template={"podTemplate": {"spec": {"containers": [{"name": "task", "env": None}]}}}),
            (ConditionReason.INVALID_TEMPLATE, "template.podTemplate: env must be a list"),
            id="env-that-is-null",
        ),
        pytest.param(
            scheduled_job("history"),
            (ConditionReason.RESERVED_NAME, "metadata.name: history is a word of the REST API: choose another"),
            id="C44-reserved",
        ),
        pytest.param(
            scheduled_job(task={"func": "Echo:x"}),
            (ConditionReason.INVALID_SPEC, "task.func: String should match pattern '^[a-z][a-z0-9_]*$'"),
            id="unreadable",
        ),
        pytest.param(
            scheduled_job(retry={"noRetryExitCodes": [0]}),
            (ConditionReason.INVALID_SPEC, "retry.noRetryExitCodes.0: Input should be greater than or equal to 1"),
            id="C34-exit-code-0",
        ),
    ],
)
def test_problems_name_the_field_and_the_remedy(body: Json, expected: tuple[ConditionReason, str] | None) -> None:
    found = definition.problem(observed(body), DEFAULTS)
    assert (None if found is None else (found.reason, found.message)) == expected


def test_somebody_elses_cron_job_is_left_alone() -> None:
    foreign = {"metadata": {"name": "j", "namespace": "ns", "uid": "x", "labels": {}}}
    found = definition.problem(observed(scheduled_job(), the_cron_job=foreign), DEFAULTS)
    assert found is not None
    assert found.reason is ConditionReason.CRONJOB_EXISTS


@pytest.mark.parametrize(
    ("owner", "reason"),
    [
        pytest.param({"kind": "ScheduledJob", "name": "j", "uid": "before"}, "CannotApply", id="of-the-one-before"),
        pytest.param({"kind": "ScheduledJob", "name": "k", "uid": "k"}, "CronJobExists", id="of-another-job"),
        pytest.param({"kind": "HelmRelease", "name": "j", "uid": "r"}, "CronJobExists", id="of-another-kind"),
    ],
)
def test_the_cron_job_of_the_one_before_is_waited_for(owner: Json, reason: str) -> None:
    labels = {names.LABEL_MANAGED: "true", names.LABEL_SCHEDULED_JOB_UID: "before"}
    left = {"metadata": {"name": "j", "namespace": "ns", "uid": "x", "labels": labels, "ownerReferences": [owner]}}
    left |= {"spec": {"suspend": False}, "status": {"lastScheduleTime": "2026-11-25T12:00:00Z"}}
    seen = observed(scheduled_job(), the_cron_job=left)
    found = definition.problem(seen, DEFAULTS)
    assert found is not None
    assert found.reason.value == reason
    # What is made meanwhile must not go with it.
    assert desired.new_owner(seen)["uid"] == UID


def test_what_the_api_server_adds_is_no_drift_and_what_somebody_changes_is() -> None:
    wanted = rendered(scheduled_job())
    shown = cron_job(wanted)
    shown["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]["terminationMessagePath"] = (
        "/dev/termination-log"
    )
    assert desired.differs(wanted, shown) is False
    shown["spec"]["suspend"] = True
    assert desired.differs(wanted, shown) is True


def answer_to(request: Json, jobs: list[Json] | None = None, **spec: Any) -> requests.Create | requests.Refuse | None:
    shown = cron_job(rendered(scheduled_job()))
    seen = observed(scheduled_job(**spec), jobs, [request], shown)
    assert seen.spec is not None
    answers = requests.answers(seen, seen.spec, DEFAULTS)
    return answers[0] if answers else None


def test_a_request_becomes_a_job_of_the_cron_job() -> None:
    answer = answer_to(job_run(args=["b"], dueTime="2026-11-24T00:00:00Z"))
    assert isinstance(answer, requests.Create)
    metadata = answer.job["metadata"]
    template = answer.job["spec"]["template"]
    assert metadata["ownerReferences"][0]["uid"] == CRON_UID
    assert metadata["annotations"][names.ANNOTATION_DUE_TIME] == "2026-11-24T00:00:00Z"
    assert json.loads(template["metadata"]["annotations"][names.ANNOTATION_TASK]) == {
        "func": "echo",
        "args": ["b"],
        "kwargs": {},
    }
    assert answer_to(job_run(args=["b"], dueTime="2026-11-24T00:00:00Z")) == answer


@pytest.mark.parametrize(
    ("request_spec", "jobs", "policy", "expected"),
    [
        pytest.param({}, [job()], "Forbid", Reason.OVERLAP, id="overlap-is-forbidden"),
        pytest.param({}, [job()], "Allow", None, id="the-job-allows-it"),
        pytest.param({"concurrencyPolicy": "Allow"}, [job()], "Forbid", None, id="the-request-allows-it"),
        pytest.param({}, [job(status=complete())], "Forbid", None, id="the-other-is-finished"),
    ],
)
def test_overlap(request_spec: Json, jobs: list[Json], policy: str, expected: Reason | None) -> None:
    answer = answer_to(job_run(**request_spec), jobs, concurrencyPolicy=policy)
    found = answer.reason if isinstance(answer, requests.Refuse) else None
    assert found is expected
    assert isinstance(answer, requests.Create) is (expected is None)


def test_an_answered_request_is_not_answered_again() -> None:
    answered = job_run() | {"status": {"run": "j-r-1"}}
    refused = job_run() | {"status": {"conditions": [{"type": "Accepted", "status": "False", "reason": "Invalid"}]}}
    assert (answer_to(answered), answer_to(refused)) == (None, None)


def test_a_request_that_came_too_early_is_answered_when_its_job_is_there() -> None:
    early = job_run() | {"status": {"conditions": [{"type": "Accepted", "status": "False", "reason": UNKNOWN_JOB}]}}
    assert isinstance(answer_to(early), requests.Create)


def finished(number: int, *, good: bool) -> Json:
    return job(
        f"j-{29926800 - number}",
        uid=f"job-{number}",
        annotations={},
        status=complete() if good else failed("BackoffLimitExceeded"),
    )


@pytest.mark.parametrize(
    ("committed", "until", "age", "expected"),
    [
        pytest.param({"j-29926799", "j-29926798"}, DUE, timedelta(hours=1), ["j-29926798"], id="beyond-the-limit"),
        pytest.param(set(), DUE, timedelta(hours=1), [], id="not-recorded-yet"),
        pytest.param({"j-29926798"}, DUE, timedelta(seconds=-60), [], id="too-young"),
        pytest.param({"j-29926798"}, DUE - timedelta(hours=1), timedelta(hours=1), [], id="not-accounted-for-yet"),
    ],
)
def test_finished_jobs_go_when_they_are_recorded_and_old(
    committed: set[str], until: datetime, age: timedelta, expected: list[str]
) -> None:
    seen = observed(
        scheduled_job(history={"successful": 1, "failed": 0}), [finished(1, good=True), finished(2, good=True)]
    )
    assert seen.spec is not None
    accounted = Accounted(until=until, hash="x")
    found = desired.removable(seen, seen.spec, frozenset(committed), accounted, DUE + age)
    assert [run.name for run in found] == expected


def test_a_job_made_anew_does_not_inherit() -> None:
    old = job(labels={names.LABEL_SCHEDULED_JOB_UID: "another"})
    assert observed(scheduled_job(), [old]).runs == ()
    assert NOW > DUE
