"""`/api/v1/tasks`: what jobs may call. It is no secret: whoever has a token may read it."""

import difflib
from typing import Annotated, Final

from fastapi import APIRouter, Path

from merp_api import problems
from merp_api.deps import CallerOf, Services, ServicesOf
from merp_api.languages import LanguageOf
from merp_api.openapi import answers
from merp_api.problems import Problem
from merp_api.task_views import TaskList, TaskView, task_view
from merp_crds.languages import Language

router = APIRouter(prefix="/api/v1/tasks", tags=["tasks"])
_SHOWN: Final = 64


@router.get("", responses=answers(401))
async def list_tasks(_: CallerOf, language: LanguageOf, services: ServicesOf) -> TaskList:
    """Every task of the default image, with the JSON Schema of its parameters."""
    catalogue = services.catalogue
    if catalogue is None:
        return TaskList(items=[], checked=False)
    return TaskList(items=[_view(services, name, language) for name in sorted(catalogue.tasks)], checked=True)


@router.get("/{name}", responses=answers(401, 404))
async def get_task(
    name: Annotated[str, Path(description="What `func` of a job says.")],
    _: CallerOf,
    language: LanguageOf,
    services: ServicesOf,
) -> TaskView:
    """One task."""
    known = {} if services.catalogue is None else services.catalogue.tasks
    if name not in known:
        near = difflib.get_close_matches(name[:_SHOWN], known, n=3, cutoff=0.5)
        hint = f": did you mean {' or '.join(near)}?" if near else ""
        raise Problem(problems.NOT_FOUND, f"there is no task {name[:_SHOWN]!r}{hint}")
    return _view(services, name, language)


def _view(services: Services, name: str, language: Language) -> TaskView:
    assert services.catalogue is not None
    privileged = name in services.settings.merp_privileged_tasks
    # A catalogue may hold less than the runner writes: what counts is the name.
    entry = {"name": name} | services.catalogue.tasks[name]
    return task_view(entry, services.catalogue.image, language, privileged=privileged)
