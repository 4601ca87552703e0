"""A merge patch (RFC 7396) of a job: as the body that a PUT would have for it. Pure."""

from datetime import datetime
from typing import Any, Final

from merp_api import problems
from merp_api.problems import FieldError
from merp_api.schemas import READ_ONLY, JobType
from merp_api.translate import TIMING_FIELDS, Json

# What a PUT sets to its default where it is left out, or cannot be without.
_WHOLE: Final = ("name", "job_type", "func", "args", "kwargs", "description")
_REMEDIES: Final = {
    "status": "pause and resume change it",
    "paused": "pause and resume change it",
    "suspended": "the manifest declares it, and resume ends it",
}


def body_of(current: Json, patch: Any) -> Any:
    """The body of a PUT that changes what `patch` says, and nothing else.

    `current` is the contract of the job. Objects are merged, null is the default, and inside of `kwargs` null takes a
    key away. Another job_type takes the time of the former one along. What is no object comes back as it is. Raises
    Problem 400 for fields that nobody can write.
    """
    if not isinstance(patch, dict):
        return patch
    _check_writable(patch)
    body = {field: current[field] for field in _WHOLE}
    job_type = patch.get("job_type", current["job_type"])
    timing = TIMING_FIELDS.get(JobType(job_type)) if job_type in list(JobType) else None
    if timing is not None:
        body[timing] = _as_sent(current[timing])
    for field, value in patch.items():
        body[field] = _merged(current.get(field), value)
    return body


def _check_writable(patch: Json) -> None:
    wrong = [
        FieldError.in_body([field], "read_only", f"is only in answers: {_REMEDIES.get(field, 'leave it out')}")
        for field in patch
        if field in READ_ONLY
    ]
    if wrong:
        raise problems.validation(wrong)


def _merged(before: Any, patch: Any) -> Any:
    if not isinstance(patch, dict):
        return patch
    made = dict(before) if isinstance(before, dict) else {}
    for key, value in patch.items():
        if value is None:
            made.pop(key, None)
        else:
            made[key] = _merged(made.get(key), value)
    return made


def _as_sent(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value
