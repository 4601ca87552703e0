"""The chart's admission policies on a real API server. No pod runs here: the API server itself is what is tested."""

import json
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from gateway_process import Answer, GatewayProcess
from guarded_namespace import CANCEL, CREATED_BY, PAUSED, Guarded, annotated, grant, job_run, rule, scheduled_job
from kube import Kube

pytestmark = pytest.mark.cluster

Json = dict[str, Any]

RELEASE = "guard"
WITHOUT_PODS = [
    *("--set", "operator.replicas=0"),
    *("--set", "catalogue.publish=false"),
    *("--set", "calendars.cn.create=false"),
]
PRIVILEGED = ["run_command", "sql_script", "database_backup", "database_restore_check"]
NO_PODS = "you may not create pods in this namespace"
# May change ScheduledJobs, and nothing that shapes pods.
DEV = "dev"
# The same, and pods.
OPS = "ops"
# May restore.
KEEPER = "keeper"
# What JSON has to escape, and what it need not.
ODD = 'a"n\\n 库𠮷'
# A service account's name is longer than 36 characters.
DEPLOYER = "system:serviceaccount:erp-production-environment:job-deployer-production"
VIEWER = "viewer"
STRANGER = "stranger"
# A pod that is as good as the node.
HOST = {
    "hostPID": True,
    "volumes": [{"name": "h", "hostPath": {"path": "/"}}],
    "containers": [{"name": "task", "securityContext": {"privileged": True}}],
}


@pytest.fixture(scope="module")
def guarded(chart, cluster, definitions) -> Iterator[Guarded]:
    kube = Kube(cluster, f"guard-{uuid.uuid4().hex[:8]}")
    cluster.api.kubectl("create", "namespace", kube.namespace)
    chart.on(kube, "install", RELEASE, str(chart.folder), *WITHOUT_PODS)
    changer = [rule("scheduler.merp.io", "scheduledjobs", "create", "get", "patch")]
    changer += [rule("scheduler.merp.io", "jobruns", "create")]
    grant(kube, "changer", changer, DEV, OPS, KEEPER, ODD, DEPLOYER)
    grant(kube, "pods", [rule("", "pods", "create")], OPS)
    grant(
        kube, "restorer", [rule("scheduler.merp.io", kind, "restore") for kind in ("scheduledjobs", "jobruns")], KEEPER
    )
    kube.kubectl("create", "rolebinding", "viewer", "--clusterrole=view", f"--user={VIEWER}")
    found = Guarded(kube, f"system:serviceaccount:{kube.namespace}:{RELEASE}-merp-scheduler-operator")
    # The API server takes up a new policy, and the jobs that one is given, a moment later.
    kube.until("rights", lambda: not found.creation(DEV, scheduled_job("r")))
    kube.until("pods", lambda: NO_PODS in found.creation(DEV, scheduled_job("p", template={"image": "x"})))
    kube.until("origin", lambda: CREATED_BY in found.creation(DEV, scheduled_job("o", {CREATED_BY: "x"})))
    kube.until("notes", lambda: "say who you are" in found.creation(DEV, scheduled_job("n", {PAUSED: '{"by": "bob"}'})))
    first = found.made(task={"func": "run_command"})
    kube.until("arguments", lambda: "privileged task" in found.creation(DEV, job_run(first, args=[["/bin/sh"]])))
    yield found
    chart.on(kube, "uninstall", RELEASE, "--wait")
    cluster.api.kubectl("delete", "namespace", kube.namespace, "--wait=false")


@pytest.fixture(scope="module")
def shared_job(guarded) -> str:
    """For changes that are tried only."""
    return guarded.made()


@pytest.fixture(scope="module")
def gateway(guarded, tmp_path_factory) -> Iterator[GatewayProcess]:
    """For users who ask by REST. There is no operator, so there are no records, and nothing here asks for any."""
    folder = tmp_path_factory.mktemp("gateway")
    process = GatewayProcess(folder, guarded.kube, folder / "records.db")
    process.start()
    yield process
    process.stop()


