"""Runs the whole harness of faults (tests/faults), and draws docs/reliability.md from what came of it.

    python -m tools.reliability               what has not been tried, or failed; then the page (`make reliability`)
    python -m tools.reliability --anew        all of it
    python -m tools.reliability --beside      what has not been tried on any machine; the record names each machine
    python -m tools.reliability --only TEXT   of stages, mishaps and kinds of input with the text in their name
    python -m tools.reliability.page          the page alone

It takes an hour or two and may be stopped: what was tried is kept in docs/results/reliability.json. Full disks and such
that can only be read need root; without it they are left out.
"""

import sys
from pathlib import Path
from types import ModuleType

if "tests" not in sys.modules:  # some libraries install a package of that name
    sys.modules["tests"] = ModuleType("tests")
    sys.modules["tests"].__path__ = [str(Path(__file__).parents[2] / "tests")]
