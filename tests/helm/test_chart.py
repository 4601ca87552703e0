"""What the chart renders, by values."""

import json
from typing import Any

import pytest

from merp_operator import calendars

# Each renders the chart by a helm of its own.
pytestmark = pytest.mark.processes

Json = dict[str, Any]

MYSQL = (
    "database.type=mysql",
    "database.host=mariadb.db.svc",
    "database.existingSecret=merp-database",
    "database.existingSecretKey=secret-key",
)
TOKEN_FOLDER = "/var/run/secrets/kubernetes.io/serviceaccount"
# Every value set that changes which pods there are.
INSTALLATIONS = [
    pytest.param((), id="sqlite"),
    pytest.param(("persistence.emptyDir=true",), id="sqlite-without-volume"),
    pytest.param(MYSQL, id="mysql"),
    pytest.param((*MYSQL, "api.replicas=2", "watchNamespace=erp"), id="mysql-one-namespace"),
]
# Values that are made of values, and that the templates look into.
SECTIONS = [
    *("global", "images", "jobDefaults", "database", "persistence", "crds", "priorityClasses", "aggregatedRoles"),
    *("admissionPolicy", "calendars", "catalogue", "operator", "api", "service", "serviceAccount", "networkPolicy"),
    "metrics",
]


def container(pod: Json, name: str) -> Json:
    return next(entry for entry in pod["containers"] if entry["name"] == name)


def env(entry: Json) -> dict[str, Any]:
    return {one["name"]: one.get("value", one.get("valueFrom")) for one in entry["env"]}


def containers(pod: Json) -> list[Json]:
    return [*pod.get("initContainers", []), *pod["containers"]]


