"""What outlives a release, and how the next one goes on with it. No pod runs here: Helm's own rules are what is tested."""

import os
import re
import subprocess

import pytest

pytestmark = pytest.mark.cluster

KEPT = [
    "crd/scheduledjobs.scheduler.merp.io",
    "crd/jobruns.scheduler.merp.io",
    "crd/jobpools.scheduler.merp.io",
    "crd/businesscalendars.scheduler.merp.io",
    "priorityclass/merp-high",
]
CLAIM = "pvc/merp-scheduler-records"
WITHOUT_PODS = [
    *("--set", "operator.replicas=0"),
    *("--set", "catalogue.publish=false"),
    *("--set", "calendars.cn.create=false"),
]


@pytest.fixture
def helm(chart, kube):
    def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [str(chart.helm), "--namespace", kube.namespace, *arguments],
            env=os.environ | {"KUBECONFIG": str(kube.cluster.kubeconfig)},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    yield run
    for release in run("list", "--short").stdout.split():
        run("uninstall", release, "--wait")


def install(helm, chart, release):
    return helm("install", release, str(chart.folder), *WITHOUT_PODS)


def uid(kube, item):
    return kube.kubectl("get", item, "-o", "jsonpath={.metadata.uid}")


def owner(kube, item):
    return kube.kubectl("get", item, "-o", r"jsonpath={.metadata.annotations.meta\.helm\.sh/release-name}")


@pytest.mark.parametrize("second", [pytest.param("one", id="same-name"), pytest.param("two", id="another-name")])
def test_a_later_release_goes_on_with_what_was_kept(chart, kube, helm, second):
    first = install(helm, chart, "one")
    assert first.returncode == 0, first.stderr
    before = {item: uid(kube, item) for item in [*KEPT, CLAIM]}
    assert helm("uninstall", "one", "--wait").returncode == 0
    again = install(helm, chart, second)
    assert again.returncode == 0, again.stderr
    assert {item: uid(kube, item) for item in [*KEPT, CLAIM]} == before
    assert kube.kubectl("get", "deployments", "-o", "name").split() == [f"deployment.apps/{second}-merp-scheduler"]


def test_what_was_kept_is_handed_over_by_the_commands_of_the_notes(chart, kube, helm):
    assert install(helm, chart, "one").returncode == 0
    assert helm("uninstall", "one", "--wait").returncode == 0
    notes = install(helm, chart, "two").stdout
    assert owner(kube, CLAIM) == "one"
    commands = re.findall(r"^kubectl (-n \S+ (?:label|annotate) --overwrite .*)$", notes, re.MULTILINE)
    assert len(commands) == 2, notes
    for command in commands:
        kube.cluster.api.kubectl(*command.split())
    upgraded = helm("upgrade", "two", str(chart.folder), *WITHOUT_PODS, "--set", "persistence.keep=false")
    assert upgraded.returncode == 0, upgraded.stderr
    assert "--overwrite" not in upgraded.stdout
    assert owner(kube, CLAIM) == "two"
    assert helm("uninstall", "two", "--wait").returncode == 0
    assert kube.kubectl("get", "pvc", "-o", "name") == "", "it was the second release's to remove"


def test_one_namespace_has_one_installation(chart, kube, helm):
    assert install(helm, chart, "one").returncode == 0
    refused = install(helm, chart, "two")
    assert refused.returncode != 0
    assert f"the namespace {kube.namespace} already has an installation, the release one" in refused.stderr
