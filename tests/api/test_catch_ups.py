"""What a catch-up is about: since when a job is paused, and what was due in that time."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from merp_api.catch_ups import Span, pause_span
from merp_crds.names import ANNOTATION_PAUSED

CREATED = "2026-11-01T02:30:00Z"
NOTE = {"by": "li", "at": "2026-12-01T10:01:00Z"}


def at(time: str) -> datetime:
    """A time of 1 December 2026."""
    return datetime.fromisoformat(f"2026-12-01T{time}").replace(tzinfo=UTC)


def _seen(since: str, message: str | None) -> dict[str, Any]:
    return {"type": "Paused", "status": "True", "reason": "x", "message": message, "lastTransitionTime": since}


@pytest.mark.parametrize(
    ("note", "seen", "suspend", "expected"),
    [
        pytest.param(None, None, False, None, id="not-paused"),
        pytest.param(NOTE, None, False, ("10:01", "12:07"), id="the-note-says-it"),
        pytest.param("true", "2026-12-01T10:30:00Z", False, ("10:30", "12:07"), id="a-note-without-a-time"),
        pytest.param({"at": "soon"}, "2026-12-01T10:30:00Z", False, ("10:30", "12:07"), id="a-note-with-a-wrong-time"),
        pytest.param({"at": "2026-12-01T10:01:00"}, "2026-12-01T10:30:00Z", False, ("10:30", "12:07"), id="no-zone"),
        pytest.param({"at": "2026-12-01T18:01:00.7+08:00"}, None, False, ("10:01", "12:07"), id="another-offset"),
        pytest.param({"at": "2026-12-01t10:01:00z"}, None, False, ("10:01", "12:07"), id="small-letters"),
        pytest.param(None, "2026-12-01T10:30:00Z", True, ("10:30", "12:07"), id="declared"),
        pytest.param(NOTE, "2026-12-01T09:00:00Z", False, ("09:00", "12:07"), id="the-note-was-replaced"),
        pytest.param(NOTE, "2026-12-01T11:00:00Z", True, ("10:01", "12:07"), id="declared-later-as-well"),
        pytest.param("true", None, False, ("12:07", "12:07"), id="nobody-saw-it-begin"),
        pytest.param(None, None, True, ("12:07", "12:07"), id="declared-and-not-seen"),
        pytest.param({"at": "2019-01-01T00:00:00Z"}, None, False, (CREATED, "12:07"), id="before-there-was-a-job"),
        pytest.param({"at": "2027-01-01T00:00:00Z"}, None, False, ("12:07", "12:07"), id="a-note-of-the-future"),
        pytest.param(NOTE | {"until": "2026-12-01T13:00:00Z"}, None, False, ("10:01", "12:07"), id="not-over"),
        pytest.param(NOTE | {"until": "2026-12-01T11:00:00Z"}, None, False, None, id="over"),
        pytest.param(NOTE | {"until": "2026-12-01T11:00:00Z"}, "2026-12-01T10:01:01Z", False, ("10:01", "11:00"),
                     id="over-and-still-in-force"),
        pytest.param(NOTE | {"until": "2026-12-01T11:00:00Z"}, "2026-12-01T11:30:00Z", True, ("11:30", "12:07"),
                     id="declared-after-a-pause-that-is-over"),
    ],
)  # fmt: skip
def test_since_when_it_is_paused(
    scheduled_job: Any, note: Any, seen: str | None, suspend: bool, expected: tuple[str, str] | None
) -> None:
    job = scheduled_job("j", suspend=suspend or None)
    text = note if isinstance(note, str) or note is None else json.dumps(note)
    job["metadata"] |= {"creationTimestamp": CREATED, "annotations": {} if text is None else {ANNOTATION_PAUSED: text}}
    job["status"] = {"conditions": [] if seen is None else [_seen(seen, text)]}
    found = pause_span(job, at("12:07:00.5"))
    if expected is None:
        assert found is None
        return
    start, end = expected
    assert found == Span(datetime.fromisoformat(start) if start == CREATED else at(start), at(end))
