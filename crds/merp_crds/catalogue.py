"""The catalogue of tasks that an image registers, as `merp-runner catalogue` prints it."""

import difflib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from merp_crds.scheduledjob import Task


@dataclass(frozen=True, slots=True)
class Catalogue:
    """The tasks of one image, by name."""

    image: str
    tasks: dict[str, dict[str, Any]]

    @classmethod
    def parse(cls, text: str, image: str) -> Self:
        """From the JSON that `merp-runner catalogue` prints. Raises ValueError."""
        document = json.loads(text)
        return cls(image, {task["name"]: task for task in document["tasks"]})

    @classmethod
    def load(cls, path: Path | None, image: str) -> Self | None:
        """From a file, or None where there is none: then nothing is checked."""
        if path is None or not path.exists():
            return None
        return cls.parse(path.read_text(encoding="utf-8"), image)

    def problem(self, task: Task | None, image: str | None) -> str | None:
        """Why this image cannot run this task, with what to do; None if it can, or if the image is another one.

        `image` is the job's own; None is the installation's default.
        """
        if task is None or image not in (None, self.image) or task.func in self.tasks:
            return None
        near = difflib.get_close_matches(task.func, self.tasks, n=3, cutoff=0.5)
        hint = f"did you mean {' or '.join(near)}?" if near else f"it has {', '.join(sorted(self.tasks)) or 'none'}"
        return f"task.func: the image {self.image} has no task {task.func!r}: {hint}"