class TestShape:
    def test_the_default_is_one_pod_on_one_volume(self, chart):
        objects = chart.objects()
        assert objects.names("Deployment") == ["erp-merp-scheduler"]
        deployment = objects.get("Deployment", "erp-merp-scheduler")
        assert deployment["spec"]["strategy"] == {"type": "Recreate"}
        pod = deployment["spec"]["template"]["spec"]
        assert [entry["name"] for entry in pod["containers"]] == ["operator", "api"]
        assert objects.names("PersistentVolumeClaim") == ["merp-scheduler-records"]
        claims = [volume["persistentVolumeClaim"] for volume in pod["volumes"] if "persistentVolumeClaim" in volume]
        assert claims == [{"claimName": "merp-scheduler-records"}]
        for entry in pod["containers"]:
            assert {"name": "records", "mountPath": "/var/lib/merp"} in entry["volumeMounts"]
            assert env(entry)["MERP_SQLITE_PATH"] == "/var/lib/merp/records.db"
            assert "DB_HOST" not in env(entry)

    def test_mysql_is_two_deployments_without_a_volume(self, chart):
        objects = chart.objects(*MYSQL)
        assert objects.names("Deployment") == ["erp-merp-scheduler-api", "erp-merp-scheduler-operator"]
        assert objects.names("PersistentVolumeClaim") == []
        for pod in (objects.pods()[f"Deployment/erp-merp-scheduler-{name}"] for name in ("api", "operator")):
            variables = env(pod["containers"][0])
            assert variables["DB_HOST"] == "mariadb.db.svc"
            assert variables["DB_PORT"] == "3306"
            assert variables["DB_PASSWORD"] == {"secretKeyRef": {"name": "merp-database", "key": "secret-key"}}
            assert "MERP_SQLITE_PATH" not in variables

    @pytest.mark.parametrize(
        ("values", "budgets"),
        [
            pytest.param((), [], id="sqlite"),
            pytest.param((*MYSQL, "operator.replicas=1"), [], id="one-of-each"),
            pytest.param(MYSQL, ["erp-merp-scheduler-operator"], id="mysql"),
            pytest.param(
                (*MYSQL, "api.replicas=2"),
                ["erp-merp-scheduler-api", "erp-merp-scheduler-operator"],
                id="two-gateways",
            ),
        ],
    )
    def test_a_budget_only_where_there_is_more_than_one_pod(self, chart, values, budgets):
        objects = chart.objects(*values)
        assert objects.names("PodDisruptionBudget") == budgets
        for name in budgets:
            selector = objects.get("PodDisruptionBudget", name)["spec"]["selector"]["matchLabels"].items()
            assert selector <= objects.get("Deployment", name)["spec"]["template"]["metadata"]["labels"].items()

    @pytest.mark.parametrize(
        ("values", "replicas", "strategy"),
        [
            pytest.param((), 1, "Recreate", id="sqlite"),
            pytest.param(("operator.replicas=0",), 0, "Recreate", id="sqlite-stopped"),
            pytest.param(MYSQL, 2, "RollingUpdate", id="mysql"),
            pytest.param((*MYSQL, "operator.replicas=5"), 5, "RollingUpdate", id="mysql-five"),
            pytest.param((*MYSQL, "operator.replicas=0"), 0, "RollingUpdate", id="mysql-stopped"),
        ],
    )
    def test_how_many_operators_there_are_and_that_they_share_a_lease(self, chart, values, replicas, strategy):
        objects = chart.objects(*values)
        name = "erp-merp-scheduler-operator" if MYSQL[0] in values else "erp-merp-scheduler"
        deployment = objects.get("Deployment", name)["spec"]
        assert (deployment["replicas"], deployment["strategy"]["type"]) == (replicas, strategy)
        variables = env(container(deployment["template"]["spec"], "operator"))
        assert (variables["MERP_LEASE_NAMESPACE"], variables["MERP_LEASE_NAME"]) == (
            "erp-system",
            "erp-merp-scheduler-operator",
        )
        assert variables["MERP_POD_NAME"]["fieldRef"]["fieldPath"] == "metadata.name"

    @pytest.mark.parametrize(
        ("values", "keys"),
        [
            pytest.param((), ["topology.kubernetes.io/zone", "kubernetes.io/hostname"], id="default"),
            pytest.param(
                ("topologySpreadConstraints[0].topologyKey=rack", "topologySpreadConstraints[0].maxSkew=1"),
                ["rack"],
                id="given",
            ),
        ],
    )
    def test_pods_of_one_kind_are_spread(self, chart, values, keys):
        objects = chart.objects(*MYSQL, *values)
        for component in ("api", "operator"):
            template = objects.get("Deployment", f"erp-merp-scheduler-{component}")["spec"]["template"]
            spread = template["spec"]["topologySpreadConstraints"]
            assert [entry["topologyKey"] for entry in spread] == keys
            labels = template["metadata"]["labels"].items()
            assert all(entry.get("labelSelector", {}).get("matchLabels", {}).items() <= labels for entry in spread)

    @pytest.mark.parametrize("values", [pytest.param((), id="sqlite"), pytest.param(MYSQL, id="mysql")])
    def test_each_service_selects_one_deployment(self, chart, values):
        objects = chart.objects(*values)
        for service in ("erp-merp-scheduler", "erp-merp-scheduler-metrics", "erp-merp-scheduler-api-metrics"):
            selector = objects.get("Service", service)["spec"]["selector"].items()
            matched = [
                item["metadata"]["name"]
                for item in objects.items
                if item["kind"] == "Deployment" and selector <= item["spec"]["template"]["metadata"]["labels"].items()
            ]
            assert len(matched) == 1, service

    @pytest.mark.parametrize(
        ("release", "name"),
        [
            pytest.param("erp", "erp-merp-scheduler", id="another-name"),
            pytest.param("merp-scheduler", "merp-scheduler", id="the-charts-name"),
            pytest.param("a" * 53, "a" * 40, id="the-longest-name"),
        ],
    )
    def test_names(self, chart, release, name):
        objects = chart.objects(release=release)
        assert objects.names("Deployment") == [name]
        too_long = [item for item in objects.items if len(item["metadata"]["name"]) > 63 and item["kind"] == "Service"]
        assert too_long == []

    def test_the_claim_is_the_same_for_every_release(self, chart):
        claims = {release: chart.objects(release=release).names("PersistentVolumeClaim") for release in ("one", "two")}
        assert claims == {"one": ["merp-scheduler-records"], "two": ["merp-scheduler-records"]}

    @pytest.mark.parametrize(
        ("values", "image"),
        [
            pytest.param((), "merp-operator:0.1.0", id="default"),
            pytest.param(("images.operator.tag=v2",), "merp-operator:v2", id="tag"),
            pytest.param(
                ("images.operator.tag=v2", f"images.operator.digest=sha256:{'a' * 64}"),
                f"merp-operator@sha256:{'a' * 64}",
                id="digest-wins",
            ),
            pytest.param(
                ("global.imageRegistry=mirror.example:5000/x/",),
                "mirror.example:5000/x/merp-operator:0.1.0",
                id="mirror",
            ),
        ],
    )
    def test_images(self, chart, values, image):
        pod = chart.objects(*values).pods()["Deployment/erp-merp-scheduler"]
        assert container(pod, "operator")["image"] == image

    def test_runs_get_the_tasks_image_that_the_catalogue_is_of(self, chart):
        objects = chart.objects("images.tasks.repository=erp/tasks", "images.tasks.tag=v7")
        pods = objects.pods()
        for entry in pods["Deployment/erp-merp-scheduler"]["containers"]:
            assert env(entry)["MERP_DEFAULT_IMAGE"] == "erp/tasks:v7"
        hook = pods["Job/erp-merp-scheduler-catalogue-publish"]
        assert [entry["image"] for entry in hook["initContainers"]] == ["erp/tasks:v7"]
        assert hook["containers"][0]["command"][-1] == "erp/tasks:v7"

    def test_catalogues_of_further_images_are_mounted_where_both_services_look(self, chart):
        objects = chart.objects("catalogue.configMaps={erp-tasks,wms.tasks}", "catalogue.fromNamespaces=false")
        pod = objects.pods()["Deployment/erp-merp-scheduler"]
        volumes = {volume["name"]: volume.get("configMap") for volume in pod["volumes"]}
        for entry in pod["containers"]:
            folder = env(entry)["MERP_CATALOGUES"]
            mounted = {mount["mountPath"]: volumes[mount["name"]] for mount in entry["volumeMounts"]}
            for name in ("erp-tasks", "wms.tasks"):
                # Optional: one that is not there yet must not hold up the pod.
                assert mounted[f"{folder}/{name}"] == {"name": name, "optional": True}
        assert env(container(pod, "operator"))["MERP_PUBLISHED_CATALOGUES"] == "false"


