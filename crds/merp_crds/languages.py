"""The languages that people are told things in."""

from enum import StrEnum


class Language(StrEnum):
    """Every text for people that is chosen by its reader exists in each of these."""

    EN = "en"
    ZH = "zh"
