"""The class labels of generated images."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Int64
from torch import Tensor

from sendvae.config.schema_sample import SamplingConfig
from sendvae.errors import UserError
from sendvae.randomness import stream
from sendvae.runs import Classes

POLICIES = ("random", "balanced", "proportional")
UNKNOWN_SHOWN = 8


@dataclass(frozen=True)
class Labels:
    """A class for each image, and the rule by which it was chosen.

    Attributes:
        values: (N,) of int64.
        policy: what results must agree in: "random", "balanced", "proportional", or the classes themselves.
    """

    values: Int64[Tensor, " N"]
    policy: str


def choose_labels(sampling: SamplingConfig, classes: Classes, seed: int) -> Labels:
    """Return the labels that `sampling.labels` asks for, in an order that the seed shuffles.

    The inception score is taken over contiguous chunks, so labels never come class by class, except where the
    user lists them. Listed ones are repeated in their order until there are enough.

    Args:
        classes: the classes of the model.
        seed: the seed of "random" labels, and of the order of the others.

    Raises:
        UserError: a label that is no class; a file of another length; proportions that nobody recorded; guidance of
            a model without classes.
    """
    check_guidance(sampling, classes)
    count, given = sampling.images, sampling.labels
    if given == "random":
        generator = stream(seed, 0, "labels")
        return Labels(torch.randint(classes.count, (count,), generator=generator), given)
    if given == "balanced":
        return Labels(_shuffled(_balanced(count, classes.count, seed), seed), given)
    if given == "proportional":
        return Labels(_shuffled(_proportional(count, classes), seed), given)
    listed = classes.number_of(given)
    if listed is not None:
        return _listed([listed], count)
    if Path(given).is_file():
        values = read_labels(Path(given), classes)
        if len(values) != count:
            raise UserError(
                f"{given} has another number of labels than there are images",
                given=f"{len(values):,} labels, images={count:,}",
                next_step=f"sample --images {len(values)}, or write one label a line for each image",
            )
        digest = hashlib.sha256(json.dumps(values).encode()).hexdigest()[:16]
        return Labels(torch.tensor(values), f"file, sha256:{digest}")
    return _listed(_numbers(given.split(","), classes, "labels"), count)


def check_guidance(sampling: SamplingConfig, classes: Classes) -> None:
    """Refuse guidance of an unconditional model.

    Raises:
        UserError: the model has one class, of which all its training images are: it is unconditional.
    """
    if classes.count == 1 and sampling.guidance_scale != 1.0:
        raise UserError(
            "the model is unconditional: guidance has no class to guide towards",
            given=f"guidance_scale={sampling.guidance_scale:g}",
            expected="guidance_scale=1",
        )


def read_labels(path: Path, classes: Classes) -> list[int]:
    """Return the class numbers in a file of one name or number a line; blank lines do not count.

    Raises:
        UserError: a line that is no class, or none at all.
    """
    lines = [line for line in path.read_text().splitlines() if line.strip()]
    if not lines:
        raise UserError("no labels", given=path, expected="one class name or number a line")
    return _numbers(lines, classes, str(path))


def _numbers(words: Sequence[str], classes: Classes, source: str) -> list[int]:
    found = {word: classes.number_of(word.strip()) for word in words}
    unknown = [word.strip() for word, number in found.items() if number is None]
    if unknown:
        more = f" and {len(unknown) - UNKNOWN_SHOWN} more" if len(unknown) > UNKNOWN_SHOWN else ""
        raise UserError(
            f"{source}: no such classes",
            given=", ".join(repr(word) for word in unknown[:UNKNOWN_SHOWN]) + more,
            expected=f"{', '.join(POLICIES)}, a file, or {classes.describe()}",
        )
    return [number for word in words if (number := found[word]) is not None]


def _listed(values: Sequence[int], count: int) -> Labels:
    repeated = torch.tensor(values).repeat(-(-count // len(values)))[:count]
    return Labels(repeated, "classes " + ",".join(map(str, values)))


def _balanced(count: int, classes: int, seed: int) -> Int64[Tensor, " N"]:
    """Return labels whose counts differ by at most one; the seed decides which classes have one more."""
    order = torch.randperm(classes, generator=stream(seed, 0, "balanced classes"))
    return order[torch.arange(count) % classes]


def _proportional(count: int, classes: Classes) -> Int64[Tensor, " N"]:
    """Return labels in the proportions of the training images, by largest remainders."""
    if classes.images is None:
        raise UserError(
            "labels=proportional needs the classes of the training images",
            given="a model that came without them",
            next_step="choose labels=random or labels=balanced",
        )
    frequencies = torch.tensor(classes.images, dtype=torch.float64)
    exact = count * frequencies / frequencies.sum()
    counts = exact.floor().long()
    missing = count - int(counts.sum())
    counts[(exact - counts).argsort(descending=True, stable=True)[:missing]] += 1
    return torch.arange(classes.count).repeat_interleave(counts)


def _shuffled(labels: Int64[Tensor, " N"], seed: int) -> Int64[Tensor, " N"]:
    return labels[torch.randperm(len(labels), generator=stream(seed, 0, "label order"))]
