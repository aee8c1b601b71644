"""The processes that run stages take the path from here; `toy_stages` lies on it."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
