"""Connections: addresses with their credentials, given to a run by Secrets and named by its parameters.

Contract of the container, version 1. A connection NAME is either

* a folder NAME in MERP_CONNECTIONS (default /etc/merp-connections), in which each key of the Secret is a file, or
* a variable MERP_CONNECTION_NAME with its URL, where NAME is in capitals and anything but letters and digits is `_`.

The folder wins. Keys that are known: `url` (or `uri`), else `type`, `host`, `port`, `username`, `password`, `database`;
`token`. Others are handed on as they are.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from merp_runner.errors import ParameterError

DIRECTORY = Path("/etc/merp-connections")
VARIABLE = "MERP_CONNECTION_"
_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?", re.ASCII)
_URL_KEYS = ("url", "uri")
# What errors and results may name; the values of all other keys are masked.
_OPEN_KEYS = frozenset({"type", "provider", "host", "port", "username", "database"})


@dataclass(frozen=True)
class Connection:
    """Given to the parameter of a task that is annotated with this class; the caller gives the name.

    `values` are the Secret's keys and texts, without line breaks at their ends. A repr shows the name only.
    """

    name: str
    values: Mapping[str, str] = field(repr=False)

    @property
    def url(self) -> str:
        """The key `url` or `uri`, else put together from the parts. Raises ParameterError where neither is there."""
        for key in _URL_KEYS:
            if self.values.get(key):
                return self.values[key]
        missing = [key for key in ("type", "host") if not self.values.get(key)]
        if missing:
            raise ParameterError(
                f"connection {self.name}: its Secret has no {' and no '.join(missing)}: give it the key url, "
                "or type and host (with port, username, password, database)"
            )
        return _url(self.values)


def connection(name: str, environment: Mapping[str, str] = os.environ) -> Connection:
    """The connection of that name. Raises ParameterError where this run has none, naming those it has."""
    if _NAME.fullmatch(name) is not None:
        folder = _directory(environment) / name
        if folder in _folders(environment):
            return Connection(name, _values(folder))
        url = environment.get(_variable(name), "").rstrip("\r\n")
        if url:
            return Connection(name, {"url": url})
    known = ", ".join(names(environment)) or "none"
    raise ParameterError(
        f"connection {name[:100]!r}: this run has {known}; spec.connections, or a variable {VARIABLE}…, gives it one"
    )


def names(environment: Mapping[str, str]) -> list[str]:
    """The connections of this run, sorted; of variables the name with `-` for each `_`."""
    found = {folder.name for folder in _folders(environment)}
    found.update(variable[len(VARIABLE) :].lower().replace("_", "-") for variable in _variables(environment))
    return sorted(found)


def secrets(environment: Mapping[str, str]) -> Iterator[str]:
    """Every text of a connection that nothing may show: all but plain addresses, and user names."""
    for variable in _variables(environment):
        yield environment[variable]
    for folder in _folders(environment):
        try:
            values = _values(folder)
        except ParameterError:  # what cannot be read cannot be shown; whoever asks for it is told
            continue
        for key, value in values.items():
            # An address alone is none; who writes a user, or a query, may have written a password.
            if key not in _OPEN_KEYS and not (key in _URL_KEYS and "@" not in value and "?" not in value):
                yield value


def _directory(environment: Mapping[str, str]) -> Path:
    return Path(environment.get("MERP_CONNECTIONS") or DIRECTORY)


def _folders(environment: Mapping[str, str]) -> list[Path]:
    directory = _directory(environment)
    try:
        return sorted(folder for folder in directory.iterdir() if _NAME.fullmatch(folder.name) and folder.is_dir())
    except OSError:  # there is none, or none that this user may look into
        return []


def _variables(environment: Mapping[str, str]) -> list[str]:
    return [name for name in environment if name.startswith(VARIABLE) and environment[name]]


def _variable(name: str) -> str:
    return VARIABLE + re.sub(r"[^A-Z0-9]", "_", name.upper())


def _values(folder: Path) -> dict[str, str]:
    # The kubelet's own entries begin with two dots: the folder of the current version, and the link to it.
    try:
        files = [file for file in sorted(folder.iterdir()) if not file.name.startswith("..") and file.is_file()]
        return {file.name: file.read_text(encoding="utf-8").rstrip("\r\n") for file in files}
    except (OSError, UnicodeDecodeError) as error:
        raise ParameterError(f"connection {folder.name}: {error}") from error


def _url(values: Mapping[str, str]) -> str:
    from urllib.parse import quote  # here: only runs with connections pay for it

    user = quote(values.get("username", ""), safe="")
    password = f":{quote(values['password'], safe='')}" if values.get("password") else ""
    host = f"[{values['host']}]" if ":" in values["host"] and "[" not in values["host"] else values["host"]
    port = f":{values['port']}" if values.get("port") else ""
    database = quote(values.get("database", ""))
    return f"{values['type']}://{user}{password}{'@' if user or password else ''}{host}{port}/{database}"
