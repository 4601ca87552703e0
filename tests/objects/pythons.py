"""The Pythons of this machine that the runner has to work on."""

import re
import sys
from pathlib import Path
from typing import Final

_VERSION: Final = re.compile(r"python3\.(9|[1-9]\d)")


def interpreters() -> list[str]:
    """This process's Python, and the others under /usr/bin and pyenv, one per minor version from 3.9 on."""
    found = {sys.version_info.minor: str(getattr(sys, "_base_executable", sys.executable))}
    for folder in (Path("/usr/bin"), *sorted((Path.home() / ".pyenv/versions").glob("3.*/bin"))):
        for path in folder.glob("python3.*"):
            match = _VERSION.fullmatch(path.name)
            if match is not None:
                found.setdefault(int(match[1]), str(path))
    return [found[minor] for minor in sorted(found)]
