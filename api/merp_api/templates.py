"""Approved templates: ConfigMaps with a spec.template, which jobs take by name."""

import json
import re
from contextlib import aclosing
from typing import Any, Final

import yaml

from merp_api import problems
from merp_api.cluster import Cluster
from merp_api.identity import Caller
from merp_api.problems import FieldError, Problem
from merp_api.schemas import TEMPLATE_NAME
from merp_api.translate import Json
from merp_crds.common import MAX_SUBDOMAIN
from merp_kube.client import ApiError

# The key of the ConfigMap that holds the template, as YAML or JSON.
KEY: Final = "template.yaml"
_NAME: Final = re.compile(TEMPLATE_NAME, re.ASCII)
# Names that an error offers.
_OFFERED: Final = 20


class Templates:
    """Finds approved templates with the caller's own rights."""

    def __init__(self, cluster: Cluster, shared_namespace: str) -> None:
        """`shared_namespace` has those for every namespace; empty for none."""
        self._cluster = cluster
        self._shared = shared_namespace

    async def read(self, caller: Caller, namespace: str, name: str) -> Json:
        """The spec.template of that name: of the job's namespace, else of the installation's.

        Raises Problem 400 where there is none, with the names of those that there are, or where it is no template.
        """
        known: set[str] = set()
        refused: list[str] = []
        for where in dict.fromkeys((namespace, self._shared)):
            if not where:
                continue
            try:
                found = await self._of(caller, where)
            except ApiError as error:
                if error.status != 403:
                    raise
                refused.append(where)
                continue
            if name in found:
                return parse(found[name])
            known |= found.keys()
        raise _wrong(_missing(name, sorted(known), refused))

    async def _of(self, caller: Caller, namespace: str) -> dict[str, str]:
        templates = self._cluster.templates(caller.token, namespace)
        async with aclosing(templates):
            return {item["metadata"]["name"]: (item.get("data") or {}).get(KEY, "") async for item in templates}


def is_template_name(text: str) -> bool:
    """Whether there can be a template of that name."""
    return len(text) <= MAX_SUBDOMAIN and _NAME.fullmatch(text) is not None


def parse(text: str) -> Json:
    """A template from its text. Raises Problem 400 for what is none. Pure."""
    try:
        # A few of them within each other are gigabytes.
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, yaml.SafeLoader)):
            raise _wrong(f"its {KEY} has YAML aliases: write out what they stand for")
        content: Any = yaml.safe_load(text)
        json.dumps(content, allow_nan=False)
    except (yaml.YAMLError, TypeError, ValueError) as error:
        raise _wrong(f"its {KEY} is no YAML, or holds what JSON cannot: quote dates and the like") from error
    if not isinstance(content, dict) or not content:
        raise _wrong(f"its ConfigMap has no object under the key {KEY}: write a spec.template there")
    return content


def _missing(name: str, known: list[str], refused: list[str]) -> str:
    there = f"there are {', '.join(known[:_OFFERED])}" if known else "there are none"
    unseen = f"; you may not list configmaps in {' and '.join(refused)}" if refused else ""
    return f"there is no approved template {name!r}: {there}{unseen}"


def _wrong(detail: str) -> Problem:
    return problems.validation([FieldError.in_body(["template"], "unknown_template", detail)])
