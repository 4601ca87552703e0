"""What a container learns of its run, against what the runner itself makes of the same pod."""

from datetime import datetime
from typing import Any

import pytest

from merp_crds import names
from merp_crds.common import parse_rfc3339
from merp_crds.scheduledjob import ScheduledJobSpec
from merp_operator.template import pod_template
from merp_runner.context import context_of

Json = dict[str, Any]
UID = "11111111-1111-1111-1111-111111111111"
SPEC = ScheduledJobSpec.model_validate({"schedule": {"cron": "0 0 * * *"}, "template": {"image": "alpine:3"}})


def rendered(
    time_zone: str = "UTC",
    due_time: str | None = None,
    run_name: str | None = None,
    spec: ScheduledJobSpec = SPEC,
) -> Json:
    return pod_template(
        name="j",
        uid=UID,
        spec=spec,
        default_image="",
        time_zone=time_zone,
        due_time=due_time,
        run_name=run_name,
    )


def environment(pod: Json, run_name: str) -> dict[str, str]:
    """The container's environment as the kubelet makes it in the namespace erp: in order, names put in."""
    fields = {
        "metadata.namespace": "erp",
        "metadata.name": f"{run_name}-x7k2p",
        f"metadata.labels['{names.LABEL_JOB_NAME}']": run_name,
    }
    made: dict[str, str] = {}
    for entry in pod["spec"]["containers"][0]["env"]:
        value = entry["value"] if "value" in entry else fields[entry["valueFrom"]["fieldRef"]["fieldPath"]]
        for name, known in made.items():
            value = value.replace(f"$({name})", known)
        made[entry["name"]] = value
    return made


@pytest.mark.parametrize(
    ("time_zone", "due_time", "day"),
    [
        pytest.param("UTC", "2026-12-01T00:00:00Z", "2026-12-01", id="utc"),
        pytest.param("Asia/Shanghai", "2026-11-30T16:00:00Z", "2026-12-01", id="midnight-in-shanghai"),
        pytest.param("America/New_York", "2026-12-01T04:59:59Z", "2026-11-30", id="the-day-before-in-new-york"),
    ],
)
def test_any_image_learns_what_the_runner_would_tell_it(time_zone: str, due_time: str, day: str) -> None:
    due = parse_rfc3339(due_time)
    run_name = names.run_name_for_due_time("j", due)
    made = environment(rendered(time_zone, due_time, run_name), run_name)
    context = context_of(due, time_zone, made, lambda done, total, message: None)
    assert made["MERP_BUSINESS_DATE"] == day
    assert {name: made[name] for name in context.variables()} == context.variables()
    assert made["MERP_EXECUTION_ID"] == names.execution_id(UID, run_name)


def test_the_key_of_a_due_time_is_the_same_whichever_clock_started_it() -> None:
    due = datetime.fromisoformat("2026-12-01T00:00:00+00:00")
    run_name = names.run_name_for_due_time("j", due)
    native = environment(rendered(), run_name)
    ours = environment(rendered(due_time="2026-12-01T00:00:00Z", run_name=run_name), run_name)
    assert native["MERP_IDEMPOTENCY_KEY"] == ours["MERP_IDEMPOTENCY_KEY"] == f"erp/{run_name}"


def test_the_native_clocks_jobs_are_told_nothing_of_one_due_time() -> None:
    """All are of one template; a due time in it would be the same for every run."""
    assert not {"MERP_DUE_TIME", "MERP_BUSINESS_DATE", "MERP_EXECUTION_ID"} & environment(rendered(), "j-1").keys()


def test_only_the_tasks_own_container_is_told() -> None:
    both = {"image": "alpine:3", "podTemplate": {"spec": {"containers": [{"name": "proxy", "image": "p:1"}]}}}
    spec = ScheduledJobSpec.model_validate({"schedule": {"cron": "0 0 * * *"}, "template": both})
    task, proxy = rendered(due_time="2026-12-01T00:00:00Z", run_name="j-1", spec=spec)["spec"]["containers"]
    assert "MERP_DUE_TIME" in {entry["name"] for entry in task["env"]}
    assert "env" not in proxy
