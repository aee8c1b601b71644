"""The command line."""

from __future__ import annotations

import argparse
import os
import sys

import tools.mutants
from tools.mutants import find
from tools.mutants.runner import TIMEOUT, run


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tools.mutants",
        description=tools.mutants.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--list", action="store_true", help="print the mutants and run nothing")
    parser.add_argument("--only", action="append", default=[], metavar="NAME", help="this one (repeatable)")
    parser.add_argument(
        "--timeout", type=float, default=TIMEOUT, help="seconds of a mutant's tests (%(default)s)"
    )
    parser.add_argument(
        "--jobs", type=int, default=os.cpu_count() or 1, help="mutants at a time (%(default)s)"
    )
    arguments = parser.parse_args()
    try:
        chosen = find(arguments.only)
    except KeyError as error:
        parser.error(f"no mutant {error}; --list shows them")
    if arguments.list:
        for mutant in chosen:
            print(f"{mutant.name:30} {mutant.fault}\n{'':30} {mutant.file}; {', '.join(mutant.tests)}")
        return 0
    try:
        survivors = run(chosen, arguments.timeout, arguments.jobs)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    print(f"{len(chosen) - len(survivors)} of {len(chosen)} die; survivors: {', '.join(survivors) or 'none'}")
    return int(bool(survivors))


if __name__ == "__main__":
    sys.exit(main())
