"""JSON documents whose fields pydantic checks, and how people are told what does not fit."""

from __future__ import annotations

from pydantic import ValidationError


def first_fault(error: ValidationError) -> str:
    """Return "FIELD: MESSAGE" of the first field of a document that does not fit."""
    fault = error.errors()[0]
    return f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}"
