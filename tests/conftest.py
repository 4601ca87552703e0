"""What every test on the cluster stands on: the cluster itself, the product's images in it, a namespace of its own."""

import gc
import logging
import subprocess
import uuid
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from kube import Kube

from merp_cluster import buildah
from merp_cluster import images as product_images
from merp_cluster.cluster import Cluster
from merp_cluster.commands import wait_until
from merp_cluster.errors import ClusterError
from merp_cluster.files import digest, lock
from merp_records.engine import create_engine, database_url
from merp_records.migrations import upgrade

ROOT = Path(__file__).parents[1]
_LOG_LINES = 40
_DEFINED_SECONDS = 300.0
_BUILDING = Path("/run/lock/merp-test-tasks.lock")
# Suites share the machine: how long an example takes, or the making of one, says nothing of the code.
settings.register_profile("shared", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("shared")


class _Loggers(dict[str, Any]):
    """All loggers by name. pytest goes through them between two phases of a test, and must not fail over a new one that
    a thread has made meanwhile, such as the first that migrates a database, which a fixture began."""

    def values(self) -> list[Any]:  # type: ignore[override]  # of another type, and as good for whoever goes through it
        return list(super().values())


logging.Logger.manager.loggerDict = _Loggers(logging.Logger.manager.loggerDict)


def pytest_sessionstart() -> None:
    """Collect no garbage while thousands of tests are found: all of it stays, and looking at it takes a third."""
    gc.disable()


def pytest_collection_finish() -> None:
    """Nor look at it again for each test."""
    gc.enable()
    gc.collect()
    gc.freeze()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """With a failure go the last lines of the logs that the test's processes wrote into its folder."""
    report = yield
    folder = getattr(item, "funcargs", {}).get("tmp_path")
    if report.failed and folder is not None:
        for log in sorted(folder.rglob("*.log")):
            lines = log.read_text(errors="replace").splitlines()[-_LOG_LINES:]
            report.sections.append((f"the end of {log.relative_to(folder)}", "\n".join(lines)))
    return report


@pytest.fixture(scope="session")
def cluster() -> Cluster:
    """The embedded cluster, up. It stays up for the next time; `make down` ends it."""
    found = Cluster()
    found.up()
    return found


@pytest.fixture(scope="session")
def images(cluster: Cluster) -> dict[str, str]:
    """The product's images, by short name, built from this very tree and in the cluster."""
    built = product_images.build_all()
    cluster.load(list(built.values()))
    return built


@pytest.fixture(scope="session")
def task_image(cluster: Cluster) -> str:
    """The runner with the tests' own tasks; the only image that most tests need in the cluster."""
    runner = product_images.build_all(("runner",))["runner"]
    folder = ROOT / "tests" / "job_images" / "tasks"
    # Of its content: another tree's tasks are another image. And one suite builds it, the others find it.
    content = [runner, *(path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file())]
    name = f"{product_images.REGISTRY}/test-tasks:{digest(content)}"
    command = ["buildah", "bud", "--quiet", "--layers", "--build-arg", f"RUNNER={runner}", "-t", name, str(folder)]
    with lock(_BUILDING, "it builds the image of the tests' tasks"):
        if not buildah.exists(name):
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr
    cluster.load([name])
    return name


@pytest.fixture(scope="session")
def definitions(cluster: Cluster) -> None:
    """The custom resources, as committed."""
    for kind in ("scheduledjob", "jobrun", "businesscalendar", "jobpool"):
        # Forced: the chart's copy may have been there before, and it is the same.
        cluster.api.kubectl("apply", "--server-side", "--force-conflicts", "-f", str(ROOT / "crds" / f"{kind}.yaml"))

    def are_served() -> bool:
        # A definition that is established is served, and found by kubectl, a moment later.
        try:
            cluster.api.kubectl("get", "scheduledjobs,jobruns,businesscalendars,jobpools", "--all-namespaces")
        except ClusterError:
            return False
        return True

    wait_until(are_served, _DEFINED_SECONDS, failed=lambda: ClusterError("the custom resources are not served"))


@pytest.fixture
def kube(cluster: Cluster, definitions: None) -> Iterator[Kube]:
    """A namespace of the test's own."""
    name = f"t-{uuid.uuid4().hex[:8]}"
    cluster.api.kubectl("create", "namespace", name)
    yield Kube(cluster, name)
    cluster.api.kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with the schema and no rows, to be copied."""
    path = tmp_path_factory.mktemp("migrated") / "records.db"
    engine = create_engine(database_url(sqlite_path=path))
    upgrade(engine)
    engine.dispose()
    return path
