"""The description of the API: what FastAPI cannot know of bodies that we read ourselves, and of problems."""

from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel

from merp_api import examples, problems
from merp_api.batch_views import BatchBody
from merp_api.bodies import JSON
from merp_api.outlooks import PreviewBody
from merp_api.schemas import ExecutionBody, JobBody, JobPatch, PauseBody, ProblemView, RetryBody

PATH: Final = "/api/v1/openapi.json"
_WHOSE: Final = "A token that the cluster's API server accepts. What its owner may do there, they may do here."
_REFERENCE: Final = "#/components/schemas/{model}"
_PROBLEM: Final = "Problem{status}"
_DESCRIPTIONS: Final = {
    304: "It is still as If-None-Match names it",
    400: "Wrong fields, each with its place and the remedy",
    401: "No valid bearer token",
    403: "The cluster does not allow it",
    404: "There is no such thing",
    409: "It collides with what is there",
    410: "The cursor has expired",
    412: "It is no longer as If-Match expects it",
    413: "The body is too large",
    415: "The body is not JSON",
    429: "Too many requests or streams; Retry-After says when to ask again",
    500: "A fault of the gateway",
    502: "The API server failed",
    503: "The API server or the records cannot be reached",
}
# Any route that calls the API server may be answered so.
_EVERYWHERE: Final = (429, 500, 502, 503)


def answers(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The answers without success that a route declares."""
    return {status: {"description": _DESCRIPTIONS[status]} for status in (*statuses, *_EVERYWHERE)}


def request_body(
    model: type[BaseModel], *, optional: bool = False, media_type: str = JSON, **examples: Any
) -> dict[str, Any]:
    """The body of a route that reads it itself, with examples by their names."""
    content: dict[str, Any] = {"schema": {"$ref": _REFERENCE.format(model=model.__name__)}}
    if examples:
        content["examples"] = {name: {"value": value} for name, value in examples.items()}
    return {"requestBody": {"required": not optional, "content": {media_type: content}}}


def describe(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI document."""
    document = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
    components = document.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    for model in (JobBody, JobPatch, PreviewBody, BatchBody, ExecutionBody, RetryBody, PauseBody, ProblemView):
        schema = model.model_json_schema(ref_template=_REFERENCE)
        schemas |= schema.pop("$defs", {})
        schemas[model.__name__] = schema
    components["responses"] = {_PROBLEM.format(status=status): _problem(status) for status in sorted(examples.PROBLEMS)}
    components["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer", "description": _WHOSE}}
    for path, operations in document["paths"].items():
        for operation in operations.values():
            # Wrong parameters are answered with 400, as everything that is wrong.
            operation["responses"].pop("422", None)
            operation["security"] = [] if path in ("/healthz", "/readyz") else [{"token": []}]
            _complete(operation)
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    return document


def _complete(operation: dict[str, Any]) -> None:
    """Say how problems look, which every operation has in common, and put an example to every other answer."""
    for status, answer in operation["responses"].items():
        if int(status) >= 400 and "content" not in answer:
            operation["responses"][status] = {"$ref": f"#/components/responses/{_PROBLEM.format(status=status)}"}
        for media_type, content in (answer.get("content") or {}).items():
            if media_type == JSON:
                found = _answer(operation["operationId"], status, content["schema"])
                content["example"] = found.model_dump(mode="json")
            elif media_type == "text/plain":
                content["example"] = examples.LOG


def _problem(status: int) -> dict[str, Any]:
    example = examples.PROBLEMS[status].model_dump(mode="json", by_alias=True, exclude_none=True)
    schema = {"$ref": _REFERENCE.format(model=ProblemView.__name__)}
    return {
        "description": _DESCRIPTIONS[status],
        "content": {problems.MEDIA_TYPE: {"schema": schema, "example": example}},
    }


def _answer(route: str, status: str, schema: dict[str, Any]) -> BaseModel:
    # Of several forms the first.
    reference: str = (schema.get("anyOf") or [schema])[0]["$ref"]
    return examples.OF_ROUTES.get(f"{route} {status}") or examples.ANSWERS[reference.rpartition("/")[2]]