class TestPods:
    @pytest.mark.parametrize(
        ("user", "spec", "said"),
        [
            pytest.param(DEV, {"template": {"podTemplate": {"spec": HOST}}}, NO_PODS, id="C55-the-host"),
            pytest.param(DEV, {"template": {"serviceAccountName": "admin"}}, NO_PODS, id="C55-an-account"),
            pytest.param(DEV, {"connections": ["erp"]}, NO_PODS, id="C55-a-connection"),
            pytest.param(
                OPS,
                {"template": {"podTemplate": {"spec": {"serviceAccount": "admin"}}}},
                "you may not use the service account admin in this namespace",
                id="C55-an-account-of-somebody-who-may-create-pods",
            ),
            pytest.param(OPS, {"template": {"image": "x"}}, "", id="who-may-create-pods"),
            pytest.param(DEV, {}, "", id="nothing-that-shapes-pods"),
        ],
    )
    def test_who_shapes_pods_needs_the_right_to(self, guarded, user, spec, said):
        refused = guarded.creation(user, scheduled_job("j", **spec))
        assert said in refused
        assert bool(said) == bool(refused), refused


class TestPrivilegedTasks:
    @pytest.mark.parametrize(
        ("user", "func", "refused"),
        [
            *(pytest.param(DEV, func, True, id=f"C55-{func}") for func in PRIVILEGED),
            pytest.param(OPS, "run_command", False, id="who-may-create-pods"),
            pytest.param(DEV, "inventory_check", False, id="another-task"),
        ],
    )
    def test_to_create_a_job_of_one(self, guarded, user, func, refused):
        told = guarded.creation(user, scheduled_job("j", task={"func": func}))
        if refused:
            assert f"spec.task: {func} is a privileged task, and {NO_PODS}" in told
            assert "ask for the right to create pods" in told
        else:
            assert told == ""

    @pytest.mark.parametrize(
        ("user", "before", "spec", "refused"),
        [
            pytest.param(DEV, "run_command", {"task": {"args": [["/bin/sh"]]}}, True, id="C55-args-alone"),
            pytest.param(DEV, "run_command", {"task": {"kwargs": {"stdin": "x"}}}, True, id="C55-kwargs-alone"),
            pytest.param(DEV, "inventory_check", {"task": {"func": "sql_script"}}, True, id="C55-from-another-task"),
            pytest.param(DEV, "run_command", {"task": {"func": "sql_script"}}, True, id="C55-from-one-to-another"),
            pytest.param(OPS, "run_command", {"task": {"args": [["/bin/sh"]]}}, False, id="who-may-create-pods"),
            pytest.param(DEV, "run_command", {"schedule": {"cron": "0 1 * * *"}}, False, id="when-it-runs"),
            pytest.param(DEV, "run_command", {"task": {"func": "inventory_check"}}, False, id="to-another-task"),
            pytest.param(DEV, "inventory_check", {"task": {"args": ["all"]}}, False, id="args-of-another-task"),
            pytest.param(DEV, "run_command", {}, False, id="nothing"),
        ],
    )
    def test_to_change_one(self, guarded, user, before, spec, refused):
        name = guarded.made(task={"func": before, "args": [["/bin/true"]]})
        told = guarded.change(user, name, {"spec": spec})
        assert ("is a privileged task" in told) == refused
        assert bool(told) == refused, told

    @pytest.mark.parametrize(
        ("user", "func", "spec", "refused"),
        [
            pytest.param(DEV, "run_command", {"args": [["/bin/sh"]]}, True, id="C55-args"),
            pytest.param(DEV, "run_command", {"kwargs": {"stdin": "x"}}, True, id="C55-kwargs"),
            pytest.param(DEV, "run_command", {"args": []}, True, id="C55-without-the-jobs-args"),
            pytest.param(OPS, "run_command", {"args": [["/bin/sh"]]}, False, id="who-may-create-pods"),
            pytest.param(DEV, "run_command", {}, False, id="as-the-job-is"),
            pytest.param(
                DEV, "run_command", {"args": [["/bin/true"]], "kwargs": {}}, False, id="the-jobs-own-parameters"
            ),
            pytest.param(DEV, "inventory_check", {"args": [["/bin/sh"]]}, False, id="another-task"),
        ],
    )
    def test_to_run_one_with_other_parameters(self, guarded, user, func, spec, refused):
        name = guarded.made(task={"func": func, "args": [["/bin/true"]]})
        other = guarded.made(task={"func": "sql_script"})
        # The API server is told of the jobs by a watch: of the second only after the first.
        guarded.kube.until("it knows the jobs", lambda: guarded.creation(DEV, job_run(other, args=["x"])))
        told = guarded.creation(user, job_run(name, **spec))
        assert (f"spec.args and spec.kwargs: the job {name} calls the privileged task {func}" in told) == refused
        assert bool(told) == refused, told

    def test_a_request_for_a_job_that_is_not_there_is_the_operators_to_answer(self, guarded):
        assert guarded.creation(DEV, job_run("absent", args=["x"])) == ""

    def test_the_operators_own_writes_pass(self, guarded):
        name = guarded.made({CANCEL: '{"by": "ann"}'}, task={"func": "run_command"}, template={"image": "x"})
        assert (
            guarded.kube.kubectl("auth", "can-i", "list", "scheduledjobs", f"--as={guarded.operator}").strip() == "yes"
        )
        assert guarded.refusal(guarded.operator, "auth", "can-i", "create", "pods")
        status = {"apiVersion": "scheduler.merp.io/v1", "kind": "ScheduledJob", "metadata": {"name": name}}
        status |= {"status": {"observedGeneration": 1}}
        # kubectl's patch would read the status first, for which the operator has no right and no need.
        write = ["apply", "--server-side", "--subresource=status", "--dry-run=server", "-f", "-"]
        assert guarded.refusal(guarded.operator, *write, item=status) == ""
        assert guarded.change(guarded.operator, name, annotated(cancel=None)) == ""


