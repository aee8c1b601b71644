"""JSON documents whose fields pydantic checks, and how people are told what does not fit."""

from __future__ import annotations

from pydantic import ValidationError


def first_fault(error: ValidationError) -> str:
    """Return "FIELD: MESSAGE" of the first field of a document that does not fit; "MESSAGE" of a text that is no JSON."""
    fault = error.errors()[0]
    return ": ".join([*([".".join(map(str, fault["loc"]))] if fault["loc"] else []), fault["msg"]])
