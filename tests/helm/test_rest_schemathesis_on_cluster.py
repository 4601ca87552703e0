"""Generated requests against the running gateway: no fault, and no answer that the OpenAPI document does not declare.

Ten examples of each operation, always the same ones; MERP_REST_EXAMPLES=500 tries as many others, and each bound of each
field.
"""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from rest_identities import JOB, RestIdentities
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

pytestmark = pytest.mark.cluster

ROOT = Path(__file__).parents[2]
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
EXAMPLES = os.environ.get("MERP_REST_EXAMPLES")
SCHEMA = schemathesis.openapi.from_dict(
    json.loads((ROOT / "docs" / "openapi.json").read_text(encoding="utf-8")),
    # Thousands of requests, each wrong in one way: minutes.
    config=schemathesis.Config.from_dict({"phases": {"coverage": {"enabled": EXAMPLES is not None}}}),
)
# The one answer that does not end by itself.
EVENTS = "/api/v1/events"
SECONDS = 10
# Shrinking takes as long as everything else, and the first example that fails says enough.
PHASES = (Phase.explicit, Phase.generate)


@pytest.fixture(scope="module")
def session(rest_identities: RestIdentities) -> Iterator[requests.Session]:
    with requests.Session() as made:
        # The machine's proxy settings are for the world outside.
        made.trust_env = False
        made.headers["Authorization"] = f"Bearer {rest_identities.tokens['admin']}"
        yield made


def aimed(case: Any, identities: RestIdentities) -> Any:
    """The case at the job and the runs that there are, in their namespace; a generated name is of nothing."""
    if "id" in (case.path_parameters or {}):
        there = identities.recorded.finished if "/executions/" in case.path else JOB
        case.path_parameters["id"] = there
    if any(parameter.name == "namespace" for parameter in case.operation.query):
        case.query = (case.query or {}) | {"namespace": identities.kube.namespace}
    # Of no version that there is: then nothing else of the request would matter.
    for name in ("If-Match", "If-None-Match"):
        (case.headers or {}).pop(name, None)
    return case


def answer(case: Any, identities: RestIdentities, session: requests.Session) -> Any:
    """What the gateway answers; of what goes on for ever the beginning."""
    url = identities.gateway.url
    if case.operation.path != EVENTS:
        return case.call(base_url=url, session=session)
    with session.request(**case.as_transport_kwargs(base_url=url), stream=True, timeout=SECONDS) as found:
        found._content = next(found.iter_content(None), b"")
        return found


@SCHEMA.parametrize()
@settings(
    max_examples=int(EXAMPLES or 10),
    derandomize=EXAMPLES is None,
    database=None,
    deadline=None,
    phases=PHASES,
    suppress_health_check=list(HealthCheck),
)
def test_no_fault_and_no_undeclared_answer(
    rest_identities: RestIdentities, session: requests.Session, case: schemathesis.Case
) -> None:
    case.validate_response(answer(case, rest_identities, session), checks=CHECKS)
    if case.operation.method != "delete":
        here = aimed(case, rest_identities)
        here.validate_response(answer(here, rest_identities, session), checks=CHECKS)
