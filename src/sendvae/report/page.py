"""The writing of pages. Each page is one HTML file that needs no other file."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from sendvae.files import write_text
from sendvae.report import plots

RELOAD_SECONDS = 10  # after which a page whose content still changes loads itself again


def write_page(template: str, output: Path, live: bool = False, **content: Any) -> Path:
    """Fill a template, write the page and return `output`.

    Args:
        template: the name of the template.
        output: the file to write.
        live: whether the page loads itself again every `RELOAD_SECONDS`, since what it shows still changes.
        **content: the variables of the template.
    """
    environment = Environment(
        loader=PackageLoader("sendvae.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(key=plots.key, mark=plots.mark)
    output.parent.mkdir(parents=True, exist_ok=True)
    write_text(
        output, environment.get_template(template).render(live=live, reload_seconds=RELOAD_SECONDS, **content)
    )
    return output


def data_uri(path: Path) -> str:
    """Return a PNG as a data URL."""
    return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode()


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Return nested settings as texts by dotted path."""
    lines: dict[str, str] = {}
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            lines |= flat(value, f"{prefix}{key}.")
        elif isinstance(value, list):
            lines[f"{prefix}{key}"] = ", ".join(map(str, value)) or "none"
        elif value is None or isinstance(value, bool):
            lines[f"{prefix}{key}"] = "none" if value is None else "yes" if value else "no"
        else:
            lines[f"{prefix}{key}"] = str(value)
    return lines
