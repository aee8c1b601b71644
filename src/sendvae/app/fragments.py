"""HTML fragments. Their pictures are embedded, so that no file is served."""

from __future__ import annotations

import base64
import functools
import io
from pathlib import Path
from typing import Any

from jaxtyping import UInt8
from jinja2 import Environment, PackageLoader, StrictUndefined
from PIL import Image
from torch import Tensor

from sendvae.app.refusal import Refusal

STYLE = Path(__file__).parent / "templates" / "style.css"


def fragment(template: str, **content: Any) -> str:
    """Return a template filled with content, which is escaped."""
    return _environment().get_template(template).render(**content)


def message(error: Refusal) -> str:
    """Return a fragment with a message that tells the user what to change."""
    return fragment("message.html", error=error)


def picture(pixels: UInt8[Tensor, "3 H W"]) -> str:
    """Return a picture as a data URL of a PNG."""
    file = io.BytesIO()
    Image.fromarray(pixels.permute(1, 2, 0).contiguous().numpy()).save(file, format="PNG", compress_level=1)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


@functools.cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("sendvae.app"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["picture"] = picture
    return environment
