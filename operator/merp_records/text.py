"""Text that any database takes: without what breaks a row, and cut where it is too long."""

import hashlib
import json
import re
from typing import Final

# A NUL ends a string in many clients; half a surrogate pair cannot be encoded at all and fails the whole batch.
_UNSTORABLE: Final = re.compile("[\x00\ud800-\udfff]")
_REPLACEMENT: Final = "\N{REPLACEMENT CHARACTER}"


def clean(text: str) -> str:
    """The text with NUL and lone surrogates replaced by U+FFFD, so that a reader sees that something was there."""
    return _UNSTORABLE.sub(_REPLACEMENT, text)


class _NearlyJson(ValueError):
    pass


def _refuse_constant(constant: str) -> None:
    raise _NearlyJson(constant)


def strict_result(text: str) -> str:
    """A result that readers can take at its word: JSON of RFC 8259, or text that nobody takes for JSON.

    What only some parsers take (NaN, Infinity) becomes a JSON string of itself.
    """
    try:
        json.loads(text, parse_constant=_refuse_constant)
    except _NearlyJson:
        return json.dumps(text, ensure_ascii=False)
    except (ValueError, RecursionError):
        # Text, of an image without our runner.
        return text
    return text


def cut_end(text: str, max_bytes: int) -> str:
    """The beginning of a text in at most `max_bytes` of UTF-8, on a character border, with a mark where it was cut."""
    if len(text.encode()) <= max_bytes:
        return text
    mark = f"… [cut, {len(text)} characters in all]"
    room = max_bytes - len(mark.encode())
    return text.encode()[:room].decode(errors="ignore") + mark


def cut_start(text: str, max_bytes: int) -> str:
    """The end of a text in at most `max_bytes` of UTF-8, on a character border, with a mark where it was cut."""
    if len(text.encode()) <= max_bytes:
        return text
    mark = f"[cut, {len(text)} characters in all] …"
    room = max_bytes - len(mark.encode())
    return mark + text.encode()[-room:].decode(errors="ignore")


def cut_digest(text: str, max_characters: int) -> str:
    """The beginning of a name in at most `max_characters`, with a digest, so that two long names stay two."""
    if len(text) <= max_characters:
        return text
    digest = hashlib.sha256(text.encode()).hexdigest()[:16]
    return f"{text[: max_characters - len(digest) - 1]}~{digest}"
