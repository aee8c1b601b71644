"""An extension of griffe for the reference: "a, b: text" of a docstring documents a and b."""

from __future__ import annotations

import re
from typing import Any

from griffe import Extension, Object

TOGETHER = re.compile(
    r"^(?P<indent> +)(?P<names>\*{0,2}\w+(?:, \*{0,2}\w+)+):(?P<text>.*(?:\n(?P=indent) +.*)*)", re.M
)


def apart(text: str) -> str:
    """Return a docstring in which each name of an "a, b: text" line has its own line, with the same text."""
    return TOGETHER.sub(
        lambda found: "\n".join(
            f"{found['indent']}{name}:{found['text']}" for name in found["names"].split(", ")
        ),
        text,
    )


class DocstringLists(Extension):
    """The extension, which rewrites every docstring that is collected."""

    def on_object(self, *, obj: Object, **_: Any) -> None:
        """Rewrite the docstring of an object before it is parsed."""
        if obj.docstring:
            obj.docstring.value = apart(obj.docstring.value)
