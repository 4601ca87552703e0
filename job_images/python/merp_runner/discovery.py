"""Finds tasks: imports the modules that may register them."""

from __future__ import annotations

import importlib
import sys
import traceback
from collections.abc import Mapping
from typing import Callable

from merp_runner.tasks import Registry

GROUP = "merp.tasks"


def discover(registry: Registry, environment: Mapping[str, str], warn: Callable[[str], None]) -> None:
    """Import every module named by an entry point of the group `merp.tasks` or by MERP_TASK_MODULES.

    MERP_TASK_MODULES is separated by commas. A module that fails is passed to `warn` with its traceback, kept in
    `registry.broken`, and hides no other module's tasks.
    """
    for module, origin in task_modules(environment).items():
        before = set(registry.tasks)
        try:
            importlib.import_module(module)
        # A module that calls sys.exit() is as broken as any; Stopped is neither, it ends the run.
        except (Exception, SystemExit) as error:  # noqa: BLE001 - users' code may raise anything while it is imported
            # What a half-imported module registered would run with half of its names missing.
            for name in set(registry.tasks) - before:
                del registry.tasks[name]
            registry.broken[module] = f"{type(error).__name__}: {error}"
            frames = traceback.format_exc()
            warn(f"merp_runner: module {module} ({origin}) could not be imported; its tasks are unknown\n{frames}")


def task_modules(environment: Mapping[str, str]) -> dict[str, str]:
    """Module -> where it was named; in the same order on every start."""
    found: dict[str, str] = {}
    for name, value in sorted(_entry_points()):
        found.setdefault(value.partition(":")[0].strip(), f"entry point {name}")
    for module in environment.get("MERP_TASK_MODULES", "").split(","):
        if module.strip():
            found.setdefault(module.strip(), "MERP_TASK_MODULES")
    return found


def _entry_points() -> list[tuple[str, str]]:
    from importlib.metadata import entry_points  # here: `import merp_runner` in a user's own module shall stay cheap

    if sys.version_info >= (3, 10):
        points = entry_points(group=GROUP)
    else:
        points = entry_points().get(GROUP, ())
    return [(point.name, point.value) for point in points]
