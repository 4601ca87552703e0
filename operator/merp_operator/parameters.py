"""Whether a task can be called as it is asked for, by the catalogue of its image. Pure."""

from typing import Final

from merp_crds import connections
from merp_crds.catalogue import Catalogue
from merp_crds.parameters import unfit_parameters
from merp_crds.scheduledjob import ScheduledJobSpec, Task
from merp_operator.desired import Defaults

# Wrong parameters that are told at once; a message has room for no more.
_MAX_TOLD: Final = 5


def catalogue(namespace: str, spec: ScheduledJobSpec, defaults: Defaults) -> Catalogue | None:
    """The tasks of the image that a job runs in; None where nobody has told them."""
    return defaults.catalogue_of(namespace, connections.own_image(spec.template))


def unknown_task(namespace: str, spec: ScheduledJobSpec, defaults: Defaults) -> str | None:
    """Why the job's image cannot run its task; None if it can, or if nobody knows."""
    known = catalogue(namespace, spec, defaults)
    if spec.task is None or known is None:
        return None
    unknown = known.unknown(spec.task.func)
    return None if unknown is None else f"task.func: {unknown}"


def wrong(namespace: str, spec: ScheduledJobSpec, task: Task | None, defaults: Defaults, where: str) -> str | None:
    """What is wrong with the parameters of a task, each with its field below `where`; None if they are good.

    Their size and depth are looked at whatever the image.
    """
    unfit = None if task is None else unfit_parameters(task.args, task.kwargs)
    if unfit is not None:
        return f"{where}{unfit.path[0]}: {unfit.detail}"
    known = catalogue(namespace, spec, defaults)
    if task is None or known is None:
        return None
    found = known.wrong(task, connections.given(spec.connections, spec.template, defaults.env))
    if not found:
        return None
    told = "; ".join(f"{where}{entry.path[0]}: {entry.name} {entry.detail}" for entry in found[:_MAX_TOLD])
    return f"{told}; and {len(found) - _MAX_TOLD} more" if len(found) > _MAX_TOLD else told