class TestOrigin:
    @pytest.mark.parametrize(
        ("user", "claimed", "refused"),
        [
            pytest.param(DEV, "admin", True, id="C58-somebody-else"),
            pytest.param(DEPLOYER, DEPLOYER[:36], True, id="C58-cut"),
            pytest.param(DEPLOYER, DEPLOYER, False, id="C58-longer-than-36"),
            pytest.param(DEV, None, False, id="nobody"),
            pytest.param(KEEPER, "admin", False, id="a-restore"),
        ],
    )
    @pytest.mark.parametrize(
        "make", [pytest.param(scheduled_job, id="ScheduledJob"), pytest.param(job_run, id="JobRun")]
    )
    def test_who_created_it(self, guarded, make, user, claimed, refused):
        told = guarded.creation(user, make("j", {} if claimed is None else {CREATED_BY: claimed}))
        assert (f"leave it out, or say who you are, {user}" in told) == refused
        assert bool(told) == refused, told

    def test_c58_it_does_not_change(self, guarded):
        name = guarded.made({CREATED_BY: "ann"})
        for value in (DEV, None):
            assert "put back the old value" in guarded.change(DEV, name, annotated(created_by=value))
        assert guarded.change(KEEPER, name, annotated(created_by="bob")) == ""


class TestNotes:
    BOB = '{"by": "bob"}'
    DEVS = '{"by": "dev"}'

    @pytest.mark.parametrize("kind", ["paused", "cancel"])
    @pytest.mark.parametrize(
        ("user", "value", "refused"),
        [
            pytest.param(DEV, "", False, id="empty"),
            pytest.param(DEV, "true", False, id="no-json"),
            pytest.param(DEV, '{"reason": "by: bob"}', False, id="nobody"),
            pytest.param(DEV, r'{"reason": "\"by\": \"bob\""}', False, id="quoted-in-a-reason"),
            pytest.param(DEV, '{"by": "dev", "at": "2026-12-01T08:00:00Z", "reason": "x"}', False, id="the-requester"),
            pytest.param(DEV, '{"at":"x" ,"by"\n:\t"dev"}', False, id="the-requester-in-other-spaces"),
            pytest.param(ODD, json.dumps({"by": ODD}, ensure_ascii=False), False, id="the-requester-escaped"),
            pytest.param(KEEPER, BOB, False, id="a-restore"),
            pytest.param(DEV, BOB, True, id="C58-somebody-else"),
            pytest.param(DEV, '{"by": "dev2"}', True, id="C58-a-longer-name"),
            pytest.param(DEV, '{"by": "dev", "by": "bob"}', True, id="C58-twice"),
            pytest.param(DEV, r'{"by": "dev", "\u0062\u0079": "bob"}', True, id="C58-twice-escaped"),
            pytest.param(DEV, r'{"\u0062y": "bob"}', True, id="C58-the-key-escaped"),
            pytest.param(DEV, r'{"by": "\u0062ob"}', True, id="C58-the-name-escaped"),
            pytest.param(DEV, r'{"by": "dev\", \"x\": \""}', True, id="C58-a-quote-in-the-name"),
            pytest.param(DEV, '{"by": "bob", "by": "dev"}', True, id="C58-first-somebody-else"),
            pytest.param(DEV, '{"by": ["dev"]}', True, id="C58-no-string"),
            pytest.param(ODD, json.dumps({"by": ODD}), True, id="C58-escaped-without-need"),
        ],
    )
    def test_by_is_the_requester(self, guarded, shared_job, kind, user, value, refused):
        told = guarded.change(user, shared_job, annotated(**{kind: value}))
        if refused:
            key = annotated(**{kind: ""})["metadata"]["annotations"].popitem()[0]
            assert f'metadata.annotations[{key}]: leave "by" out, or say who you are: "by": "' in told
        else:
            assert told == ""

    def test_also_of_a_new_job(self, guarded):
        assert "say who you are" in guarded.creation(DEV, scheduled_job("j", {PAUSED: self.BOB}))
        assert guarded.creation(DEV, scheduled_job("j", {PAUSED: self.DEVS})) == ""

    @pytest.mark.parametrize(
        ("patch", "refused"),
        [
            pytest.param({"spec": {"schedule": {"cron": "0 1 * * *"}}}, False, id="another-field"),
            pytest.param(annotated(paused=None), False, id="one-taken-away"),
            pytest.param(annotated(cancel=DEVS), False, id="one-becomes-the-requesters"),
            pytest.param(annotated(cancel='{"by": "bob", "at": "x"}'), True, id="C58-one-changes"),
        ],
    )
    def test_what_somebody_else_wrote_may_stay(self, guarded, patch, refused):
        name = guarded.made({PAUSED: self.BOB, CANCEL: self.BOB})
        assert ("say who you are" in guarded.change(DEV, name, patch)) == refused

    def test_a_long_one_is_refused_before_it_costs(self, guarded, shared_job):
        told = guarded.change(DEV, shared_job, annotated(paused="x" * 8193))
        assert f"metadata.annotations[{PAUSED}]: has more than 8192 characters; shorten it" in told
        assert guarded.change(DEV, shared_job, annotated(paused='{"by": "dev"}'.ljust(8192))) == ""

    # With their names these are a bit less than the 256 KiB that annotations may have.
    @pytest.mark.parametrize(
        ("count", "length"), [pytest.param(2600, 48, id="short"), pytest.param(31, 8192, id="as-long-as-they-may-be")]
    )
    def test_as_many_as_an_object_holds_are_within_the_budget(self, guarded, shared_job, count, length):
        note = json.dumps({"by": "dev", "at": "2026-12-01T08:00:00Z"}).ljust(length)
        notes = {f"cancel.scheduler.merp.io/run-{number:06}": note for number in range(count)}
        patch = {"metadata": {"annotations": notes}}
        assert guarded.change(DEV, shared_job, patch) == ""
        notes["cancel.scheduler.merp.io/run-last"] = self.BOB
        assert "metadata.annotations[cancel.scheduler.merp.io/run-last]" in guarded.change(DEV, shared_job, patch)


