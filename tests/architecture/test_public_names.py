"""What every package offers is pinned: a name that comes, goes or is renamed is seen and meant.

After a deliberate change, with a line in CHANGELOG.md for what users see:

    python tests/architecture/test_public_names.py
"""

from __future__ import annotations

import importlib
import json
import pkgutil
from pathlib import Path

import pytest

import sendvae

STORED = Path(__file__).with_name("public_names.json")


def packages() -> list[str]:
    """Return sendvae and all packages in it."""
    found = pkgutil.walk_packages(sendvae.__path__, "sendvae.")
    return ["sendvae", *sorted(module.name for module in found if module.ispkg)]


def public_names(package: str) -> list[str]:
    """Return the sorted `__all__` of a package; nothing where it offers nothing."""
    return sorted(getattr(importlib.import_module(package), "__all__", []))


def stored() -> dict[str, list[str]]:
    return json.loads(STORED.read_text())


def test_the_packages_are_the_stored_ones() -> None:
    assert packages() == sorted(stored())


@pytest.mark.parametrize("package", packages())
def test_a_package_offers_what_it_did(package: str) -> None:
    names = public_names(package)
    assert names == stored()[package]
    module = importlib.import_module(package)
    assert len(module.__dict__.get("__all__", [])) == len(set(names))
    assert all(hasattr(module, name) for name in names)


if __name__ == "__main__":
    offered = {package: public_names(package) for package in packages()}
    STORED.write_text(json.dumps(offered, indent=1) + "\n")
