"""Adds this folder to the path, so that tests can also run in their process what other processes run."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
