"""What a name for people may be: any language, on one line."""

import unicodedata
from typing import Final

CONTROL_CHARACTER: Final = "has a line break or another control character: leave it out"
NOTHING_VISIBLE: Final = "has nothing that can be seen: write a name"
# As the schema's rules have it, in the categories of Unicode; an emoji that this Python does not know yet can be seen.
_LINE_BREAKERS: Final = frozenset({"Cc", "Zl", "Zp"})
_INVISIBLE: Final = frozenset({"Cc", "Cf", "Co", "Cs", "Zl", "Zp", "Zs"})


def check_display_name(name: str) -> str:
    """The name itself. Raises ValueError where nobody could read it, or it would break the line of a log or a table."""
    categories = {unicodedata.category(character) for character in name}
    if categories & _LINE_BREAKERS:
        raise ValueError(CONTROL_CHARACTER)
    if categories <= _INVISIBLE:
        raise ValueError(NOTHING_VISIBLE)
    return name
