"""The generated definitions: structural, limited, described, and up to date."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from merp_crds.businesscalendar import BusinessCalendarSpec, BusinessCalendarStatus
from merp_crds.common import Model
from merp_crds.scheduledjob import ScheduledJobSpec, ScheduledJobStatus
from merp_crds.schema import KINDS, Kind, definition, structural

ROOT = Path(__file__).parents[2]
Json = dict[str, Any]


def nodes(schema: Json, path: str = "") -> Iterator[tuple[str, Json]]:
    yield path, schema
    for name, part in schema.get("properties", {}).items():
        yield from nodes(part, f"{path}.{name}")
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), dict):
            yield from nodes(schema[key], f"{path}[]")


def schema_of(kind: Kind) -> Json:
    whole: Json = definition(kind)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return whole


@pytest.mark.parametrize("kind", [pytest.param(kind, id=kind.kind) for kind in KINDS])
def test_every_node_is_typed_limited_and_described(kind: Kind) -> None:
    problems = []
    for path, node in nodes(schema_of(kind)):
        free = node.get("x-kubernetes-preserve-unknown-fields")
        if "type" not in node and not free:
            problems.append(f"{path}: no type")
        if (
            node.get("type") == "string"
            and "maxLength" not in node
            and "enum" not in node
            and path not in (".apiVersion", ".kind")
        ):
            problems.append(f"{path}: no maxLength")
        if node.get("type") == "array" and "maxItems" not in node:
            problems.append(f"{path}: no maxItems")
        if node.get("type") == "object" and not (
            free or "properties" in node or "maxProperties" in node or path == ".metadata"
        ):
            problems.append(f"{path}: no maxProperties")
        if not path.endswith("[]") and path != ".metadata" and not node.get("description"):
            problems.append(f"{path}: no description")
        if {"$ref", "anyOf", "allOf", "title"} & set(node):
            problems.append(f"{path}: not structural")
    assert problems == []


def test_defaults_are_on_scalar_leaves_only() -> None:
    found = [
        path
        for path, node in nodes(structural(ScheduledJobSpec))
        if "default" in node and node["type"] in ("object", "array")
    ]
    assert found == []


def test_the_spec_has_every_field_of_the_design_in_order() -> None:
    assert list(structural(ScheduledJobSpec)["properties"]) == [
        "displayName",
        "description",
        "schedule",
        "missed",
        "task",
        "template",
        "connections",
        "priority",
        "priorityClassName",
        "pool",
        "dependsOn",
        "dependencyPolicy",
        "concurrencyPolicy",
        "maxQueued",
        "retry",
        "timeoutSeconds",
        "pendingTimeoutSeconds",
        "suspend",
        "history",
    ]


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(ScheduledJobStatus, id="ScheduledJob"),
        pytest.param(BusinessCalendarStatus, id="BusinessCalendar"),
        pytest.param(BusinessCalendarSpec, id="BusinessCalendar-spec"),
    ],
)
def test_what_the_model_writes_the_schema_keeps(model: type[Model]) -> None:
    known = set(structural(model)["properties"])
    assert known == {field.alias for field in model.model_fields.values()}


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        pytest.param(
            "scheduledjob.yaml",
            ["Schedule", "TZ", "Ready", "Paused", "Active", "Last Run", "Result", "Next Run", "Age"],
            id="ScheduledJob",
        ),
        pytest.param("businesscalendar.yaml", ["Built-In", "Valid Through", "Ready", "Age"], id="BusinessCalendar"),
    ],
)
def test_columns(file: str, expected: list[str]) -> None:
    crd = yaml.safe_load((ROOT / "crds" / file).read_text(encoding="utf-8"))
    columns = [
        entry["name"] for entry in crd["spec"]["versions"][0]["additionalPrinterColumns"] if entry["priority"] == 0
    ]
    assert columns == expected


def test_calendars_are_in_no_namespace_and_all_else_is() -> None:
    scopes = {kind.kind: definition(kind)["spec"]["scope"] for kind in KINDS}
    assert scopes.pop("BusinessCalendar") == "Cluster"
    assert set(scopes.values()) == {"Namespaced"}


def test_check_is_content_with_what_is_committed_and_names_what_is_not(tmp_path: Path) -> None:
    def check(root: Path) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "merp_crds", "--check", "--root", str(root)]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    assert check(ROOT).returncode == 0
    stale = check(tmp_path)
    assert stale.returncode == 1
    assert "crds/scheduledjob.yaml" in stale.stderr