class TestCalendars:
    @pytest.mark.parametrize(
        ("values", "spec"),
        [
            pytest.param((), {"builtIn": "CN"}, id="default"),
            pytest.param(
                (
                    "calendars.cn.holidays[0].date=2027-01-01",
                    "calendars.cn.holidays[0].name=元旦 $(HOME) $$",
                    "calendars.cn.workdays[0].date=2027-01-03",
                    "calendars.cn.validThrough=2027-12-31",
                ),
                {
                    "builtIn": "CN",
                    "holidays": [{"date": "2027-01-01", "name": "元旦 $(HOME) $$"}],
                    "workdays": [{"date": "2027-01-03"}],
                    "validThrough": "2027-12-31",
                },
                id="own-days",
            ),
        ],
    )
    def test_cn_is_made_of_the_values(self, chart, values, spec):
        pod = chart.objects(*values).pods()["Job/erp-merp-scheduler-calendars"]
        *command, name, given = container(pod, "provide")["command"]
        assert (command[-1], name) == ("merp_operator.provide", "cn")
        # As the kubelet reads it: a dollar before a dollar stands for one.
        assert json.loads(given.replace("$$", "$")) == spec
        assert calendars.read({"metadata": {"name": name}, "spec": spec})[1] == ""

    def test_the_definition_and_the_calendar_come_from_the_same_helm_run(self, chart):
        objects = chart.objects()
        assert "BusinessCalendar" not in {item["kind"] for item in objects.items}, "helm would not find its kind"
        assert "businesscalendars.scheduler.merp.io" in objects.names("CustomResourceDefinition")

    def test_it_can_be_left_out(self, chart):
        objects = chart.objects("calendars.cn.create=false")
        assert "Job/erp-merp-scheduler-calendars" not in objects.pods()
        assert [name for name in objects.names("ClusterRole") if name.endswith(":calendars")] == []


