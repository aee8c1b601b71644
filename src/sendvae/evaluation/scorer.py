"""The scores of one tokenizer's latents."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sendvae.config.schema_evaluate import LatentsConfig
from sendvae.data import ImageSet
from sendvae.errors import UserError
from sendvae.evaluation.results import Number
from sendvae.latents import (
    Bootstrap,
    LatentRows,
    MinibatchFit,
    Uniformity,
    attribute_probe,
    class_probe,
    mixture_scores,
    percentile_interval,
    quantity_of,
    uniformity_repeats,
)
from sendvae.metrics import chunk_interval
from sendvae.quantities import Quantity

# Of latents that the full-batch probes may gather; they hold about four times as much.
FULL_BATCH_BYTES = 2**30
MIRRORED = "train mirrored"  # rows of the mirrored training images, where uniformity asks for them


@dataclass(frozen=True)
class Data:
    """Images by split, and what is known of them; "val" may be missing.

    Attributes:
        groups: of the test split's images, which belong together; None where nothing is known.
    """

    images: dict[str, ImageSet]
    attributes: dict[str, Tensor]
    attribute_names: tuple[str, ...]
    labels: dict[str, Tensor]
    groups: Sequence[str] | None
    digest: str


class Scorer:
    """A method per score, named as in `SCORES`.

    Attributes:
        details: fills with what is no number.
        quantities: fills with how each number is read.
        resampled: fills with the numbers of every resample of the test split, where they have any.
    """

    def __init__(
        self,
        config: LatentsConfig,
        data: Data,
        rows: Mapping[str, LatentRows],
        shape: tuple[int, ...],
    ) -> None:
        self.config, self.data, self.rows, self.shape = config, data, rows, shape
        self.details: dict[str, Any] = {}
        self.quantities: dict[str, Quantity] = {}
        self.resampled: dict[str, Tensor] = {}
        small = config.minibatch
        self.minibatch = MinibatchFit(small.epochs, small.batch_size, small.lr, config.seed)
        self.bootstrap = Bootstrap(config.bootstrap, config.seed, data.groups)

    def score(self, name: str) -> dict[str, Number]:
        """The numbers of a score; empty where the data lack what it needs.

        Raises:
            ValueError: it cannot be computed.
        """
        numbers: dict[str, Number] = getattr(self, name)()
        self.quantities |= {number: quantity_of(name, number) for number in numbers}
        return numbers

    def attributes(self) -> dict[str, Number]:
        """Probe the binary attributes: F1 averages, the headline first, and recalls, each in [0, 1].

        Raises:
            UserError: the logistic probe would need too much memory.
        """
        if not self.data.attributes:
            self.details["no attributes"] = f"{self.config.data} has none"
            return {}
        chosen = self.config.attributes
        if chosen.method == "logistic":
            self._check_full_batch("attributes.method=logistic", "attributes.method=ridge", flat=True)
        attributes, rows = self.data.attributes, self.rows
        probe = attribute_probe(
            rows["train"],
            attributes["train"],
            rows["test"],
            attributes["test"],
            val_latents=rows.get("val"),
            val_attributes=attributes.get("val"),
            method=chosen.method,
            weight_decay=chosen.weight_decay,
            threshold=chosen.threshold,
            minibatch=self.minibatch,
            bootstrap=self.bootstrap,
        )
        fields = probe.as_dict()
        self.details["f1"] = dict(zip(self.data.attribute_names, fields.pop("f1"), strict=True))
        names = [key for key in fields if key.startswith(("f1_", "recall_"))]
        self.details["probe"] = {key: value for key, value in fields.items() if key not in names}
        self._note("attributes", probe.notes)
        # The headline first, in all tables.
        names.sort(key=lambda key: key != f"f1_{chosen.headline}")
        found = [name for name in names if fields[name] is not None]
        return {name: self._number(name, fields[name], probe.resampled.get(name)) for name in found}

    def gap(self) -> dict[str, Number]:
        """Probe the class, once for each pool: accuracies in [0, 1]; no number where training has one class.

        Raises:
            UserError: a full-batch probe would need too much memory.
        """
        labels, chosen = self.data.labels, self.config.gap
        if len(labels["train"].unique()) < 2:
            self.details["no gap"] = f"{self.config.data} has one class only"
            return {}
        numbers = {}
        for pool in chosen.pools:
            if chosen.method == "full-batch":
                self._check_full_batch("gap.method=full-batch", "gap.method=minibatch", pool == "flatten")
            probe = class_probe(
                self.rows["train"],
                labels["train"],
                self.rows["test"],
                labels["test"],
                pool,
                chosen.weight_decay,
                method=chosen.method,
                minibatch=self.minibatch,
                bootstrap=self.bootstrap,
            )
            name = f"gap_{pool}"
            fit = probe.fit._asdict()
            del fit["map"]
            self.details[f"{name} probe"] = fit
            self._note(name, probe.notes)
            numbers[name] = self._number(name, probe.accuracy, probe.resampled)
        return numbers

    def uniformity(self) -> dict[str, Number]:
        """Measure how evenly training latents spread: means over repeats, whose spread gives the interval."""
        chosen = self.config.uniformity
        found = uniformity_repeats(
            self.rows["train"],
            chosen.projection,
            chosen.samples,
            chosen.repeats,
            self.config.seed,
            self.rows.get(MIRRORED),
        )
        numbers = {}
        for name in Uniformity.__annotations__:
            values = np.array([getattr(one, name) for one in found])
            mean, interval = float(values.mean()), None
            if self.config.bootstrap:
                interval = chunk_interval(mean, float(values.std()), len(values))
            method = f"spread of {len(values)} repeats" if interval else None
            numbers[f"uniformity_{name}"] = Number(value=mean, interval=interval, method=method)
        return numbers

    def discrimination(self) -> dict[str, Number]:
        """Fit Gaussian mixtures to training latents: held-out nats per dimension.

        The headline mixture gives `discrimination_nll`; of several, each is also named by its number of Gaussians.
        """
        chosen = self.config.discrimination
        seeds = [self.config.seed + i for i in range(chosen.repeats)]
        found = mixture_scores(
            self.rows["train"],
            self.rows["test"],
            chosen.components,
            chosen.dimensions,
            seeds,
            chosen.covariance,
            self.bootstrap,
        )
        self.details["discrimination"] = asdict(found)
        for mixture in self.details["discrimination"]["mixtures"]:
            del mixture["resampled"]
        headline = next(one for one in found.mixtures if one.components == chosen.headline)
        mixtures = {"discrimination_nll": headline}
        if len(found.mixtures) > 1:
            mixtures |= {f"discrimination_nll_{one.components}": one for one in found.mixtures}
        return {name: self._number(name, one.nll, one.resampled) for name, one in mixtures.items()}

    def _note(self, name: str, notes: list[str]) -> None:
        """Keep what a reader of these scores has to know, where there is anything."""
        if notes:
            self.details[f"note on {name}"] = "; ".join(notes)

    def _number(self, name: str, value: float, resampled: Tensor | None) -> Number:
        if resampled is None:
            return Number(value=value)
        self.resampled[name] = resampled
        method = "bootstrap over test images" + (", by their groups" if self.data.groups else "")
        return Number(value=value, interval=percentile_interval(resampled), method=method)

    def _check_full_batch(self, choice: str, instead: str, flat: bool) -> None:
        features = torch.Size(self.shape).numel() if flat else self.shape[0]
        needed = 4 * len(self.rows["train"]) * features
        if needed > FULL_BATCH_BYTES:
            raise UserError(
                f"{choice} holds all training latents in memory",
                given=f"{len(self.rows['train']):,} x {features:,} values, {needed / 2**30:.1f} GiB",
                expected=f"at most {FULL_BATCH_BYTES / 2**30:.0f} GiB",
                next_step=f"set {instead}",
            )


@contextmanager
def explained(score: str, name: str) -> Iterator[None]:
    """What the mathematics refuses, as an error that says where it happened."""
    try:
        yield
    except ValueError as error:
        raise UserError(
            f"the score '{score}' cannot be computed for {name}",
            given=str(error),
            next_step="mend that, or leave the score out of scores=[...]",
        ) from None
