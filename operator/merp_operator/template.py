"""The pod of a run: what the scheduler renders, with the user's own pod template merged over it."""

import json
from collections.abc import Sequence
from typing import Any, Final

from merp_crds import connections as contract
from merp_crds import names
from merp_crds.common import parse_rfc3339
from merp_crds.scheduledjob import Priority, ScheduledJobSpec, Template
from merp_crds.zones import find_zone
from merp_operator.observe import Json

CONTAINER: Final = contract.CONTAINER
TASK_FOLDER: Final = "/etc/merp"
_TASK_VOLUME: Final = "merp-task"
# By number: the name of a Secret may be as long as that of a volume.
_CONNECTION_VOLUME: Final = "merp-connection-"
SECRETS_FOLDER: Final = "/etc/merp-secrets"
_MASKED_VOLUME: Final = "merp-masked-"
# The kubelet keeps 4096 bytes of a container's message, and 12 KiB of all containers of a pod together.
_MESSAGE_BYTES: Final = 4096
_POD_MESSAGE_BYTES: Final = 12_288
PRIORITY_CLASSES: Final = {Priority.HIGH: "merp-high", Priority.LOW: "merp-low"}
# How the entries of a pod's lists are told apart when one list is merged over another.
_MERGE_KEYS: Final = {
    "containers": "name",
    "initContainers": "name",
    "volumes": "name",
    "env": "name",
    "volumeMounts": "mountPath",
}
# A queue of another system would hold runs for reasons that the scheduler cannot see.
FORBIDDEN_LABEL: Final = "kueue.x-k8s.io/queue-name"


class TemplateError(Exception):
    """The user's template cannot be rendered; the text names the field and the remedy."""


def pod_template(
    *,
    name: str,
    uid: str,
    spec: ScheduledJobSpec,
    default_image: str,
    time_zone: str,
    default_env: Sequence[Json] = (),
    due_time: str | None = None,
    run_name: str | None = None,
) -> Json:
    """The pod template of a run of the ScheduledJob `name`.

    `due_time` (RFC 3339) and `run_name` are given where the operator starts the run itself; the native clock's Jobs
    are all of one template, and have both in their name. Raises TemplateError.
    """
    template = spec.template or Template()
    if template.image is None and default_env:
        env = merge(list(default_env), template.env, "env")
        template = template.model_copy(update={"env": env})
    image = template.image or default_image
    if not image:
        raise TemplateError("template.image: is not set, and the installation has no default image")
    labels = {
        names.LABEL_MANAGED: "true",
        names.LABEL_SCHEDULED_JOB: name,
        names.LABEL_SCHEDULED_JOB_UID: uid,
    }
    annotations = {names.ANNOTATION_TIME_ZONE: time_zone}
    if due_time is not None:
        annotations[names.ANNOTATION_DUE_TIME] = due_time
    if spec.task is not None:
        task = {"func": spec.task.func, "args": spec.task.args, "kwargs": spec.task.kwargs}
        annotations[names.ANNOTATION_TASK] = json.dumps(task, ensure_ascii=False)
    environment = _environment(name) + _run_environment(uid, time_zone, due_time, run_name)
    rendered = {
        "metadata": {"labels": labels, "annotations": annotations},
        "spec": _pod_spec(spec, template, image, environment),
    }
    _check(template.pod_template or {})
    merged: Json = merge(rendered, template.pod_template or {})
    merged["metadata"]["labels"] |= labels
    merged["metadata"]["annotations"] |= annotations
    _set_message_limit(merged["spec"])
    _tell_secrets(merged["spec"], with_task=spec.task is not None)
    return merged


