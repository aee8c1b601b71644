"""How people are told what does not fit in a JSON document that pydantic checks."""

from __future__ import annotations

from pydantic import ValidationError


def first_fault(error: ValidationError) -> str:
    """Return "FIELD: MESSAGE" for the first field that does not fit, or "MESSAGE" for a text that is not JSON."""
    fault = error.errors()[0]
    return ": ".join([*([".".join(map(str, fault["loc"]))] if fault["loc"] else []), fault["msg"]])
