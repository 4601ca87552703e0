"""What ends a run with an exit code of its own: 2 where asking again cannot help, or the one that a task names."""

from __future__ import annotations


class Refused(Exception):
    """The task was not called, or said itself that its parameters are wrong; the run is never retried (exit code 2)."""


class ParameterError(Refused):
    """Wrong parameters, one problem per parameter, each `"<parameter>: <what is wrong>"`.

    A task may raise it too, for what only it can know (a warehouse that does not exist): the run then ends with exit
    code 2 instead of 1 and is not retried.
    """

    def __init__(self, *problems: str) -> None:
        super().__init__(*problems)
        self.problems = problems

    def __str__(self) -> str:
        return "; ".join(self.problems)


class TaskFailed(Exception):
    """Raised by a task that knows what went wrong: the run fails with this text, without a traceback, and exit code.

    `exit_code` is 1 to 255; `retry.noRetryExitCodes` may name it. Raises ValueError for another.
    """

    def __init__(self, message: str, exit_code: int = 1) -> None:
        super().__init__(message)
        if not 0 < exit_code < 256:
            raise ValueError(f"exit_code: {exit_code} is not between 1 and 255")
        self.exit_code = exit_code


class UnknownTaskError(Refused):
    """No task of that name is registered in this image."""


class TaskDefinitionError(Refused):
    """A function that cannot be a task: its name, its kind or its annotations."""


class ContextError(Refused):
    """The run's due time or time zone cannot be read, so its business date would be a guess."""
