"""What clients are told of tasks. Pure."""

from typing import Annotated, Any, Final

from pydantic import Field

from merp_api.models import View
from merp_crds.languages import Language

_OTHER: Final = {Language.EN: Language.ZH, Language.ZH: Language.EN}


class TaskView(View):
    """A task that jobs may call. Texts are in the language that was asked for, as far as the author gave it."""

    name: Annotated[str, Field(description="What `func` of a job says.")]
    title: Annotated[str, Field(description="For people; the name where the author gave none.")]
    description: str
    image: Annotated[str, Field(description="The image that has it.")]
    privileged: Annotated[bool, Field(description="Whoever writes its parameters needs the right to create pods too.")]
    parameters: Annotated[
        dict[str, Any], Field(description="JSON Schema (2020-12) of args by name and kwargs together.")
    ]
    positional: Annotated[list[str], Field(description="The parameters that args fill, in order.")]
    positional_only: Annotated[list[str], Field(description="Those of them that kwargs may not name.")]
    rest: Annotated[
        dict[str, Any] | None, Field(description="JSON Schema of each further entry of args; null: there may be none.")
    ]


class TaskList(View):
    """Every task, by name."""

    items: list[TaskView]
    checked: Annotated[
        bool, Field(description="false: this installation knows no catalogue, and takes a job with any `func`.")
    ]


def task_view(task: dict[str, Any], image: str, language: Language, *, privileged: bool) -> TaskView:
    """An entry of a catalogue. Of older runners it has fewer texts."""
    return TaskView(
        name=task["name"],
        title=_text(task.get("title") or {}, language) or task["name"],
        # The plain one is the author's English, or whatever the docstring is written in.
        description=(task.get("descriptions") or {}).get(language) or task.get("description") or "",
        image=image,
        privileged=privileged,
        parameters=task.get("parameters") or {"type": "object"},
        positional=task.get("positional") or [],
        positional_only=task.get("positional_only") or [],
        rest=task.get("rest"),
    )


def _text(texts: dict[str, str], language: Language) -> str | None:
    return texts.get(language) or texts.get(_OTHER[language])