class TestGateway:
    """A user who asks by REST: the gateway writes in the user's own name, and passes on what the API server refuses."""

    def test_c58_a_pause_says_who_asked(self, guarded, gateway):
        name = guarded.made()
        answer = gateway.ask("POST", f"/api/v1/jobs/{name}/pause", {"reason": '\\"by\\": "bob"\x01库'})
        assert answer.status in (200, 202), answer
        annotations = guarded.kube.get("scheduledjobs", name)["metadata"]["annotations"]
        assert json.loads(annotations[PAUSED])["by"] == gateway.name_of("clerk")

    def test_c58_the_longest_pause(self, guarded, gateway):
        answer = gateway.ask("POST", f"/api/v1/jobs/{guarded.made()}/pause", {"reason": "\x01" * 1024})
        assert answer.status in (200, 202), answer

    def test_c55_parameters_of_a_privileged_task_are_refused(self, guarded, gateway):
        name = guarded.made(task={"func": "run_command", "args": [["/bin/true"]]})
        path = f"/api/v1/jobs/{name}/execute"
        body = {"args": [["/bin/sh"]]}
        answer = guarded.kube.until("403", lambda: refused(gateway.ask("POST", path, body)))
        assert f"the job {name} calls the privileged task run_command, and {NO_PODS}" in answer.body["detail"]
        assert gateway.ask("POST", path).status == 202


