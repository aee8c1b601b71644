"""The reference has a page for every package that offers names. The strict build holds docstrings against signatures."""

from __future__ import annotations

import json
from pathlib import Path

import yaml
from tools.docstring_lists import apart

ROOT = Path(__file__).resolve().parents[2]
NAMES: dict[str, list[str]] = json.loads((ROOT / "tests/architecture/public_names.json").read_text())
OFFERING = [package for package, names in NAMES.items() if names]


def test_every_package_has_its_page() -> None:
    pages = {page.stem for page in (ROOT / "docs/reference").glob("*.md")} - {"index"}
    assert pages == {package.removeprefix("sendvae.") for package in OFFERING}
    navigation = str(yaml.load((ROOT / "mkdocs.yml").read_text(), yaml.BaseLoader)["nav"])
    for package in OFFERING:
        page = f"reference/{package.removeprefix('sendvae.')}.md"
        assert f"'{package}': '{page}'" in navigation
        assert f"::: {package}\n" in (ROOT / "docs" / page).read_text()
        assert f"| [{package}]({Path(page).name}) |" in (ROOT / "docs/reference/index.md").read_text()


def test_parameters_documented_together_are_parted() -> None:
    text = """Return a sum.

    Args:
        a, b: numbers,
            or none.
        c: another
    """
    assert apart(text) == text.replace(
        "        a, b: numbers,\n            or none.\n",
        "        a: numbers,\n            or none.\n        b: numbers,\n            or none.\n",
    )
