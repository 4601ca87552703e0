"""Runs one registered Python function as a run of a ScheduledJob.

from merp_runner import Context, task

@task(title={"en": "Greet", "zh": "问候"})
def greet(name: str, *, context: Context) -> str:
    return f"{name}, it is {context.business_date}"
"""

from merp_runner.connections import Connection, connection
from merp_runner.context import Context
from merp_runner.errors import ParameterError, TaskDefinitionError, TaskFailed
from merp_runner.stop import Stopped
from merp_runner.tasks import task

__all__ = [
    "Connection",
    "Context",
    "ParameterError",
    "Stopped",
    "TaskDefinitionError",
    "TaskFailed",
    "connection",
    "task",
]