def refused(answer: Answer) -> Answer | None:
    return answer if answer.status == 403 else None


class TestRoles:
    @pytest.mark.parametrize(
        ("user", "verb", "resource", "allowed"),
        [
            pytest.param(VIEWER, "list", "scheduledjobs", True, id="C58-reads-jobs"),
            pytest.param(VIEWER, "list", "jobruns", True, id="C58-reads-runs"),
            pytest.param(VIEWER, "create", "scheduledjobs", False, id="C58-creates-no-job"),
            pytest.param(VIEWER, "patch", "scheduledjobs", False, id="C58-changes-and-pauses-no-job"),
            pytest.param(VIEWER, "delete", "scheduledjobs", False, id="C58-deletes-no-job"),
            pytest.param(VIEWER, "create", "jobruns", False, id="C58-runs-no-job"),
            pytest.param(STRANGER, "list", "scheduledjobs", False, id="C58-without-rights"),
            pytest.param("system:anonymous", "list", "scheduledjobs", False, id="C56-without-a-token"),
            pytest.param("operator", "list", "secrets", False, id="C59-the-operator-reads-no-secrets"),
            pytest.param("operator", "get", "secrets", False, id="C59-not-one-secret"),
            pytest.param("api", "list", "scheduledjobs", True, id="C56-the-gateway-reads-jobs"),
            pytest.param("api", "create", "scheduledjobs", False, id="C56-the-gateway-creates-no-job-of-its-own"),
            pytest.param("api", "patch", "scheduledjobs", False, id="C56-the-gateway-changes-no-job-of-its-own"),
            pytest.param("api", "create", "jobruns", False, id="C56-the-gateway-runs-no-job-of-its-own"),
            pytest.param("api", "get", "secrets", False, id="C59-the-gateway-reads-no-secret"),
            pytest.param("api", "get", "pods/log", False, id="C59-the-gateway-reads-no-log-of-its-own"),
        ],
    )
    def test_who_may_what(self, guarded, user, verb, resource, allowed):
        if user in ("operator", "api"):
            user = f"system:serviceaccount:{guarded.kube.namespace}:{RELEASE}-merp-scheduler-{user}"
        assert (guarded.refusal(user, "auth", "can-i", verb, resource) == "") == allowed
