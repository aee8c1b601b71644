"""Adds this folder to the path, which the processes that run stages take over, so that they find `toy_stages`."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
