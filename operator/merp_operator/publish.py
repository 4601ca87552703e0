"""`python -m merp_operator.publish FILE NAME IMAGE`: put the catalogue of an image's tasks into a ConfigMap.

The namespace is that of the pod it runs in.
"""

import argparse
import asyncio
import json
import sys
from pathlib import Path
from typing import Any, Final

from kubernetes.aio.config import ConfigException

from merp_crds import names
from merp_crds.catalogue import IMAGE_KEY, KEY, MAX_BYTES, Catalogue
from merp_kube import paths
from merp_kube.client import APPLY_PATCH, ApiError, Client, Unreachable, load_configuration

_NAMESPACE: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
_QUERY: Final = {"fieldManager": names.FIELD_MANAGER_OPERATOR, "force": "true", "fieldValidation": "Strict"}


class PublishError(Exception):
    """The catalogue cannot be published; the text names the file or the object, and the remedy."""


def config_map(namespace: str, name: str, image: str, text: str) -> dict[str, Any]:
    """The ConfigMap that holds the catalogue of an image."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": namespace, "labels": {names.LABEL_CATALOGUE: "true"}},
        "data": {IMAGE_KEY: image, KEY: text},
    }


def read(file: Path, image: str) -> tuple[str, Catalogue]:
    """The file's text, and the catalogue that it holds. Raises PublishError."""
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise PublishError(f"{file}: cannot be read: {error}") from error
    if len(text.encode()) + len(image.encode()) > MAX_BYTES:
        raise PublishError(f"{file}: is larger than 1 MiB, the most that a ConfigMap holds: shorten the descriptions")
    try:
        return text, Catalogue.parse(text, image)
    except ValueError as error:
        remedy = "give the output of `merp-runner catalogue`"
        raise PublishError(f"{file}: is no catalogue: {remedy} ({error!r})") from error


def broken(text: str) -> list[str]:
    """What the image could not list, a sentence each: its other tasks are published all the same."""
    entries = json.loads(text).get("broken") or []
    return [f"not in the catalogue: {entry.get('task') or entry.get('module')}: {entry['error']}" for entry in entries]


async def publish(client: Client, namespace: str, name: str, image: str, text: str) -> str:
    """Make the ConfigMap hold the text. Returns its version. Raises PublishError."""
    path = paths.CONFIG_MAP.at(namespace, name)
    body = config_map(namespace, name, image, text)
    try:
        answer = await client.call("PATCH", path, query=_QUERY, body=body, content_type=APPLY_PATCH)
    except (ApiError, Unreachable) as error:
        raise PublishError(f"ConfigMap {namespace}/{name}: {error}") from error
    return str(answer["metadata"]["resourceVersion"])


async def _run(file: Path, name: str, image: str) -> str:
    text, catalogue = read(file, image)
    try:
        configuration = await load_configuration()
        namespace = _NAMESPACE.read_text(encoding="utf-8").strip()
    except (ConfigException, OSError) as error:
        raise PublishError(f"there is no service account to publish with: {error}") from error
    async with Client(configuration) as client:
        version = await publish(client, namespace, name, image, text)
    done = f"ConfigMap {namespace}/{name}, version {version}: {len(catalogue.tasks)} tasks"
    return "\n".join([*broken(text), done])


def main() -> None:
    """Exits with 1 and one sentence if it cannot be done."""
    parser = argparse.ArgumentParser(prog="merp_operator.publish", description=__doc__)
    parser.add_argument("file", type=Path, metavar="FILE", help="what `merp-runner catalogue` printed")
    parser.add_argument("name", metavar="NAME", help="name of the ConfigMap")
    parser.add_argument("image", metavar="IMAGE", help="the image that printed it, as jobs name it")
    arguments = parser.parse_args()
    try:
        print(asyncio.run(_run(arguments.file, arguments.name, arguments.image)))
    except PublishError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
