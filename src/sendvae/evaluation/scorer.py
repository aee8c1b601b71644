"""Computes the scores of one tokenizer's latents."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from torch import Tensor

from sendvae.config.schema_common import Section
from sendvae.config.schema_evaluate import LatentsConfig
from sendvae.data import ImageSet, to_float
from sendvae.errors import UserError
from sendvae.evaluation.networks import FeatureJudge
from sendvae.evaluation.results import Number
from sendvae.latents import (
    SCORES,
    Bootstrap,
    Evidence,
    LatentRows,
    Measured,
    MinibatchFit,
    percentile_interval,
)
from sendvae.metrics import chunk_interval, jackknife_interval
from sendvae.quantities import Quantity


@dataclass(frozen=True)
class Data:
    """Images by split with their labels and attributes; "val" may be missing.

    Attributes:
        groups: the groups of images of the test split that belong together; None where nothing is known.
        shared: the values that scores compute from the images alone, which are kept for all tokenizers.
    """

    images: dict[str, ImageSet]
    attributes: dict[str, Tensor]
    attribute_names: tuple[str, ...]
    labels: dict[str, Tensor]
    groups: Sequence[str] | None
    digest: str
    shared: dict[str, Any] = field(default_factory=dict)


class PixelRows:
    """Images in [-1, 1] behind the interface of latent rows."""

    def __init__(self, images: ImageSet) -> None:
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def batch(self, positions: np.ndarray) -> Tensor:
        """Return the images at `positions`."""
        return to_float(self.images.batch(positions).images)


@dataclass(frozen=True)
class Scored:
    """The scores of a tokenizer.

    Attributes:
        numbers: the numbers with their intervals.
        quantities: the label, direction and digits of each number.
        resampled: the numbers of every resample of the test split, where they have any.
        without: the numbers without each part of the test split, where they have any.
        repeats: the numbers of every repeat, where they are means of such.
        details: what is no number.
    """

    numbers: dict[str, Number] = field(default_factory=dict)
    quantities: dict[str, Quantity] = field(default_factory=dict)
    resampled: dict[str, Tensor] = field(default_factory=dict)
    without: dict[str, Tensor] = field(default_factory=dict)
    repeats: dict[str, Sequence[float]] = field(default_factory=dict)
    details: dict[str, Any] = field(default_factory=dict)


def score_latents(
    name: str,
    protocol: LatentsConfig,
    data: Data,
    rows: Mapping[str, LatentRows],
    decode: Callable[[Tensor], Tensor] | None = None,
    one_size: bool = False,
    judge: FeatureJudge | None = None,
) -> Scored:
    """Compute every score of a protocol.

    Args:
        name: the name of the tokenizer in errors.
        rows: the latents by split.
        decode: the decoder from latents to images; None where none is at hand.
        one_size: whether it takes latents of their shape only.
        judge: the judge of decoded images, where a score needs one.

    Raises:
        UserError: a score that cannot be computed.
    """
    small = protocol.minibatch
    evidence = Evidence(
        source=protocol.data,
        rows=rows,
        shape=tuple(rows["train"].batch(np.arange(1)).shape[1:]),
        attributes=data.attributes,
        attribute_names=data.attribute_names,
        labels=data.labels,
        images={split: PixelRows(images) for split, images in data.images.items()},
        decode=decode,
        judge=judge,
        one_size=one_size,
        bootstrap=Bootstrap(protocol.bootstrap, protocol.seed, data.groups),
        minibatch=MinibatchFit(small.epochs, small.batch_size, small.lr, protocol.seed),
        seed=protocol.seed,
        shared=data.shared,
    )
    scored = Scored(details={"latent": list(evidence.shape)})
    for key in protocol.scores:
        options = getattr(protocol, key, None)
        with _explained(key, name):
            found = SCORES[key].compute(evidence, **(dict(options) if isinstance(options, Section) else {}))
        for number, measured in found.numbers.items():
            scored.quantities[number] = SCORES[key].quantity(number)
            scored.numbers[number] = _number(measured, evidence.bootstrap)
            if measured.resampled is not None:
                scored.resampled[number] = measured.resampled
            if measured.without is not None:
                scored.without[number] = measured.without
            if measured.repeats is not None and protocol.bootstrap:
                scored.repeats[number] = measured.repeats
        scored.details.update(found.details)
    return scored


def _number(measured: Measured, bootstrap: Bootstrap) -> Number:
    """Return a number with its interval, if there is anything to take one from."""
    value, grouped = measured.value, ", by their groups" if bootstrap.groups else ""
    if measured.resampled is not None:
        method = f"bootstrap over test images{grouped}"
        return Number(value=value, interval=percentile_interval(measured.resampled), method=method)
    if measured.without is not None:
        method = f"jackknife over {len(measured.without)} parts of the test images{grouped}"
        return Number(
            value=value, interval=jackknife_interval(value, measured.without.tolist()), method=method
        )
    if measured.repeats is not None and bootstrap.resamples:
        repeats = np.array(measured.repeats)
        interval = chunk_interval(value, float(repeats.std()), len(repeats))
        return Number(
            value=value, interval=interval, method=f"spread of {len(repeats)} repeats" if interval else None
        )
    return Number(value=value)


@contextmanager
def _explained(score: str, name: str) -> Iterator[None]:
    """Turn a numerical error of a score into an error that names tokenizer and score."""
    try:
        yield
    except ValueError as error:
        raise UserError(
            f"the score '{score}' cannot be computed for {name}",
            given=str(error),
            next_step="mend that, or leave the score out of scores=[...]",
        ) from None
