"""The catalogue: what an image can run, as JSON Schema 2020-12."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from jsonschema import Draft202012Validator, FormatChecker
from merp_test_tasks import echo_args, sleep_async
from runner_pod import Pod

from merp_runner import Context, ParameterError
from merp_runner.catalogue import catalogue, entry
from merp_runner.parameters import bind, signature_of
from merp_runner.tasks import REGISTRY, Registry
from merp_tasks.inventory import inventory_check


def plan(
    plant: str,
    day: date,
    horizon_days: Annotated[int, "Days that are planned"] = 30,
    *,
    levels: list[int] | None = None,
    pair: tuple[int, str] = (1, "a"),
    mode: Literal["full", "fast"] = "full",
    limit: Decimal = Decimal("1.50"),
    by_sku: dict[str, float] = {},  # noqa: B006 - a default is shown, never changed
    context: Context,
) -> None:
    """Plan production.

    The rest of the text is for readers of the code.
    """


def registry_of(*functions: Any) -> Registry:
    registry = Registry()
    for function in functions:
        registry.register(function)
    return registry


def test_entry() -> None:
    made = catalogue(registry_of(plan))["tasks"]
    assert made == [
        {
            "name": "plan",
            "title": {},
            "description": "Plan production.",
            "descriptions": {},
            "source": f"{__name__}.plan",
            "async": False,
            "positional": ["plant", "day", "horizon_days"],
            "positional_only": [],
            "parameters": {
                "$schema": "https://json-schema.org/draft/2020-12/schema",
                "type": "object",
                "properties": {
                    "plant": {"type": "string"},
                    "day": {"type": "string", "format": "date"},
                    "horizon_days": {"type": "integer", "default": 30, "description": "Days that are planned"},
                    "levels": {
                        "anyOf": [{"type": "array", "items": {"type": "integer"}}, {"type": "null"}],
                        "default": None,
                    },
                    "pair": {
                        "type": "array",
                        "minItems": 2,
                        "maxItems": 2,
                        "prefixItems": [{"type": "integer"}, {"type": "string"}],
                        "default": [1, "a"],
                    },
                    "mode": {"enum": ["full", "fast"], "default": "full"},
                    "limit": {
                        "anyOf": [
                            {"type": "number"},
                            {"type": "string", "pattern": r"^[+-]?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?$"},
                        ],
                        "default": "1.50",
                    },
                    "by_sku": {"type": "object", "additionalProperties": {"type": "number"}, "default": {}},
                },
                "required": ["plant", "day"],
                "additionalProperties": False,
            },
        }
    ]


def test_open_ends_are_told() -> None:
    made = entry(registry_of(echo_args).resolve("echo_args"))
    assert (made["rest"], made["parameters"]["additionalProperties"]) == ({}, {})


def test_async_is_told() -> None:
    assert entry(registry_of(sleep_async).resolve("sleep_async"))["async"] is True


def test_the_seeds_task_is_shown_in_both_languages() -> None:
    made = entry(registry_of(inventory_check).resolve("inventory_check"))
    assert made["positional"] == ["warehouse", "detailed", "tolerance_percent"]
    assert REGISTRY.resolve("inventory_check").title == {"en": "Stock-taking", "zh": "库存盘点"}


def test_every_schema_is_valid_and_its_defaults_fit() -> None:
    made = catalogue(REGISTRY)
    assert made["broken"] == []
    assert {"inventory_check", "echo_args"} < {each["name"] for each in made["tasks"]}
    json.dumps(made, allow_nan=False)
    for each in made["tasks"]:
        Draft202012Validator.check_schema(each["parameters"])
        for name, schema in each["parameters"]["properties"].items():
            if "default" in schema:
                assert Draft202012Validator(schema).is_valid(schema["default"]), (each["name"], name)


@pytest.mark.parametrize(
    ("description", "plain", "by_language"),
    [
        pytest.param(None, "Plan production.", {}, id="of-the-docstring"),
        pytest.param("Plans.", "Plans.", {}, id="text"),
        pytest.param({"zh": "计划。"}, "Plan production.", {"zh": "计划。"}, id="chinese-beside-the-docstring"),
        pytest.param({"en": "Plans.", "zh": "计划。"}, "Plans.", {"en": "Plans.", "zh": "计划。"}, id="both"),
    ],
)
def test_descriptions_by_language(description: Any, plain: str, by_language: dict[str, str]) -> None:
    registry = Registry()
    made = entry(registry.register(plan, description=description))
    assert (made["description"], made["descriptions"]) == (plain, by_language)


@pytest.mark.parametrize(
    ("kwargs", "valid"),
    [
        pytest.param({"plant": "p", "day": "2026-12-01"}, True, id="least"),
        pytest.param({"plant": "p", "day": "2026-12-01", "levels": [1], "pair": [2, "b"]}, True, id="containers"),
        pytest.param({"plant": "p", "day": "2026-12-01", "horizon_days": 2.0}, True, id="whole-float"),
        pytest.param({"plant": "p", "day": "2026-12-01", "limit": "2.5"}, True, id="decimal"),
        pytest.param({"plant": "p"}, False, id="missing"),
        pytest.param({"plant": "p", "day": "2026-02-30"}, False, id="no-such-day"),
        pytest.param({"plant": 1, "day": "2026-12-01"}, False, id="wrong-type"),
        pytest.param({"plant": "p", "day": "2026-12-01", "mode": "slow"}, False, id="no-choice"),
        pytest.param({"plant": "p", "day": "2026-12-01", "pair": [1]}, False, id="tuple-too-short"),
        pytest.param({"plant": "p", "day": "2026-12-01", "horizon_days": True}, False, id="bool-is-no-int"),
        pytest.param({"plant": "p", "day": "2026-12-01", "limit": "x"}, False, id="no-decimal"),
        pytest.param({"plant": "p", "day": "2026-12-01", "more": 1}, False, id="unknown"),
        pytest.param({"plant": "p", "day": "2026-12-01", "context": {}}, False, id="context-given"),
    ],
)
def test_schema_and_runner_agree(kwargs: dict[str, Any], valid: bool) -> None:
    schema = entry(registry_of(plan).resolve("plan"))["parameters"]
    context: Any = None
    assert Draft202012Validator(schema, format_checker=FormatChecker()).is_valid(kwargs) is valid
    if valid:
        bind(signature_of(plan), [], kwargs, context)
    else:
        with pytest.raises(ParameterError):
            bind(signature_of(plan), [], kwargs, context)


def test_what_is_broken_is_told_and_hides_no_other() -> None:
    def unreadable(raw: bytes) -> None:
        """Take what JSON cannot give."""

    registry = registry_of(plan, unreadable)
    registry.broken["absent_module"] = "ModuleNotFoundError: no"
    made = catalogue(registry)
    assert [each["name"] for each in made["tasks"]] == ["plan"]
    assert made["broken"][0] == {"module": "absent_module", "error": "ModuleNotFoundError: no"}
    assert made["broken"][1]["task"] == "unreadable"
    assert "cannot come from JSON" in made["broken"][1]["error"]


PREDEFINED = [name for name, task in sorted(REGISTRY.tasks.items()) if task.source.startswith("merp_tasks.")]


@pytest.mark.parametrize("name", PREDEFINED)
def test_predefined_tasks_say_what_they_are_in_full(name: str) -> None:
    made = entry(REGISTRY.resolve(name))
    assert set(made["title"]) == {"en", "zh"}
    assert made["description"].endswith(".")
    assert made["descriptions"]["zh"].endswith("。")
    assert [
        parameter for parameter, schema in made["parameters"]["properties"].items() if "description" not in schema
    ] == []


def test_every_predefined_task_and_parameter_is_documented() -> None:
    page = (Path(__file__).parents[2] / "docs/tasks-predefined.md").read_text(encoding="utf-8")
    sections = dict(re.findall(r"^## ([a-z_]+)\n(.*?)(?=^## )", page, re.MULTILINE | re.DOTALL))
    assert sorted(sections) == PREDEFINED
    for name, section in sections.items():
        documented = set(re.findall(r"`([a-z_]+)`", "".join(re.findall(r"^\| (`.*?) \|", section, re.MULTILINE))))
        assert documented >= set(entry(REGISTRY.resolve(name))["parameters"]["properties"]), name


def test_it_is_printed_as_a_config_map(call_main: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    assert call_main("catalogue", "--config-map", "erp.tasks-1", "--image", " erp@sha256:0a ") == 0
    made = json.loads(capsys.readouterr().out)
    assert made["metadata"] == {"name": "erp.tasks-1", "labels": {"scheduler.merp.io/catalogue": "true"}}
    assert made["data"].keys() == {"image", "catalogue.json"}
    assert made["data"]["image"] == "erp@sha256:0a"
    assert json.loads(made["data"]["catalogue.json"]) == catalogue(REGISTRY)


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        pytest.param(["--config-map", "erp-tasks"], "--image: is needed with --config-map", id="no-image"),
        pytest.param(["--config-map", "erp-tasks", "--image", " "], "--image: is needed", id="blank-image"),
        pytest.param(["--config-map", "Erp_Tasks", "--image", "a:1"], "--config-map: invalid", id="no-name"),
        pytest.param(["--config-map", "x" * 254, "--image", "a:1"], "--config-map: invalid", id="name-too-long"),
    ],
)
def test_wrong_arguments_are_told(
    call_main: Callable[..., int], capsys: pytest.CaptureFixture[str], argv: list[str], says: str
) -> None:
    try:
        code = call_main("catalogue", *argv)
    except SystemExit as ended:  # argparse's own
        code = int(ended.code or 0)
    printed = capsys.readouterr()
    assert (code, printed.out) == (2, "")
    assert says in printed.err


def test_one_that_no_config_map_holds_is_not_printed(
    call_main: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    REGISTRY.register(plan, "long_winded", description="x" * 2**20)
    assert call_main("catalogue", "--config-map", "erp-tasks", "--image", "a:1") == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert re.search(r"the catalogue has \d+ bytes, and a ConfigMap holds 1048576: shorten descriptions", printed.err)
    assert call_main("catalogue") == 0


@pytest.mark.processes
def test_what_a_module_prints_is_no_part_of_it(pod: Pod) -> None:
    (pod.folder / "talkative.py").write_text("print('hello from the import')\n", encoding="utf-8")
    pod.modules = "talkative"
    done = subprocess.run(
        [sys.executable, "-S", "-P", "-m", "merp_runner", "catalogue", "--config-map", "c", "--image", "a:1"],
        env=pod.variables(), capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert json.loads(done.stdout)["kind"] == "ConfigMap"
    assert done.stderr == "hello from the import\n"
