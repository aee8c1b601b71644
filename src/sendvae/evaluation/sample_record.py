"""The record beside samples of how they were drawn, by which equal commands are recognised."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, ValidationError

from sendvae.config import SampleConfig
from sendvae.data import open_images
from sendvae.documents import first_fault
from sendvae.errors import UserError
from sendvae.evaluation.diffusion_model import DiffusionModel
from sendvae.evaluation.labels import Labels
from sendvae.evaluation.results import Input
from sendvae.files import write_text
from sendvae.nn.precision import resolve_precision
from sendvae.runs import describe_environment

SAMPLES = "samples.json"
PLACES = {"run", "tokenizer"}  # where weights lay; their digests tell what they were
FIELDS_SHOWN = 8


class SampleRecord(BaseModel):
    """How samples were drawn.

    Attributes:
        content: everything that the pixels depend on, with the places the weights were read from.
        environment: versions and processor.
        digest: the digest of the finished samples; None while they are being drawn.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal[1] = 1
    content: dict[str, Any]
    environment: dict[str, str | int]
    created: str
    digest: str | None = None

    def differing(self, other: SampleRecord) -> list[str]:
        """Return "field: mine | the other's" for every field in which the pixels of two records may differ."""
        mine, theirs = ({k: v for k, v in one.content.items() if k not in PLACES} for one in (self, other))
        return [
            f"{key}: {mine.get(key, '(none)')} | {theirs.get(key, '(none)')}"
            for key in mine | theirs
            if mine.get(key) != theirs.get(key)
        ]

    def content_digest(self) -> str:
        """Return a short digest of everything that the pixels depend on."""
        content = {key: value for key, value in self.content.items() if key not in PLACES}
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]

    def save(self, path: Path) -> None:
        """Write the record as JSON."""
        write_text(path, self.model_dump_json(indent=1) + "\n")


def describe_samples(
    model: DiffusionModel, config: SampleConfig, labels: Labels, device: torch.device, form: Mapping[str, Any]
) -> SampleRecord:
    """Return the record of samples that are about to be drawn.

    Args:
        form: the form of the files: what else their bytes depend on.
    """
    content: dict[str, Any] = {**model.origin, "size": model.pixels}
    content |= config.model_dump(mode="json", exclude={"kind"})
    content |= {
        "labels": labels.policy,
        "labels_digest": hashlib.sha256(json.dumps(labels.values.tolist()).encode()).hexdigest()[:16],
        "precision": resolve_precision(config.precision, device),
        **form,
    }
    created = datetime.now(UTC).isoformat(timespec="seconds")
    return SampleRecord(content=content, environment=describe_environment(), created=created)


def record_path(samples: Path) -> Path:
    """Return where the record of samples lies: in their folder, or beside NAME.npz or NAME.png as NAME.json."""
    return samples / SAMPLES if samples.suffix not in (".npz", ".png") else samples.with_suffix(".json")


def load_record(path: Path) -> SampleRecord | None:
    """Return the record in a file; None where there is no file.

    Raises:
        UserError: the file is no such record.
    """
    try:
        return SampleRecord.model_validate_json(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except ValidationError as error:
        raise UserError(
            f"{path} is no record of sendvae sample",
            given=first_fault(error),
            next_step="move it away",
        ) from None


def check_same(found: SampleRecord, wanted: SampleRecord, place: Path) -> None:
    """Compare what lies at a place with what is to be made there.

    Raises:
        UserError: they differ; names the fields.
    """
    differing = found.differing(wanted)
    if differing:
        more = [f"and {len(differing) - FIELDS_SHOWN} more"] if len(differing) > FIELDS_SHOWN else []
        raise UserError(
            f"{place} holds other samples",
            given="\n            ".join([*differing[:FIELDS_SHOWN], *more]),
            expected="what is there | what was asked for, to be the same",
            next_step="choose another --to, or replace them with --force",
        )


def sampling_of(samples: Input, labels: str | None) -> tuple[str | None, dict[str, Any]]:
    """Return the rule by which samples were labelled, and the record beside them.

    Args:
        samples: the samples as they were read.
        labels: the rule that the user states, for samples without a record.

    Raises:
        UserError: the record is of other images, or the user states another rule than it does.
    """
    path = record_path(Path(samples.source))
    try:
        record = load_record(path)
    except UserError:  # a file of another purpose, by chance of that name
        record = None
    if record is None:
        return labels, {}
    some = samples.images != record.content["images"]  # as with a limit: the record is of all of them
    digest = open_images(samples.source).fingerprint if some else samples.digest
    if record.digest != digest:
        raise UserError(
            f"{path} is about other images than {samples.source} holds now",
            given=digest,
            expected=str(record.digest),
            next_step="sample them again, or remove the record if they are none of sendvae sample's",
        )
    rule = str(record.content["labels"])
    if labels not in (None, rule):
        raise UserError(
            "the labels of these samples are known", given=f"labels={labels}", expected=f"{rule} ({path})"
        )
    return rule, record.content
