"""The description of the API: whole, true to its own schemas, and with a command for each operation in the docs."""

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from merp_api.description import render

ROOT = Path(__file__).parents[2]
DOCUMENT: dict[str, Any] = json.loads(render())
OPERATIONS = [
    (method, path, operation)
    for path, operations in DOCUMENT["paths"].items()
    for method, operation in operations.items()
]
OPEN = {"/healthz", "/readyz"}
each_operation = pytest.mark.parametrize(
    ("method", "path", "operation"), OPERATIONS, ids=[operation["operationId"] for _, _, operation in OPERATIONS]
)


def valid(schema: dict[str, Any], value: Any) -> bool:
    whole = schema | {"components": DOCUMENT["components"]}
    return Draft202012Validator(whole).is_valid(value)


def test_what_is_committed_is_what_the_code_says() -> None:
    assert (ROOT / "docs" / "openapi.json").read_text(encoding="utf-8") == render()


@each_operation
def test_an_operation_says_what_it_takes(method: str, path: str, operation: dict[str, Any]) -> None:
    assert operation["description"]
    assert operation["security"] == ([] if path in OPEN else [{"token": []}])
    assert set(re.findall(r"{(\w+)}", path)) == {
        parameter["name"] for parameter in operation.get("parameters", []) if parameter["in"] == "path"
    }
    assert [
        parameter["name"] for parameter in operation.get("parameters", []) if not parameter.get("description")
    ] == []
    for content in operation.get("requestBody", {}).get("content", {}).values():
        assert content["examples"]
        for example in content["examples"].values():
            assert valid(content["schema"], example["value"])


@each_operation
def test_an_operation_says_what_it_answers(method: str, path: str, operation: dict[str, Any]) -> None:
    answers = operation["responses"]
    assert path in OPEN or {"401", "429", "500", "502", "503"} <= answers.keys()
    assert any(status.startswith("2") for status in answers)
    for status, answer in answers.items():
        if "$ref" in answer:
            answer = DOCUMENT["components"]["responses"][answer["$ref"].rpartition("/")[2]]
            assert list(answer["content"]) == ["application/problem+json"]
            assert answer["content"]["application/problem+json"]["example"]["status"] == int(status)
        assert answer["description"]
        for content in answer.get("content", {}).values():
            assert valid(content["schema"], content["example"])


def commands() -> set[tuple[str, str]]:
    """Method and path of every curl of the page; `merp` is an alias of it with a token."""
    found = set()
    text = (ROOT / "docs" / "rest.md").read_text(encoding="utf-8")
    for match in re.finditer(r"^    ((?:merp|curl) .*(?:\n      .*)*)", text, re.MULTILINE):
        words = shlex.split(match[1])
        url = next(word for word in words if "$API" in word or word.startswith("http"))
        method = words[words.index("-X") + 1] if "-X" in words else "POST" if "-d" in words else "GET"
        path = url.replace("$API", "/api/v1").removeprefix("http://127.0.0.1:8005").partition("?")[0]
        found.add((method.lower(), path))
    return found


def test_every_operation_has_a_command_in_the_docs() -> None:
    patterns = {(method, path): re.compile(re.sub(r"{\w+}", "[^/]+", path)) for method, path, _ in OPERATIONS}
    fixed = {path for _, path in patterns if "{" not in path}
    shown = {
        (method, path)
        for (method, path), pattern in patterns.items()
        for asked, url in commands()
        if asked == method and pattern.fullmatch(url) and (url not in fixed or url == path)
    }
    assert sorted(patterns.keys() - shown) == []