class TestSecrets:
    @pytest.mark.parametrize("values", INSTALLATIONS)
    def test_only_the_services_and_the_hooks_have_a_token(self, chart, values):
        with_token = set()
        for owner, pod in chart.objects(*values).pods().items():
            assert pod["automountServiceAccountToken"] is False, owner
            tokens = {
                volume["name"]
                for volume in pod["volumes"]
                if any("serviceAccountToken" in source for source in volume.get("projected", {}).get("sources", []))
                or volume.get("secret", {}).get("secretName") == "erp-merp-scheduler-api-token"
            }
            for entry in containers(pod):
                mounts = [mount for mount in entry["volumeMounts"] if mount["name"] in tokens]
                folder = "/etc/merp-account" if entry["name"] == "api" else TOKEN_FOLDER
                assert [mount["mountPath"] for mount in mounts] == [folder] * len(mounts)
                assert len(mounts) <= 1, "one has the rights of one account"
                with_token |= {entry["name"]} if mounts else set()
        assert with_token == {"operator", "api", "publish", "provide"}

    def test_in_one_pod_the_gateways_token_is_not_the_operators(self, chart):
        objects = chart.objects()
        pod = objects.pods()["Deployment/erp-merp-scheduler"]
        assert pod["serviceAccountName"] == "erp-merp-scheduler-operator"
        assert env(container(pod, "api"))["MERP_TOKEN_FILE"] == "/etc/merp-account/token"
        volume = next(volume for volume in pod["volumes"] if volume["name"] == "api-account")
        secret = objects.get("Secret", volume["secret"]["secretName"])
        assert secret["metadata"]["annotations"] == {"kubernetes.io/service-account.name": "erp-merp-scheduler-api"}

    @pytest.mark.parametrize("values", INSTALLATIONS)
    def test_no_account_mounts_its_token_by_itself(self, chart, values):
        objects = chart.objects(*values)
        accounts = [item for item in objects.items if item["kind"] == "ServiceAccount"]
        assert accounts
        assert all(item["automountServiceAccountToken"] is False for item in accounts)

    @pytest.mark.parametrize("values", INSTALLATIONS)
    def test_c56_no_password_and_no_secret_is_rendered(self, chart, values):
        objects = chart.objects(*values)
        for secret in (item for item in objects.items if item["kind"] == "Secret"):
            # The cluster fills it.
            assert secret["type"] == "kubernetes.io/service-account-token"
            assert not {"data", "stringData"} & secret.keys()
        plain = {
            (owner, entry["name"], variable["name"])
            for owner, pod in objects.pods().items()
            for entry in containers(pod)
            for variable in entry.get("env", [])
            if "PASSWORD" in variable["name"] and "value" in variable
        }
        assert plain == set()

    def test_the_gateway_knows_the_api_server_by_the_clusters_certificate_alone(self, chart):
        pod = chart.objects(*MYSQL).pods()["Deployment/erp-merp-scheduler-api"]
        api = container(pod, "api")
        assert env(api)["MERP_API_SERVER_CA"] == "/etc/merp-api-server/ca.crt"
        volume = next(volume for volume in pod["volumes"] if volume["name"] == "api-server-ca")
        assert volume["configMap"]["name"] == "kube-root-ca.crt"

    @pytest.mark.parametrize("values", INSTALLATIONS)
    def test_every_container_is_restricted(self, chart, values):
        for owner, pod in chart.objects(*values).pods().items():
            assert pod["securityContext"]["runAsNonRoot"] is True, owner
            assert pod["securityContext"]["runAsUser"] == 10001
            assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
            assert pod["enableServiceLinks"] is False
            assert not {"hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace"} & pod.keys()
            assert not any("hostPath" in volume for volume in pod["volumes"])
            for entry in containers(pod):
                assert entry["securityContext"] == {
                    "allowPrivilegeEscalation": False,
                    "readOnlyRootFilesystem": True,
                    "capabilities": {"drop": ["ALL"]},
                }
                assert {"name": "tmp", "mountPath": "/tmp"} in entry["volumeMounts"], "a read-only root needs a /tmp"
                assert entry["resources"]["limits"]["memory"], entry["name"]

    def test_c56_the_service_is_reachable_in_the_cluster_alone(self, chart):
        service = chart.objects().get("Service", "erp-merp-scheduler")
        assert (service["spec"]["type"], service["spec"]["ports"][0]["port"]) == ("ClusterIP", 8005)


