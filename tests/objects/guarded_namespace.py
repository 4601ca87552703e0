"""A namespace of the cluster under the chart's admission policies, and its users, each with rights of their own."""

import json
import uuid
from dataclasses import dataclass
from typing import Any

from kube import Kube

from merp_cluster.errors import ClusterError

Json = dict[str, Any]

CREATED_BY = "scheduler.merp.io/created-by"
PAUSED = "scheduler.merp.io/paused"
CANCEL = "cancel.scheduler.merp.io/j-29926800"


@dataclass(frozen=True)
class Guarded:
    """A namespace whose users have different rights, under the policies of a release."""

    kube: Kube
    operator: str

    def refusal(self, user: str, *arguments: str, item: Json | None = None) -> str:
        """What kubectl complains of when the user asks; empty where nothing."""
        stdin = None if item is None else json.dumps(item)
        try:
            self.kube.kubectl(*arguments, f"--as={user}", stdin=stdin)
        except ClusterError as error:
            return str(error)
        return ""

    def creation(self, user: str, item: Json) -> str:
        """The refusal of a creation that is tried only."""
        return self.refusal(user, "create", "--dry-run=server", "-f", "-", item=item)

    def change(self, user: str, name: str, patch: Json) -> str:
        """The refusal of a patch that is tried only."""
        arguments = ("patch", "scheduledjob", name, "--type=merge", "--dry-run=server", "--patch-file=/dev/stdin")
        return self.refusal(user, *arguments, item=patch)

    def made(self, annotations: Json | None = None, **spec: Any) -> str:
        """The name of a ScheduledJob that the administrator made."""
        return self.kube.create(scheduled_job(f"j-{uuid.uuid4().hex[:8]}", annotations, **spec))


def rule(group: str, resource: str, *verbs: str) -> Json:
    """One rule of a Role."""
    return {"apiGroups": [group], "resources": [resource], "verbs": list(verbs)}


def grant(kube: Kube, role: str, rules: list[Json], *users: str) -> None:
    """Make a Role, and bind it to users."""
    group = "rbac.authorization.k8s.io"
    metadata = {"name": role}
    subjects = [{"apiGroup": group, "kind": "User", "name": user} for user in users]
    reference = {"apiGroup": group, "kind": "Role", "name": role}
    binding = {"kind": "RoleBinding", "metadata": metadata, "subjects": subjects, "roleRef": reference}
    for item in ({"kind": "Role", "metadata": metadata, "rules": rules}, binding):
        kube.apply({"apiVersion": f"{group}/v1"} | item)


def scheduled_job(name: str, annotations: Json | None = None, **spec: Any) -> Json:
    """A ScheduledJob of an ordinary task, unless `spec` says otherwise."""
    wanted = {"schedule": {"cron": "0 0 1 1 *"}, "task": {"func": "inventory_check"}} | spec
    metadata = {"name": name, "annotations": annotations or {}}
    return {"apiVersion": "scheduler.merp.io/v1", "kind": "ScheduledJob", "metadata": metadata, "spec": wanted}


def job_run(job: str, annotations: Json | None = None, **spec: Any) -> Json:
    """A request for a run of that job."""
    metadata = {"generateName": "run-", "annotations": annotations or {}}
    wanted = {"scheduledJob": job} | spec
    return {"apiVersion": "scheduler.merp.io/v1", "kind": "JobRun", "metadata": metadata, "spec": wanted}


def annotated(**annotations: str | None) -> Json:
    """The patch that writes `paused`, `cancel` and `created_by`; None takes one away."""
    names = {"paused": PAUSED, "cancel": CANCEL, "created_by": CREATED_BY}
    return {"metadata": {"annotations": {names[key]: value for key, value in annotations.items()}}}
