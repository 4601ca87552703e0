"""Which connections a run will have, as far as its job's definition says. Pure."""

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from merp_crds.scheduledjob import Template

FOLDER: Final = "/etc/merp-connections"
VARIABLE: Final = "MERP_CONNECTION_"
CONTAINER: Final = "task"
# Variables that bring connections from elsewhere.
_ELSEWHERE: Final = "MERP_CONNECTIONS"
# What a pod template may change of the task's container that brings connections, or takes them away.
_SOURCES: Final = frozenset({"env", "envFrom", "volumeMounts"})


def given(names: Sequence[str], template: Template | None, default_env: Sequence[Any] = ()) -> Callable[[str], bool]:
    """Says of a name whether the job has a connection of it: by `connections`, a mounted folder or a variable.

    Says yes to every name where the definition cannot tell: variables that come whole (`envFrom`), and whatever
    `podTemplate` does. `default_env` is the environment of jobs on the default image.
    """
    template = template or Template()
    env = [*template.env, *([] if template.image else default_env)]
    if template.env_from or _changes_sources(template.pod_template) or _has(env, _ELSEWHERE):
        return lambda _: True
    paths = [str(mount.get("mountPath", "")).rstrip("/") for mount in template.volume_mounts]
    if any(path == FOLDER or FOLDER.startswith(f"{path}/") for path in paths):
        return lambda _: True
    folders = {*names, *(path.removeprefix(f"{FOLDER}/") for path in paths)}
    return lambda name: name in folders or _has(env, VARIABLE + re.sub(r"[^A-Z0-9]", "_", name.upper()))


def _has(env: Iterable[Any], name: str) -> bool:
    return any(isinstance(entry, dict) and entry.get("name") == name for entry in env)


def _changes_sources(pod_template: Any) -> bool:
    return any(entry.keys() & _SOURCES for entry in _task_containers(pod_template))


def own_image(template: Template | None) -> str | None:
    """The image that the task's container has; None for the installation's default."""
    if template is None:
        return None
    for entry in _task_containers(template.pod_template):
        if isinstance(entry.get("image"), str):
            return str(entry["image"])
    return template.image


def _task_containers(pod_template: Any) -> list[dict[str, Any]]:
    spec = (pod_template or {}).get("spec")
    containers = spec.get("containers") if isinstance(spec, dict) else None
    listed = containers if isinstance(containers, list) else []
    return [entry for entry in listed if isinstance(entry, dict) and entry.get("name") == CONTAINER]
