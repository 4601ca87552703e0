"""Values of secrets, hidden in everything the runner writes."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from merp_runner import connections

MASK = "***"
# The Secrets of which every key became a variable (envFrom), each a folder with a file for each key.
DIRECTORY = "/etc/merp-secrets"
# Shorter values ("1", "yes") occur in any text; hiding them would garble results and hide nothing.
MIN_LENGTH = 4
_TO_FIRST_AT = re.compile(r"[\w+.-]+://[^:/@]*:([^@]*)@", re.ASCII)
_TO_LAST_AT = re.compile(r"[\w+.-]+://[^:/@]*:(.*)@", re.ASCII | re.DOTALL)


_IN_QUERY = re.compile(r"[?&][^=&#]*(?:pass|pwd|token|secret|key)[^=&#]*=([^&#]*)", re.ASCII | re.IGNORECASE)


class Masking:
    """Replaces secret values by `***`, also as they look quoted in JSON, in a Python repr and in a URL."""

    def __init__(self, values: Iterable[str]) -> None:
        forms: set[str] = set()
        for value in values:
            for secret in (value, *_passwords(value)):
                if len(secret.strip()) >= MIN_LENGTH:
                    forms.update(_forms(secret))
        # Longest first: a short secret inside a longer one would leave the rest of the longer one readable.
        self._forms: list[str] = sorted(forms, key=lambda form: (-len(form), form))

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Masking:
        """Of the variables that MERP_SECRET_ENV names, separated by commas, of the Secrets in the folders of
        MERP_SECRETS, and of the run's connections."""
        names = [name.strip() for name in environment.get("MERP_SECRET_ENV", "").split(",")]
        values = [environment[name] for name in names if name in environment]
        files = _texts(Path(environment.get("MERP_SECRETS") or DIRECTORY))
        return cls([*values, *files, *connections.secrets(environment)])

    def text(self, text: str) -> str:
        """`text` without the secrets."""
        for form in self._forms:
            text = text.replace(form, MASK)
        return text

    def value(self, value: Any) -> Any:
        """The same in every text, key and number of a JSON value."""
        if not self._forms:
            return value
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, list):
            return [self.value(item) for item in value]
        if isinstance(value, dict):
            return {self.text(key): self.value(item) for key, item in value.items()}
        if isinstance(value, (int, float)) and str(value) in self._forms:
            return MASK
        return value


def _texts(directory: Path) -> Iterator[str]:
    """What the files of the folders in a folder hold, as a variable would hold it; none where there is no folder."""
    # Each key is a link into the kubelet's folder of the current version, whose name begins with two dots.
    for file in sorted(directory.glob("*/*")):
        if not file.name.startswith(".."):
            try:
                yield os.fsdecode(file.read_bytes())
            except OSError:  # what cannot be read here, the variable may hold all the same; the others are hidden
                continue


def _forms(secret: str) -> set[str]:
    from urllib.parse import quote, quote_plus  # here: only runs with secrets pay for it

    return {
        secret,
        secret.strip(),
        json.dumps(secret)[1:-1],
        json.dumps(secret, ensure_ascii=False)[1:-1],
        repr(secret)[1:-1],
        quote(secret, safe="", errors="replace"),
        quote_plus(secret, errors="replace"),
    }


def _passwords(value: str) -> list[str]:
    """The password inside a URL: an error may name it alone.

    Read as leniently as any client does: some take `/`, `#` and `@` in a password as they are.
    """
    found = {match[1] for match in (_TO_FIRST_AT.match(value), _TO_LAST_AT.match(value)) if match is not None}
    if "://" in value:
        found.update(_IN_QUERY.findall(value))
    if not found:
        return []
    from urllib.parse import unquote

    return [form for password in found for form in (password, unquote(password))]
