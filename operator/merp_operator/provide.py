"""`python -m merp_operator.provide NAME SPEC`: make a BusinessCalendar hold a spec, given as JSON.

The chart runs it after the release: Helm refuses a release that brings a kind together with an object of that kind.
What others wrote into the object beside the given fields stays.
"""

import argparse
import asyncio
import json
import sys
from http import HTTPStatus
from typing import Any, Final

from kubernetes.aio.config import ConfigException

from merp_crds import names
from merp_kube import paths
from merp_kube.client import APPLY_PATCH, ApiError, Client, Unreachable, load_configuration

# Not the operator's: what an upgrade no longer gives is taken away again, and nothing else.
_MANAGER: Final = "merp-chart"
_QUERY: Final = {"fieldManager": _MANAGER, "force": "true", "fieldValidation": "Strict"}
# The definition came a moment ago, and the API server needs some until it serves it.
SECONDS: Final = 60.0
_PAUSE_SECONDS: Final = 1.0


class ProvideError(Exception):
    """The calendar cannot be made; the text names it, and the remedy."""


def calendar(name: str, text: str) -> dict[str, Any]:
    """The BusinessCalendar of a name and a spec in JSON. Raises ProvideError."""
    try:
        spec = json.loads(text)
    except ValueError as error:
        raise ProvideError(f"SPEC: is no JSON: {error}") from error
    if not isinstance(spec, dict):
        raise ProvideError("SPEC: is no object: write it as {}, with the fields of a BusinessCalendar's spec")
    return {"apiVersion": names.API_VERSION, "kind": "BusinessCalendar", "metadata": {"name": name}, "spec": spec}


async def provide(client: Client, body: dict[str, Any], seconds: float = SECONDS) -> str:
    """Make the object hold the body's fields, within some seconds. Returns its version. Raises ProvideError."""
    name = body["metadata"]["name"]
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    while True:
        try:
            answer = await client.call(
                "PATCH", paths.BUSINESS_CALENDAR.at("", name), query=_QUERY, body=body, content_type=APPLY_PATCH
            )
        except (ApiError, Unreachable) as error:
            # Any other refusal is about the object, and stays the same.
            passes = isinstance(error, Unreachable) or error.status == HTTPStatus.NOT_FOUND
            if not passes or loop.time() >= deadline:
                raise ProvideError(f"BusinessCalendar {name}: {error}") from error
        else:
            return str(answer["metadata"]["resourceVersion"])
        await asyncio.sleep(_PAUSE_SECONDS)


async def _run(name: str, text: str) -> str:
    body = calendar(name, text)
    try:
        configuration = await load_configuration()
    except (ConfigException, OSError) as error:
        raise ProvideError(f"there is no service account to do it with: {error}") from error
    async with Client(configuration) as client:
        return f"BusinessCalendar {name}, version {await provide(client, body)}"


def main() -> None:
    """Exits with 1 and one sentence if it cannot be done."""
    parser = argparse.ArgumentParser(prog="merp_operator.provide", description=__doc__)
    parser.add_argument("name", metavar="NAME", help="name of the BusinessCalendar")
    parser.add_argument("spec", metavar="SPEC", help="its spec as JSON")
    arguments = parser.parse_args()
    try:
        print(asyncio.run(_run(arguments.name, arguments.spec)))
    except ProvideError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
