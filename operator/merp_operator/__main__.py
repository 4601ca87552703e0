"""`python -m merp_operator`: run the operator."""

import asyncio
import logging
import sys

from pydantic import ValidationError

from merp_kube import garbage, logs, nesting
from merp_operator import process
from merp_operator.settings import OperatorSettings


def main() -> None:
    """Read the settings and run until told to stop. Exits with 2 and the variable's name if one is wrong."""
    nesting.read_all_that_kubernetes_stores()
    try:
        settings = OperatorSettings()
        logs.configure(settings.log_level, settings.log_file)
    except ValidationError as error:
        for entry in error.errors(include_input=False, include_url=False):
            print(f"{'.'.join(map(str, entry['loc'])).upper()}: {entry['msg']}", file=sys.stderr)
        sys.exit(2)
    # It tells of each event it handles at INFO.
    logging.getLogger("kopf").setLevel(logging.WARNING)
    garbage.shorten_pauses()
    asyncio.run(process.run(settings))


if __name__ == "__main__":
    main()
