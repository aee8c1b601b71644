"""The names of the configurations that come with the package."""

from __future__ import annotations

import difflib
from importlib import resources
from pathlib import Path

from sendvae.errors import UserError

PRESETS = resources.files("sendvae.config") / "presets"
LISTING = "sendvae presets lists them"


def preset_names() -> list[str]:
    """Return the name of every shipped preset, as "folder/name" or "name"."""
    root = Path(str(PRESETS))
    return sorted(path.relative_to(root).with_suffix("").as_posix() for path in root.rglob("*.yaml"))


def no_preset(name: str) -> UserError:
    """Return the error for a name that no preset has, with the nearest name as advice."""
    if Path(name).is_dir():
        return UserError("a folder where a configuration is expected", given=name, next_step=LISTING)
    near = difflib.get_close_matches(name, preset_names(), n=1, cutoff=0.5)
    return UserError(
        f"unknown preset '{name}'",
        expected="a preset, or a path to a YAML file",
        next_step=(f"did you mean '{near[0]}'? " if near else "") + LISTING,
    )
