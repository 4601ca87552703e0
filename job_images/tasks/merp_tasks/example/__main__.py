"""`python -m merp_tasks.example CONNECTION`: the example data into the empty database of a connection."""

import sys

from merp_runner import ParameterError, connection
from merp_tasks.databases import database
from merp_tasks.example import load


def main(argv: list[str]) -> int:
    """The exit status: 0; 1 for a failure that was told; 2 for bad usage."""
    if len(argv) != 1:
        print("usage: python -m merp_tasks.example CONNECTION     (with MERP_CONNECTION_… in the environment)")
        return 2
    try:
        with database(connection(argv[0]), create=True) as engine:
            for table, count in load(engine).items():
                print(f"{table:<20}{count:>6} rows")
    except (ParameterError, ValueError) as error:
        print(f"merp_tasks.example: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
