"""Answer questions: python -m benchmarks [--quick] [NAME...]

Every module here that has `measure` is a benchmark; its first line is its question. Without --quick answers are written to
benchmarks/results, from which `python -m benchmarks.table` draws docs/performance.md. Let nothing else run meanwhile.
"""

from __future__ import annotations

import argparse
import importlib
import pkgutil
from pathlib import Path
from types import ModuleType

import torch
from rich.console import Console

import benchmarks
from benchmarks.harness import Report

NOT_ASKED = {"__main__", "harness", "table"}


def modules() -> dict[str, ModuleType]:
    """Return the benchmarks by name."""
    names = [found.name for found in pkgutil.iter_modules(benchmarks.__path__) if found.name not in NOT_ASKED]
    loaded = {name: importlib.import_module(f"benchmarks.{name}") for name in names}
    return {name: module for name, module in loaded.items() if hasattr(module, "measure")}


def answer(name: str, module: ModuleType, quick: bool) -> Report:
    """Measure one benchmark."""
    torch.manual_seed(0)
    report = Report(name, (module.__doc__ or "").partition("\n")[0], quick)
    module.measure(report)
    return report


def main() -> None:
    """Measure all, or those that are named."""
    known = modules()
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(known))
    parser.add_argument("--quick", action="store_true", help="tiny sizes, nothing is written: does it run?")
    parser.add_argument("--threads", type=int, default=1, help="of each process; default: 1")
    parser.add_argument("--output", type=Path, help="folder of the JSON files")
    options = parser.parse_args()
    if unknown := set(options.names) - set(known):
        parser.error(f"unknown benchmark {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    torch.set_num_threads(options.threads)
    console = Console(width=160)
    for name in options.names or known:
        report = answer(name, known[name], options.quick)
        report.show(console)
        if options.output is not None:
            report.save(options.output)
        elif not options.quick:
            report.save()


if __name__ == "__main__":
    main()
