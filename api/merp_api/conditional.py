"""Answers that a client may have already: ETag, If-None-Match and 304."""

import hashlib
from typing import TypeVar

from fastapi import Request, Response
from pydantic import BaseModel

Shown = TypeVar("Shown", bound=BaseModel)


def tagged(request: Request, response: Response, view: Shown, tag: str | None = None) -> Shown | Response:
    """`view` with an ETag, or 304 where If-None-Match names that; the tag of its content if none is given."""
    if tag is None:
        tag = f'W/"{hashlib.sha256(view.model_dump_json().encode()).hexdigest()[:32]}"'
    if is_known(request.headers.get("if-none-match"), tag):
        # What a cache keeps it under, as the full answer says it.
        kept = {name: response.headers[name] for name in ("Vary", "Content-Language") if name in response.headers}
        return Response(status_code=304, headers=kept | {"ETag": tag})
    response.headers["ETag"] = tag
    return view


def is_known(if_none_match: str | None, tag: str) -> bool:
    """Whether a client has the version `tag`, compared weakly, as RFC 9110 has it for reading."""
    if if_none_match is None:
        return False
    candidates = [candidate.strip().removeprefix("W/") for candidate in if_none_match.split(",")]
    return "*" in candidates or tag.removeprefix("W/") in candidates
