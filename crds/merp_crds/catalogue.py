"""The catalogue of tasks that an image registers, as `merp-runner catalogue` prints it."""

import difflib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

from merp_crds.parameters import WrongParameter, wrong_parameters
from merp_crds.scheduledjob import Task

# The keys of a ConfigMap that holds a catalogue, and the files of a folder that one is mounted as.
KEY: Final = "catalogue.json"
IMAGE_KEY: Final = "image"
# The API server takes 1 MiB of data in a ConfigMap.
MAX_BYTES: Final = 2**20
_MAX_IMAGE: Final = 512
_SHOWN_NAMES: Final = 20


@dataclass(frozen=True, slots=True)
class Catalogue:
    """The tasks of one image, by name."""

    image: str
    tasks: dict[str, dict[str, Any]]

    @classmethod
    def parse(cls, text: str, image: str) -> Self:
        """From the JSON that `merp-runner catalogue` prints. Raises ValueError."""
        try:
            document = json.loads(text)
        except RecursionError as error:
            raise ValueError("it is nested too deeply") from error
        listed = document.get("tasks") if isinstance(document, dict) else None
        entries = listed if isinstance(listed, list) else [None]
        tasks = {entry["name"]: entry for entry in entries if isinstance(entry, dict) and _is_named(entry)}
        if len(tasks) != len(entries):
            raise ValueError("it has no list `tasks` in which each has a name of its own")
        return cls(image, tasks)

    @classmethod
    def load(cls, path: Path | None, image: str) -> Self | None:
        """From a file, or None where there is none: then nothing is checked. Raises ValueError and OSError."""
        if path is None or not path.exists():
            return None
        return cls.parse(path.read_text(encoding="utf-8"), image)

    @classmethod
    def of_config_map(cls, item: dict[str, Any]) -> Self:
        """From a ConfigMap that says which image it is for. Raises ValueError that names the key."""
        data = item.get("data") or {}
        image = (data.get(IMAGE_KEY) or "").strip()
        if not image or len(image) > _MAX_IMAGE:
            raise ValueError(f"data.{IMAGE_KEY}: must be the image as jobs name it, at most {_MAX_IMAGE} characters")
        if KEY not in data:
            raise ValueError(f"data.{KEY}: is missing: make the ConfigMap with `merp-runner catalogue --config-map`")
        try:
            return cls.parse(data[KEY], image)
        except ValueError as error:
            raise ValueError(f"data.{KEY}: is no output of `merp-runner catalogue`: {error}") from error

    def unknown(self, func: str) -> str | None:
        """Why the image cannot run a task of that name, with what to do; None if it can."""
        if func in self.tasks:
            return None
        near = difflib.get_close_matches(func, self.tasks, n=3, cutoff=0.5)
        listed = sorted(self.tasks)
        more = f" and {len(listed) - _SHOWN_NAMES} more" if len(listed) > _SHOWN_NAMES else ""
        has = f"it has {', '.join(listed[:_SHOWN_NAMES]) or 'none'}{more}"
        hint = f"did you mean {' or '.join(near)}?" if near else has
        return f"the image {self.image} has no task {func!r}: {hint}"

    def wrong(self, task: Task, is_connection: Callable[[str], bool]) -> list[WrongParameter]:
        """What is wrong with the parameters of a task of this image; `is_connection` as `wrong_parameters` takes it."""
        entry = self.tasks.get(task.func)
        return [] if entry is None else wrong_parameters(entry, task.args, task.kwargs, is_connection)


def _is_named(entry: dict[str, Any]) -> bool:
    return isinstance(entry.get("name"), str)
