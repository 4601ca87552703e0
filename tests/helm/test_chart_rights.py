"""The rights that the chart gives, against the calls that the programs make."""

from collections.abc import Iterable
from typing import Any

import pytest

# Each renders the chart by a helm of its own.
pytestmark = pytest.mark.processes

Json = dict[str, Any]
Right = tuple[str, str, str]

SCHEDULER = "scheduler.merp.io"
# (who calls, group, resource, verbs). A list goes with its watch; a server-side apply is a patch, and a create where
# there is nothing yet.
CALLS = [
    ("kopf, Watch.resync", SCHEDULER, "scheduledjobs", "list watch"),
    ("kopf, Watch.resync", SCHEDULER, "jobruns", "list watch"),
    ("kopf, Watch.resync", SCHEDULER, "jobpools", "list watch"),
    ("Watch.cron_jobs", "batch", "cronjobs", "list watch"),
    ("Watch.jobs", "batch", "jobs", "list watch"),
    ("Watch.pods", "", "pods", "list watch"),
    ("Cluster.scheduled_job", SCHEDULER, "scheduledjobs", "get"),
    ("Cluster.job", "batch", "jobs", "get"),
    ("Cluster.cron_job", "batch", "cronjobs", "get"),
    ("Cluster.apply_cron_job", "batch", "cronjobs", "patch create"),
    ("Cluster.suspend_cron_job", "batch", "cronjobs", "patch"),
    ("Cluster.delete_cron_job", "batch", "cronjobs", "delete"),
    ("Cluster.keep_books", "batch", "cronjobs/status", "patch"),
    ("Cluster.jobs_of", "batch", "jobs", "list"),
    ("Cluster.pods_of", "", "pods", "list"),
    ("Cluster.log_of", "", "pods/log", "get"),
    ("Cluster.create_job", "batch", "jobs", "create"),
    ("Cluster.end_run", "batch", "jobs", "patch"),
    ("Cluster.hand_over", "batch", "jobs", "patch"),
    ("Cluster.release", "batch", "jobs", "patch"),
    ("Cluster.job_run", SCHEDULER, "jobruns", "get"),
    ("Cluster.remove_annotations", SCHEDULER, "scheduledjobs", "patch"),
    ("Cluster.delete_job", "batch", "jobs", "delete"),
    ("Cluster.delete_job_run", SCHEDULER, "jobruns", "delete"),
    ("Cluster.write_status", SCHEDULER, "scheduledjobs/status", "patch"),
    ("Cluster.write_status", SCHEDULER, "jobruns/status", "patch"),
    ("Cluster.write_status", SCHEDULER, "jobpools/status", "patch"),
    ("Published.reflector", "", "configmaps", "list watch"),
    ("Cluster.create_event", "", "events", "create"),
    ("Cluster.warnings_of", "", "events", "list"),
]
CALENDARS = [
    ("Watch.calendars", SCHEDULER, "businesscalendars", "get list watch"),
    ("Cluster.write_status", SCHEDULER, "businesscalendars/status", "patch"),
]
DEFINITIONS = [("kopf", "apiextensions.k8s.io", "customresourcedefinitions", "list watch")]
NAMESPACES = [("kopf", "", "namespaces", "list watch")]


def called(table: Iterable[tuple[str, str, str, str]]) -> set[Right]:
    return {(group, resource, verb) for _, group, resource, verbs in table for verb in verbs.split()}


