"""The software and hardware with which a result was made."""

from __future__ import annotations

import platform
import subprocess
from importlib.metadata import version
from pathlib import Path


def describe_environment() -> dict[str, str | int]:
    """Return versions, processor and commit."""
    import torch

    return {
        "sendvae": version("sendvae"),
        "commit": commit(),
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "platform": platform.system(),
        "processor": _processor(),
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
        "threads": torch.get_num_threads(),
    }


def commit() -> str:
    """Return the package's git commit, with "-dirty" if files differ from it; "unknown" outside a checkout."""
    folder = Path(__file__).parent
    try:
        head = _git(folder, "rev-parse", "--short=12", "HEAD")
        inside = _git(folder, "ls-files", "--error-unmatch", __file__)
        dirty = _git(folder, "status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return head + ("-dirty" if dirty else "") if inside else "unknown"


def _git(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", str(folder), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown"
    )
