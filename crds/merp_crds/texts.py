"""Sentences for people in every language, with what to do.

A part in square brackets is left out where one of its parameters is not known.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from merp_crds.languages import Language

_PART: Final = re.compile(r"\[([^\]]*)\]")


@dataclass(frozen=True, slots=True)
class Text:
    """A sentence about what happened, and one about what to do; `remedy` is empty where nothing is to be done."""

    sentence: str
    remedy: str

    def filled(self, parameters: Mapping[str, Any]) -> "Text":
        """With its parameters in their places."""
        return Text(_filled(self.sentence, parameters), _filled(self.remedy, parameters))


@dataclass(frozen=True, slots=True)
class Texts:
    """One meaning in every language."""

    en: Text
    zh: Text

    def of(self, language: Language) -> Text:
        """The text in a language."""
        return self.zh if language is Language.ZH else self.en


def texts(en: str, en_remedy: str, zh: str, zh_remedy: str) -> Texts:
    """Both languages, each with its sentence and its remedy."""
    return Texts(Text(en, en_remedy), Text(zh, zh_remedy))


def _filled(text: str, parameters: Mapping[str, Any]) -> str:
    known = {name: value for name, value in parameters.items() if value is not None}

    def part(match: re.Match[str]) -> str:
        try:
            return match[1].format_map(known)
        except KeyError:
            return ""

    return _PART.sub(part, text)