class TestRefusals:
    @pytest.mark.parametrize(
        ("values", "says"),
        [
            pytest.param(
                ("database.type=mysql", "database.host=db"),
                "database.existingSecret is empty: the password of merp_user comes from a Secret that you make",
                id="no-secret",
            ),
            pytest.param(
                ("database.type=mysql", "database.existingSecret=s"), "database.host is empty", id="mysql-without-host"
            ),
            pytest.param(("database.host=db",), "say --set database.type=mysql", id="host-with-sqlite"),
            pytest.param(
                ("api.replicas=2",), "api.replicas is more than 1: an SQLite file serves one pod", id="sqlite-twice"
            ),
            pytest.param(
                ("operator.replicas=2",),
                "operator.replicas is more than 1: an SQLite file serves one pod; set database.type=mysql",
                id="sqlite-with-a-standby",
            ),
            pytest.param(
                ("persistence.emptyDir=true", "persistence.existingClaim=c"), "are both set", id="two-volumes"
            ),
            pytest.param(("service.nodePort=30005",), "say --set service.type=NodePort", id="node-port-of-cluster-ip"),
            pytest.param(
                ("watchNamespace=erp", "api.defaultNamespace=wms"),
                "api.defaultNamespace is wms, but the operator serves erp alone",
                id="jobs-go-where-nobody-serves-them",
            ),
            pytest.param(
                ("fullnameOverride=1erp",),
                "fullnameOverride 1erp begins with a digit",
                id="name-that-begins-with-a-digit",
            ),
            pytest.param(
                ("metrics.serviceMonitor.enabled=true", "metrics.serviceMonitor.renderMode=failIfMissing"),
                "the cluster knows no ServiceMonitor",
                id="no-service-monitor",
            ),
        ],
    )
    def test_what_cannot_work_is_refused_with_the_remedy(self, chart, values, says):
        assert says in chart.refusal(*values)

    @pytest.mark.parametrize(
        "release", [pytest.param("2027-erp", id="begins-with-a-digit"), pytest.param("erp.cn", id="has-a-dot")]
    )
    def test_a_release_that_cannot_name_a_service_is_refused_before_anything_is_made(self, chart, release):
        assert f"the release's name {release} cannot begin" in chart.refusal(release=release)
        objects = chart.objects("fullnameOverride=erp", release=release)
        assert objects.names("Service") == ["erp", "erp-api-metrics", "erp-metrics"]

    @pytest.mark.parametrize(
        ("value", "field"),
        [
            pytest.param("databse.type=mysql", "databse", id="top-level-name"),
            pytest.param("database.pasword=x", "pasword", id="nested-name"),
            pytest.param("database.password=x", "password", id="a-password-as-a-value"),
            pytest.param("database.type=postgres", "/database/type", id="unknown-database"),
            pytest.param("operator.replicas=6", "/operator/replicas", id="six-operators"),
            pytest.param("logLevel=verbose", "/logLevel", id="log-level"),
            pytest.param("images.api.repository=merp-api:1.0", "/images/api/repository", id="tag-in-repository"),
            pytest.param("images.api.digest=abc", "/images/api/digest", id="digest"),
            pytest.param("defaultTimeZone=Local", "/defaultTimeZone", id="zone-local"),
            pytest.param("watchNamespace=Erp", "/watchNamespace", id="namespace"),
            pytest.param("persistence.size=big", "/persistence/size", id="size"),
            pytest.param("calendars.cn=false", "/calendars/cn", id="calendar-without-create"),
            pytest.param(
                r"podLabels.app\.kubernetes\.io/name=x",
                "/podLabels/app.kubernetes.io",
                id="a-label-that-the-chart-finds-its-pods-by",
            ),
            pytest.param(
                r"podLabels.scheduler\.merp\.io/serves-api=x", "/podLabels/scheduler.merp.io", id="a-label-of-ours"
            ),
            pytest.param("jobDefaults.env[0].name=A,jobDefaults.env[0].value=1", "/env/0/value", id="env-of-a-number"),
            pytest.param("api.extraEnv[0].name=A,api.extraEnv[0].value=true", "/extraEnv/0/value", id="env-of-true"),
            pytest.param("podLabels.team=a b", "/podLabels/team", id="a-value-that-no-label-has"),
            pytest.param("enabled=false", "/enabled", id="switched-off-where-no-chart-is-around-it"),
            pytest.param("calendars.de.create=true", "de", id="a-calendar-that-the-chart-does-not-make"),
            pytest.param("calendars.cn.validThrough=2027", "/calendars/cn/validThrough", id="calendar-end"),
            pytest.param("calendars.cn.holidays[0].date=1.1.2027", "/calendars/cn/holidays/0/date", id="calendar-day"),
            pytest.param("calendars.cn.workdays[0].day=2027-01-03", "day", id="calendar-day-by-another-name"),
        ],
    )
    def test_the_schema_names_the_wrong_value(self, chart, value, field):
        said = chart.refusal(value)
        assert "values don't meet the specifications of the schema" in said
        assert field in said


