"""What the chart tells the gateway: its limits, which tasks are privileged, where metrics and templates are."""

import pytest

from merp_api.settings import Settings

# Each renders the chart by a helm of its own.
pytestmark = pytest.mark.processes

MYSQL = ("database.type=mysql", "database.host=db", "database.existingSecret=merp-database")


def gateway(chart, *values):
    """The gateway's container."""
    [found] = [
        entry for pod in chart.objects(*values).pods().values() for entry in pod["containers"] if entry["name"] == "api"
    ]
    return found


def variables(chart, *values):
    return {entry["name"]: entry.get("value") for entry in gateway(chart, *values)["env"]}


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        pytest.param((), (50.0, 200, 10, 100), id="defaults"),
        pytest.param(
            (
                "api.limits.requestsPerSecond=5",
                "api.limits.requestBurst=99999",
                "api.limits.streamsPerUser=3",
                "api.limits.streams=10000",
            ),
            (5.0, 99_999, 3, 10_000),
            id="others",
        ),
        pytest.param(("api.limits.requestsPerSecond=0",), (0.0, 200, 10, 100), id="any-number"),
    ],
)
def test_limits_are_those_of_the_values(chart, monkeypatch, values, expected):
    for name, value in variables(chart, *values).items():
        if name.startswith(("MERP_REQUEST", "MERP_STREAMS")):
            monkeypatch.setenv(name, value)
    found = Settings(_env_file=None)
    limits = (
        found.merp_requests_per_second,
        found.merp_request_burst,
        found.merp_streams_per_user,
        found.merp_streams,
    )
    assert limits == expected


@pytest.mark.parametrize(
    "value",
    [
        pytest.param("api.limits.requestsPerSecond=-1", id="negative"),
        pytest.param("api.limits.streams=0", id="none"),
        pytest.param("api.limits.requestBurst=1000000", id="too-many"),
        pytest.param("api.limits.nope=1", id="unknown"),
    ],
)
def test_wrong_limits_are_refused(chart, value):
    assert value.partition("=")[0].rpartition(".")[2] in chart.refusal(value)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        pytest.param((), "run_command,sql_script,database_backup,database_restore_check", id="defaults"),
        pytest.param(("admissionPolicy.privilegedTasks={pay}",), "pay", id="others"),
        pytest.param(("admissionPolicy.enabled=false",), None, id="nothing-checks-them"),
    ],
)
def test_privileged_tasks_are_those_of_the_policy(chart, values, expected):
    assert variables(chart, *values).get("MERP_PRIVILEGED_TASKS") == expected


def test_templates_are_looked_for_beside_the_installation(chart):
    assert variables(chart)["MERP_TEMPLATE_NAMESPACE"] == "erp-system"


@pytest.mark.parametrize("values", [pytest.param((), id="sqlite"), pytest.param(MYSQL, id="mysql")])
def test_metrics_have_a_port_and_a_service(chart, values):
    assert variables(chart, *values)["MERP_METRICS_PORT"] == "8006"
    assert {"name": "api-metrics", "containerPort": 8006} in gateway(chart, *values)["ports"]
    service = chart.objects(*values).get("Service", "erp-merp-scheduler-api-metrics")
    assert service["spec"]["ports"] == [{"name": "metrics", "port": 8006, "targetPort": "api-metrics"}]
    policy = chart.objects(*values).get("NetworkPolicy", "erp-merp-scheduler")
    assert {"port": "api-metrics", "protocol": "TCP"} in policy["spec"]["ingress"][1]["ports"]
