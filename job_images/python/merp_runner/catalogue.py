"""The catalogue: which tasks an image has and what they take, for whoever checks a ScheduledJob before it runs."""

from __future__ import annotations

import json
import re
from typing import Any

from merp_runner.errors import TaskDefinitionError
from merp_runner.jsonsafe import json_safe
from merp_runner.parameters import Parameter, Signature, signature_of
from merp_runner.tasks import Registry, Task

DIALECT = "https://json-schema.org/draft/2020-12/schema"
# What the API server takes of data in a ConfigMap.
MAX_BYTES = 2**20
LABEL = "scheduler.merp.io/catalogue"
_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*", re.ASCII)
_MAX_NAME = 253


def catalogue(registry: Registry) -> dict[str, Any]:
    """{"v": 1, "tasks": [entry, …] by name, "broken": [{"module" or "task", "error"}, …]}.

    `broken` is empty if all is well. A task whose annotations cannot be read, or whose name is taken twice, is broken;
    it hides no other.
    """
    entries = []
    broken = [{"module": module, "error": error} for module, error in sorted(registry.broken.items())]
    for name in sorted(registry.tasks):
        try:
            entries.append(entry(registry.resolve(name)))
        except TaskDefinitionError as error:
            broken.append({"task": name, "error": str(error)})
    return {"v": 1, "tasks": entries, "broken": broken}


def text_of(made: dict[str, Any]) -> str:
    """A catalogue as it is printed and published."""
    return json.dumps(made, ensure_ascii=False, indent=2)


def config_map_name(text: str) -> str:
    """The name of a ConfigMap, as it is. Raises ValueError where Kubernetes would refuse it."""
    if len(text) > _MAX_NAME or _NAME.fullmatch(text) is None:
        raise ValueError(text)
    return text


def config_map(name: str, image: str, made: dict[str, Any]) -> dict[str, Any]:
    """The ConfigMap by which operator and gateway know the tasks of `image`, in no namespace yet."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "labels": {LABEL: "true"}},
        "data": {"image": image, "catalogue.json": text_of(made)},
    }


def entry(task: Task) -> dict[str, Any]:
    """One task: name, title, description, descriptions, source, async, positional, positional_only, rest?, parameters.

    `positional` names the parameters that args fill, in order; `rest` is the schema of each further one, absent if
    there may be none; `parameters` is the JSON Schema of args by name and kwargs together. Raises TaskDefinitionError.
    """
    signature = signature_of(task.function)
    made: dict[str, Any] = {
        "name": task.name,
        "title": dict(task.title),
        "description": task.description,
        "descriptions": dict(task.descriptions),
        "source": task.source,
        "async": task.is_async,
        "positional": [parameter.name for parameter in signature.named if parameter.by_position],
        "positional_only": [parameter.name for parameter in signature.named if not parameter.by_name],
        "parameters": _parameters(signature),
    }
    if signature.rest is not None:
        made["rest"] = signature.rest.schema()
    return made


def _parameters(signature: Signature) -> dict[str, Any]:
    return {
        "$schema": DIALECT,
        "type": "object",
        "properties": {parameter.name: _property(parameter) for parameter in signature.named},
        "required": [parameter.name for parameter in signature.named if parameter.required],
        "additionalProperties": False if signature.extra is None else signature.extra.schema(),
    }


def _property(parameter: Parameter) -> dict[str, Any]:
    schema = parameter.kind.schema()
    if not parameter.required:
        schema["default"] = json_safe(parameter.default)
    if parameter.description:
        schema["description"] = parameter.description
    return schema
