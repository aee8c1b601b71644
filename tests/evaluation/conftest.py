"""What processes of their own run lies on the path here, too, so that tests can run it in theirs."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