def granted(role: Json) -> set[Right]:
    return {
        (group, resource, verb)
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


class TestOperator:
    def test_everywhere_it_may_do_what_it_calls_and_nothing_else(self, chart):
        role = chart.objects().get("ClusterRole", "erp-system:erp-merp-scheduler")
        assert granted(role) == called(CALLS + DEFINITIONS + CALENDARS)

    def test_without_logs_in_the_records_it_reads_none(self, chart):
        role = chart.objects("operator.logTails=false").get("ClusterRole", "erp-system:erp-merp-scheduler")
        without = [call for call in CALLS if call[2] != "pods/log"]
        assert granted(role) == called(without + DEFINITIONS + CALENDARS)

    def test_without_catalogues_in_namespaces_it_reads_no_config_maps(self, chart):
        role = chart.objects("catalogue.fromNamespaces=false").get("ClusterRole", "erp-system:erp-merp-scheduler")
        without = [call for call in CALLS if call[2] != "configmaps"]
        assert granted(role) == called(without + DEFINITIONS + CALENDARS)

    def test_in_one_namespace_its_rights_end_there(self, chart):
        objects = chart.objects("watchNamespace=erp")
        role = objects.get("Role", "erp-merp-scheduler-operator")
        assert role["metadata"]["namespace"] == "erp"
        assert granted(role) == called(CALLS)
        everywhere = objects.get("ClusterRole", "erp-system:erp-merp-scheduler")
        assert granted(everywhere) == called(DEFINITIONS + NAMESPACES + CALENDARS)

    @pytest.mark.parametrize("values", [pytest.param((), id="all"), pytest.param(("watchNamespace=erp",), id="one")])
    def test_of_leases_it_may_keep_its_own(self, chart, values):
        objects = chart.objects(*values)
        role = objects.get("Role", "erp-merp-scheduler-operator-lease")
        assert role["metadata"].get("namespace", "erp-system") == "erp-system"
        assert granted(role) == called([("Elector", "coordination.k8s.io", "leases", "create get patch")])
        # RBAC cannot know the name of what is not there yet.
        assert [rule.get("resourceNames") for rule in role["rules"]] == [None, ["erp-merp-scheduler-operator"]]

    @pytest.mark.parametrize(
        ("kind", "binding", "role"),
        [
            pytest.param(
                "ClusterRoleBinding", "erp-system:erp-merp-scheduler", "erp-system:erp-merp-scheduler", id="everywhere"
            ),
            pytest.param(
                "RoleBinding", "erp-merp-scheduler-operator", "erp-merp-scheduler-operator", id="in-one-namespace"
            ),
            pytest.param(
                "RoleBinding", "erp-merp-scheduler-operator-lease", "erp-merp-scheduler-operator-lease", id="lease"
            ),
        ],
    )
    def test_they_are_its_accounts_alone(self, chart, kind, binding, role):
        bound = chart.objects("watchNamespace=erp").get(kind, binding)
        assert bound["roleRef"]["name"] == role
        assert bound["subjects"] == [
            {"kind": "ServiceAccount", "name": "erp-merp-scheduler-operator", "namespace": "erp-system"}
        ]


WATCHED = [
    ("Cache.jobs", SCHEDULER, "scheduledjobs", "list watch"),
    ("Cache.runs", SCHEDULER, "jobruns", "list watch"),
    ("Cache.pools", SCHEDULER, "jobpools", "list watch"),
]
OF_THE_CLUSTER = [
    ("Cache.calendars", SCHEDULER, "businesscalendars", "list watch"),
    ("OwnReviews.subject", "authentication.k8s.io", "tokenreviews", "create"),
    ("OwnReviews.allows", "authorization.k8s.io", "subjectaccessreviews", "create"),
]


class TestGateway:
    def test_everywhere_it_may_read_what_it_keeps_and_ask_who_may(self, chart):
        role = chart.objects().get("ClusterRole", "erp-system:erp-merp-scheduler:api")
        assert granted(role) == called(WATCHED + OF_THE_CLUSTER)

    def test_in_one_namespace_it_reads_there(self, chart):
        objects = chart.objects("watchNamespace=erp")
        role = objects.get("Role", "erp-merp-scheduler-api")
        assert role["metadata"]["namespace"] == "erp"
        assert granted(role) == called(WATCHED)
        everywhere = objects.get("ClusterRole", "erp-system:erp-merp-scheduler:api")
        assert granted(everywhere) == called(OF_THE_CLUSTER)

    @pytest.mark.parametrize(
        ("kind", "binding", "role"),
        [
            pytest.param(
                "ClusterRoleBinding",
                "erp-system:erp-merp-scheduler:api",
                "erp-system:erp-merp-scheduler:api",
                id="everywhere",
            ),
            pytest.param("RoleBinding", "erp-merp-scheduler-api", "erp-merp-scheduler-api", id="in-one-namespace"),
        ],
    )
    def test_they_are_its_accounts_alone(self, chart, kind, binding, role):
        bound = chart.objects("watchNamespace=erp").get(kind, binding)
        assert bound["roleRef"]["name"] == role
        assert bound["subjects"] == [
            {"kind": "ServiceAccount", "name": "erp-merp-scheduler-api", "namespace": "erp-system"}
        ]


class TestPublisher:
    def test_it_may_write_the_one_object(self, chart):
        role = chart.objects().get("Role", "erp-merp-scheduler-catalogue-publish")
        assert granted(role) == {("", "configmaps", "create"), ("", "configmaps", "patch")}
        assert [rule["resourceNames"] for rule in role["rules"]] == [["erp-merp-scheduler-catalogue"]]

    def test_without_it_there_is_no_hook(self, chart):
        objects = chart.objects("catalogue.publish=false", "calendars.cn.create=false")
        hooks = [(item["metadata"].get("annotations") or {}).get("helm.sh/hook") for item in objects.items]
        assert {hook for hook in hooks if hook} == {"test"}


class TestCalendars:
    @pytest.mark.parametrize("values", [pytest.param((), id="all"), pytest.param(("watchNamespace=erp",), id="one")])
    def test_what_makes_cn_may_write_that_one_only(self, chart, values):
        objects = chart.objects(*values)
        role = objects.get("ClusterRole", "erp-system:erp-merp-scheduler:calendars")
        assert granted(role) == called([("", SCHEDULER, "businesscalendars", "create patch")])
        assert [rule["resourceNames"] for rule in role["rules"]] == [["cn"]]
        bound = objects.get("ClusterRoleBinding", "erp-system:erp-merp-scheduler:calendars")
        assert bound["roleRef"]["name"] == "erp-system:erp-merp-scheduler:calendars"
        assert bound["subjects"] == [
            {"kind": "ServiceAccount", "name": "erp-merp-scheduler-calendars", "namespace": "erp-system"}
        ]


class TestUsers:
    @pytest.mark.parametrize(
        ("role", "rights", "built_in"),
        [
            pytest.param(
                "view",
                [
                    ("", SCHEDULER, "scheduledjobs", "get list watch"),
                    ("", SCHEDULER, "jobruns", "get list watch"),
                    ("", SCHEDULER, "jobpools", "get list watch"),
                    ("", SCHEDULER, "businesscalendars", "get list watch"),
                ],
                {"view", "edit", "admin"},
                id="view",
            ),
            pytest.param(
                "edit",
                [
                    ("", SCHEDULER, "scheduledjobs", "create update patch delete deletecollection"),
                    ("", SCHEDULER, "jobpools", "create update patch delete deletecollection"),
                    ("", SCHEDULER, "jobruns", "create delete deletecollection"),
                    ("", "", "serviceaccounts", "use"),
                ],
                {"edit", "admin"},
                id="edit",
            ),
            pytest.param(
                "admin",
                [("", SCHEDULER, "scheduledjobs", "restore"), ("", SCHEDULER, "jobruns", "restore")],
                {"admin"},
                id="admin",
            ),
        ],
    )
    def test_the_built_in_roles(self, chart, role, rights, built_in):
        found = chart.objects().get("ClusterRole", f"erp-system:erp-merp-scheduler:{role}")
        assert granted(found) == called(rights)
        prefix = "rbac.authorization.k8s.io/aggregate-to-"
        labels = found["metadata"]["labels"].items()
        assert {key.removeprefix(prefix) for key, value in labels if key.startswith(prefix) and value == "true"} == (
            built_in
        )

    @pytest.mark.parametrize("values", [pytest.param((), id="all"), pytest.param(("watchNamespace=erp",), id="one")])
    def test_nobody_gets_what_leads_to_more(self, chart, values):
        roles = [item for item in chart.objects(*values).items if item["kind"] in ("Role", "ClusterRole")]
        rights = {right for role in roles for right in granted(role)}
        assert not {right for right in rights if "*" in right}
        assert not {right for right in rights if right[2] in ("escalate", "bind", "impersonate")}
        assert not {right for right in rights if right[1].split("/")[0] in ("secrets", "roles", "clusterroles")}
        assert not [role for role in roles if any("nonResourceURLs" in rule for rule in role["rules"])]


class TestAdmission:
    @pytest.mark.parametrize(
        ("values", "names"),
        [
            pytest.param((), ["arguments", "origin", "pods"], id="default"),
            pytest.param(("admissionPolicy.privilegedTasks=null",), ["origin", "pods"], id="no-privileged-task"),
            pytest.param(("admissionPolicy.enabled=false",), [], id="off"),
        ],
    )
    def test_each_policy_is_bound(self, chart, values, names):
        objects = chart.objects(*values)
        names = [f"erp-system.erp-merp-scheduler.{name}" for name in names]
        assert objects.names("ValidatingAdmissionPolicy") == names
        assert objects.names("ValidatingAdmissionPolicyBinding") == names
        for name in names:
            binding = objects.get("ValidatingAdmissionPolicyBinding", name)
            assert (binding["spec"]["policyName"], binding["spec"]["validationActions"]) == (name, ["Deny"])

    def test_one_namespaces_policies_hold_there_only(self, chart):
        objects = chart.objects("watchNamespace=erp")
        bindings = [item for item in objects.items if item["kind"] == "ValidatingAdmissionPolicyBinding"]
        assert [item["spec"]["matchResources"] for item in bindings] == [
            {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "erp"}}}
        ] * 3

    @pytest.mark.parametrize(
        ("values", "listed"),
        [
            pytest.param(
                (), '["run_command","sql_script","database_backup","database_restore_check"]', id="those-of-the-image"
            ),
            pytest.param(("admissionPolicy.privilegedTasks={run_command,pay}",), '["run_command","pay"]', id="chosen"),
        ],
    )
    def test_the_privileged_tasks_are_the_same_for_jobs_and_for_requests(self, chart, values, listed):
        objects = chart.objects(*values)
        for name, part, expression in (
            ("pods", "variables", "privilegedTaskChanged"),
            ("arguments", "matchConditions", "the-job-is-privileged"),
        ):
            policy = objects.get("ValidatingAdmissionPolicy", f"erp-system.erp-merp-scheduler.{name}")
            expressions = {entry["name"]: entry["expression"] for entry in policy["spec"][part]}
            assert f"task.func in {listed}" in expressions[expression]

    def test_a_privileged_task_is_a_name(self, chart):
        refusal = chart.refusal("admissionPolicy.privilegedTasks={Run-Command}")
        assert "/admissionPolicy/privilegedTasks/0" in refusal or "admissionPolicy.privilegedTasks.0" in refusal
