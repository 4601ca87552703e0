"""The examples, and the jobs that the pages show, name tasks that exist, with parameters that they take."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from jsonschema import Draft202012Validator

from merp_crds.scheduledjob import ScheduledJobSpec
from merp_runner.catalogue import entry
from merp_runner.tasks import REGISTRY

ROOT: Final = Path(__file__).parents[2]
OWN: Final = ROOT / "examples" / "own-tasks"
MANIFESTS: Final = sorted(ROOT.glob("examples/**/*.yaml"))
PAGE: Final = ROOT / "docs" / "tasks-predefined.md"


def jobs(path: Path) -> Iterator[dict[str, Any]]:
    for document in yaml.safe_load_all(path.read_text(encoding="utf-8")):
        if document["kind"] == "ScheduledJob":
            yield document["spec"]


def tasks_of_page(path: Path) -> Iterator[dict[str, Any]]:
    """Every `task:` of the indented blocks of a page."""
    text = path.read_text(encoding="utf-8")
    for block in re.findall(r"(?:^ {4}.*\n)+", text, re.MULTILINE):
        if re.match(r" {4}(task|spec):", block):
            found = yaml.safe_load(block)
            yield found["spec"]["task"] if "spec" in found else found["task"]


def check(task: dict[str, Any]) -> None:
    """By the catalogue, as the gateway and the console may do it."""
    made = entry(REGISTRY.resolve(task["func"]))
    positional = task.get("args") or []
    assert len(positional) <= len(made["positional"])
    given = dict(zip(made["positional"], positional, strict=False)) | (task.get("kwargs") or {})
    Draft202012Validator(made["parameters"]).validate(given)


@pytest.mark.parametrize("path", [pytest.param(path, id=str(path.relative_to(ROOT))) for path in MANIFESTS])
def test_manifest(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if path.parent == OWN and "own_tasks" not in {task.function.__module__ for task in REGISTRY.tasks.values()}:
        monkeypatch.syspath_prepend(str(OWN))
        import own_tasks  # type: ignore[import-not-found]  # registers its tasks

        assert own_tasks.allocate_cost
    for spec in jobs(path):
        ScheduledJobSpec.model_validate(spec)
        check(spec["task"])


def test_pages_jobs() -> None:
    tasks = list(tasks_of_page(PAGE))
    assert {task["func"] for task in tasks} == {"data_sync", "report", "run_command"}
    for task in tasks:
        check(task)
