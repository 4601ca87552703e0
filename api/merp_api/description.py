"""`python -m merp_api.description`: write the OpenAPI document, or check that the committed one is up to date."""

import argparse
import json
import sys
from pathlib import Path
from typing import Final

from merp_api.app import bare_gateway

_ROOT: Final = Path(__file__).resolve().parents[2]
_FILE: Final = Path("docs/openapi.json")


def render() -> str:
    """The document as it is committed."""
    return json.dumps(bare_gateway().openapi(), ensure_ascii=False, indent=1) + "\n"


def main() -> None:
    """Write the file, or with --check exit 1 where it differs from what the code says."""
    parser = argparse.ArgumentParser(prog="python -m merp_api.description", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if the file is not up to date")
    parser.add_argument("--root", type=Path, default=_ROOT, help="the project's root")
    arguments = parser.parse_args()
    target, text = arguments.root / _FILE, render()
    if target.exists() and target.read_text(encoding="utf-8") == text:
        return
    if arguments.check:
        sys.exit(f"not up to date: {_FILE}: run `make generate`")
    target.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
