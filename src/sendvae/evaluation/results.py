"""A result on disk: numbers with their protocol, inputs and environment; and when two results compare."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sendvae.documents import first_fault
from sendvae.errors import UserError
from sendvae.files import write_text
from sendvae.quantities import Quantity
from sendvae.runs import describe_environment

RESULTS = "results.json"
# Raised when an evaluation of the same configuration, weights and data gives other numbers than before (a mended
# metric, other resamples, another order of draws) or keeps other files: what is stored of it is then measured anew.
PROTOCOL_VERSION = 1
LIBRARIES = ("numpy", "scipy", "scikit-learn", "torchvision", "torch-fidelity")
FIELDS_SHOWN = 8  # of those in which two protocols differ
Kind = Literal["generation", "reconstruction", "latents", "velocity"]


class _Model(BaseModel):
    # JSON has no infinity: the PSNR of equal images is the string "Infinity", which reads back as a number.
    model_config = ConfigDict(extra="forbid", frozen=True, ser_json_inf_nan="strings")


class Number(_Model):
    """A value with its 95 % interval and the method of the interval; None if there is no interval."""

    value: float
    interval: tuple[float, float] | None = None
    method: str | None = None


class Input(_Model):
    """An input of an evaluation: its source as the user gave it, the number of images, a digest of the content."""

    source: str
    images: int | None = None
    digest: str


class Subject(_Model):
    """The thing that was evaluated: a set of samples, or a tokenizer.

    Attributes:
        name: the name in tables.
        input: where it came from.
        numbers: the numbers by metric; intervals stand in no metric of their own.
        details: whatever else is worth keeping (values per attribute, why a score is missing).
        resampled: numbers of every resample of the test split, where they have any; in memory only.
        without: numbers without each part of the test split, where they have any; in memory only.
        repeats: numbers of every repeat, where they are means of such; in memory only.
    """

    name: str
    input: Input
    numbers: dict[str, Number]
    details: dict[str, Any] = {}
    resampled: dict[str, list[float]] = Field(default={}, exclude=True)
    without: dict[str, list[float]] = Field(default={}, exclude=True)
    repeats: dict[str, list[float]] = Field(default={}, exclude=True)


class Result(_Model):
    """One evaluation.

    Attributes:
        protocol: every choice that changes the numbers; results compare only if it is equal.
        inputs: data and references that all subjects share.
        subjects: a row of the table each.
        quantities: how each number is read: label, direction, digits, explanation.
        findings: what follows from all rows together (correlations, predictions).
    """

    format: Literal[1] = 1
    kind: Kind
    protocol: dict[str, Any]
    inputs: dict[str, Input]
    subjects: list[Subject] = Field(min_length=1)
    quantities: dict[str, Quantity] = {}
    findings: dict[str, Any] = {}
    environment: dict[str, str | int] = Field(default_factory=lambda: describe_environment() | _versions())
    created: str = Field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))

    def save(self, folder: Path) -> Path:
        """Write `results.json` into the folder, which is created if missing."""
        folder.mkdir(parents=True, exist_ok=True)
        write_text(folder / RESULTS, self.model_dump_json(indent=1) + "\n")
        return folder / RESULTS

    @classmethod
    def load(cls, path: Path) -> Result:
        """Load a result from a file, or from a folder that holds one.

        Raises:
            UserError: no such file, or no result.
        """
        file = path / RESULTS if path.is_dir() else path
        try:
            return cls.model_validate_json(file.read_bytes())
        except FileNotFoundError:
            raise UserError(
                "no such result",
                given=file,
                expected=f"{RESULTS} of sendvae evaluate, or its folder",
            ) from None
        except ValidationError as error:
            raise UserError(f"{file} is no result of sendvae evaluate", given=first_fault(error)) from None


def _versions() -> dict[str, str]:
    return {name: version(name) for name in LIBRARIES}


def check_comparable(first: Result, second: Result, names: tuple[str, str]) -> None:
    """Check that two results compare: protocol, shared inputs and numbers of images must be equal.

    Raises:
        UserError: lists the fields that differ.
    """
    if differing := differing_fields(_identity(first), _identity(second)):
        raise UserError(
            f"{names[0]} and {names[1]} were measured differently: their numbers do not compare",
            given="\n            ".join(differing),
            next_step="evaluate both with the same protocol and data",
        )


def differing_fields(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[str]:
    """Return "field: value | other value" of nested values, for the first fields that differ; nothing if none does."""
    before, after = (dict(_flatten(values)) for values in (first, second))
    differing = [key for key in before | after if before.get(key) != after.get(key)]
    lines = [
        f"{key}: {before.get(key, '(none)')} | {after.get(key, '(none)')}" for key in differing[:FIELDS_SHOWN]
    ]
    return [*lines, f"and {len(differing) - FIELDS_SHOWN} more"] if len(differing) > FIELDS_SHOWN else lines


def _identity(result: Result) -> dict[str, Any]:
    """Return everything that must be equal: the content of inputs counts, their place does not."""
    images = {subject.input.images for subject in result.subjects}
    return {
        "kind": result.kind,
        "protocol": result.protocol,
        "inputs": {
            name: {"images": given.images, "digest": given.digest} for name, given in result.inputs.items()
        },
        "images": sorted(count for count in images if count is not None),
    }


def _flatten(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