def _pod_spec(spec: ScheduledJobSpec, template: Template, image: str, environment: list[Json]) -> Json:
    pod: Json = {
        "restartPolicy": "Never",
        "enableServiceLinks": False,
        # A task that talks to the API server says so by naming its account.
        "automountServiceAccountToken": template.service_account_name is not None,
        "containers": [_container(spec, template, image, environment)],
        "volumes": [_task_volume(), *_connection_volumes(spec.connections), *template.volumes],
    }
    priority_class = spec.priority_class_name or PRIORITY_CLASSES.get(spec.priority)
    optional = {
        "serviceAccountName": template.service_account_name,
        "imagePullSecrets": template.image_pull_secrets,
        "nodeSelector": template.node_selector,
        "tolerations": template.tolerations,
        "priorityClassName": priority_class,
    }
    pod |= {key: value for key, value in optional.items() if value}
    if spec.task is not None:
        pod["securityContext"] = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    return pod


def _container(spec: ScheduledJobSpec, template: Template, image: str, environment: list[Json]) -> Json:
    container: Json = {
        "name": CONTAINER,
        "image": image,
        "imagePullPolicy": template.image_pull_policy or "IfNotPresent",
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "env": [*environment, *template.env],
        "volumeMounts": [
            {"name": _TASK_VOLUME, "mountPath": TASK_FOLDER, "readOnly": True},
            *_connection_mounts(spec.connections),
            *template.volume_mounts,
        ],
    }
    optional = {
        "command": template.command,
        "args": template.args,
        "envFrom": template.env_from,
        "resources": template.resources,
    }
    container |= {key: value for key, value in optional.items() if value}
    if spec.task is not None:
        container["securityContext"] = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    return container


def _environment(name: str) -> list[Json]:
    def field(path: str) -> Json:
        return {"fieldRef": {"apiVersion": "v1", "fieldPath": path}}

    return [
        {"name": "MERP_SCHEDULED_JOB", "value": name},
        {"name": "MERP_NAMESPACE", "valueFrom": field("metadata.namespace")},
        {"name": "MERP_POD_NAME", "valueFrom": field("metadata.name")},
        {"name": "MERP_RUN_NAME", "valueFrom": field(f"metadata.labels['{names.LABEL_JOB_NAME}']")},
        # As the runner makes it. The kubelet puts the names in, so that it is the same whichever clock made the Job.
        {"name": "MERP_IDEMPOTENCY_KEY", "value": "$(MERP_NAMESPACE)/$(MERP_RUN_NAME)"},
    ]


def _run_environment(uid: str, time_zone: str, due_time: str | None, run_name: str | None) -> list[Json]:
    """What an image without our runner could not find out by itself, named and written as the runner does it."""
    environment: list[Json] = []
    if due_time is not None:
        day = parse_rfc3339(due_time).astimezone(find_zone(time_zone)).date()
        environment += [
            {"name": "MERP_DUE_TIME", "value": due_time},
            {"name": "MERP_BUSINESS_DATE", "value": day.isoformat()},
        ]
    if run_name is not None:
        environment.append({"name": "MERP_EXECUTION_ID", "value": names.execution_id(uid, run_name)})
    return environment


def _task_volume() -> Json:
    """Annotations as files: no shell, no `$(NAME)` expansion, no limit of an argument's length."""
    files = {
        "task": names.ANNOTATION_TASK,
        "due-time": names.ANNOTATION_DUE_TIME,
        "time-zone": names.ANNOTATION_TIME_ZONE,
    }
    items = [
        {"path": path, "fieldRef": {"apiVersion": "v1", "fieldPath": f"metadata.annotations['{annotation}']"}}
        for path, annotation in files.items()
    ]
    return {"name": _TASK_VOLUME, "downwardAPI": {"items": items}}


def _connection_volumes(connections: Sequence[str]) -> list[Json]:
    """The Secrets as files: no child process inherits them, and no listing of the environment shows them."""
    return [
        {"name": f"{_CONNECTION_VOLUME}{number}", "secret": {"secretName": name}}
        for number, name in enumerate(connections)
    ]


def _connection_mounts(connections: Sequence[str]) -> list[Json]:
    return [
        {"name": f"{_CONNECTION_VOLUME}{number}", "mountPath": f"{contract.FOLDER}/{name}", "readOnly": True}
        for number, name in enumerate(connections)
    ]


