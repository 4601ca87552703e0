"""Which language a client wants: Accept-Language, as RFC 9110 has it."""

import re
from typing import Annotated, Final

from fastapi import Depends, Header, Response

from merp_crds.languages import Language

_RANGE: Final = re.compile(
    r"\s*(?P<range>\*|[A-Za-z]{1,8}(?:-[A-Za-z0-9]{1,8})*)\s*(?:;\s*[qQ]=(?P<q>0(?:\.\d{0,3})?|1(?:\.0{0,3})?)\s*)?"
)
# Longer ones are no browser's: what is beyond is not looked at.
_MAX_RANGES: Final = 32
_DEFAULT: Final = Language.EN


def preferred(header: str | None) -> Language:
    """The language with the highest weight; English where nothing is said, or nothing that there is. Pure.

    `zh-CN` and `zh-Hant` are Chinese. What is no language range is passed over, as browsers send anything.
    """
    weights: dict[str, float] = {}
    for text in (header or "").split(",", _MAX_RANGES)[:_MAX_RANGES]:
        found = _RANGE.fullmatch(text)
        if found is not None:
            primary = found["range"].partition("-")[0].lower()
            weights[primary] = max(weights.get(primary, 0.0), float(found["q"] or 1))
    # English first: of two that are wanted alike the default is given.
    ranked = sorted(Language, key=lambda language: language is not _DEFAULT)
    best = max(ranked, key=lambda language: weights.get(language.value, weights.get("*", 0.0)))
    return best if weights.get(best.value, weights.get("*", 0.0)) > 0 else _DEFAULT


def speak(response: Response, language: Language) -> None:
    """Say in the headers which language an answer is in, and that another one could have been asked for."""
    response.headers["Content-Language"] = language.value
    response.headers["Vary"] = "Accept-Language"


def _language(
    response: Response,
    wanted: Annotated[
        str | None,
        Header(alias="Accept-Language", description="`en` or `zh`, with weights: the language of texts for people."),
    ] = None,
) -> Language:
    language = preferred(wanted)
    speak(response, language)
    return language


LanguageOf = Annotated[Language, Depends(_language)]