class TestLifecycle:
    @pytest.mark.parametrize(
        ("values", "kept"),
        [
            pytest.param(
                (),
                {
                    "CustomResourceDefinition/businesscalendars.scheduler.merp.io",
                    "CustomResourceDefinition/jobpools.scheduler.merp.io",
                    "CustomResourceDefinition/jobruns.scheduler.merp.io",
                    "CustomResourceDefinition/scheduledjobs.scheduler.merp.io",
                    "PersistentVolumeClaim/merp-scheduler-records",
                    "PriorityClass/merp-high",
                    "PriorityClass/merp-low",
                },
                id="default",
            ),
            pytest.param(
                ("crds.keep=false", "persistence.keep=false"),
                {"PriorityClass/merp-high", "PriorityClass/merp-low"},
                id="asked-for-removal",
            ),
            pytest.param(
                ("crds.install=false", "priorityClasses.create=false", "persistence.emptyDir=true"), set(), id="nothing"
            ),
        ],
    )
    def test_what_an_uninstall_keeps(self, chart, values, kept):
        annotated = {
            f"{item['kind']}/{item['metadata']['name']}"
            for item in chart.objects(*values).items
            if (item["metadata"].get("annotations") or {}).get("helm.sh/resource-policy") == "keep"
        }
        assert annotated == kept

    @pytest.mark.parametrize("values", INSTALLATIONS)
    def test_nothing_holds_up_an_uninstall(self, chart, values):
        objects = chart.objects(*values)
        hooks = {(item["metadata"].get("annotations") or {}).get("helm.sh/hook") for item in objects.items} - {None}
        assert hooks == {"pre-install,pre-upgrade", "post-install,post-upgrade", "test"}
        assert not [item for item in objects.items if item["metadata"].get("finalizers")]
        assert not [name for kind in ("ValidatingWebhookConfiguration",) for name in objects.names(kind)]

    def test_a_changed_setting_starts_new_pods(self, chart):
        before, after = (
            json.dumps(chart.objects(*values).pods()["Deployment/erp-merp-scheduler"])
            for values in ((), ("defaultTimeZone=Asia/Shanghai",))
        )
        assert before != after

    @pytest.mark.parametrize(
        "sections",
        [
            pytest.param(SECTIONS, id="whole-ones"),
            pytest.param(
                ["images.operator", "images.api", "images.tasks", "calendars.cn", "metrics.service"], id="parts"
            ),
        ],
    )
    def test_a_section_that_an_older_charts_values_lack_is_named(self, chart, sections):
        """`helm upgrade --reuse-values` leaves out what a chart added since: the template would say nil pointer."""
        said = chart.refusal(*(f"{section}=null" for section in sections))
        assert "missing propert" in said
        assert [section for section in sections if f"'{section.rpartition('.')[2]}'" not in said] == []

    @pytest.mark.parametrize(
        "value", ["operator.extraVolumes", "api.extraVolumes", "networkPolicy.apiServerPorts", "global.imageRegistry"]
    )
    def test_a_value_that_is_written_and_left_empty_is_none(self, chart, value):
        assert chart.objects(f"{value}=null").names("Deployment") == ["erp-merp-scheduler"]

    def test_a_chart_around_it_may_switch_it_on(self, chart):
        """By a condition, which Helm hands on as a value of the chart's own."""
        assert chart.objects("enabled=true", "global.storageClass=fast").names("Deployment") == ["erp-merp-scheduler"]

    def test_priority_classes(self, chart):
        objects = chart.objects()
        values = {name: objects.get("PriorityClass", name) for name in objects.names("PriorityClass")}
        assert {name: (item["value"], item["globalDefault"]) for name, item in values.items()} == {
            "merp-high": (100_000, False),
            "merp-low": (-100_000, False),
        }

    def test_the_notes_and_the_whole_chart_pass_the_strict_lint(self, chart):
        done = chart.run("lint", "--strict", "--kube-version", "1.34.4", str(chart.folder))
        assert done.returncode == 0, done.stdout + done.stderr