def _set_message_limit(pod: Json) -> None:
    """Tell the runner how long a message the kubelet keeps: containers of a pod share the room."""
    count = len(pod["containers"]) + len(pod.get("initContainers") or [])
    limit = min(_MESSAGE_BYTES, _POD_MESSAGE_BYTES // count)
    if limit < _MESSAGE_BYTES:
        _task_container(pod)["env"].append({"name": "MERP_MESSAGE_LIMIT", "value": str(limit)})


def _tell_secrets(pod: Json, *, with_task: bool) -> None:
    """Let the runner know what it must not show: by name what comes by `env`, as files what comes by `envFrom`.

    Nobody but the kubelet knows which variables a whole Secret becomes, and the operator reads none.
    """
    container = _task_container(pod)
    named = [entry.get("name", "") for entry in container["env"] if "secretKeyRef" in (entry.get("valueFrom") or {})]
    if named:
        container["env"].append({"name": "MERP_SECRET_ENV", "value": ",".join(named)})
    if not with_task:
        return
    sources = [entry.get("secretRef") for entry in container.get("envFrom") or []]
    whole = [source["name"] for source in sources if isinstance(source, dict) and source.get("name")]
    for number, secret in enumerate(dict.fromkeys(whole)):
        volume = f"{_MASKED_VOLUME}{number}"
        # Optional whatever envFrom says: one that is missing is told by what needs it.
        pod["volumes"].append({"name": volume, "secret": {"secretName": secret, "optional": True}})
        mount = {"name": volume, "mountPath": f"{SECRETS_FOLDER}/{secret}", "readOnly": True}
        container["volumeMounts"].append(mount)


def _task_container(pod: Json) -> Json:
    found: Json = next(entry for entry in pod["containers"] if entry["name"] == CONTAINER)
    return found


def _check(user: Json) -> None:
    where = "template.podTemplate"
    unknown = set(user) - {"metadata", "spec"}
    if unknown:
        raise TemplateError(f"{where}: has metadata and spec only, not {', '.join(sorted(unknown))}")
    for key in ("metadata", "spec"):
        part: object = user.get(key, {})
        if not isinstance(part, dict):
            raise TemplateError(f"{where}.{key}: must be an object")
    for key in ("labels", "annotations"):
        part = user.get("metadata", {}).get(key, {})
        if not isinstance(part, dict):
            raise TemplateError(f"{where}.metadata.{key}: must be an object")
    policy = (user.get("spec") or {}).get("restartPolicy", "Never")
    if policy != "Never":
        raise TemplateError(
            f"{where}.spec.restartPolicy: {policy} would hide attempts from the Job: leave it out, it is Never"
        )
    if FORBIDDEN_LABEL in ((user.get("metadata") or {}).get("labels") or {}):
        raise TemplateError(f"{where}.metadata.labels: {FORBIDDEN_LABEL} is not supported: use spec.pool")


def merge(base: Any, over: Any, key: str = "") -> Any:
    """`over` merged over `base`: objects by key, the named lists entry by entry, the rest replaced."""
    if isinstance(base, dict) and isinstance(over, dict):
        merged = dict(base)
        for name, value in over.items():
            merged[name] = merge(base[name], value, name) if name in base else value
        return merged
    by = _MERGE_KEYS.get(key)
    if by and isinstance(base, list):
        return _merge_lists(base, over, by, key)
    return over


def _merge_lists(base: list[Json], over: Any, by: str, key: str) -> list[Json]:
    if not isinstance(over, list):
        raise TemplateError(f"template.podTemplate: {key} must be a list")
    if not all(isinstance(entry, dict) and by in entry for entry in over):
        raise TemplateError(f"template.podTemplate: every entry of {key} needs {by}")
    given = {entry[by]: entry for entry in over}
    kept = [merge(entry, given[entry[by]]) if entry.get(by) in given else entry for entry in base]
    known = {entry.get(by) for entry in base}
    return kept + [entry for entry in over if entry[by] not in known]
