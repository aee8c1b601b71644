"""Computes the rows of `METRICS` that a protocol names, and names the results after its networks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from sendvae.config.schema_evaluate import GenerationConfig, ReconstructionConfig
from sendvae.errors import UserError
from sendvae.evaluation.networks import FeatureNetwork
from sendvae.evaluation.results import Number
from sendvae.metrics import (
    METRICS,
    ImageEvidence,
    ImageMetric,
    SetEvidence,
    SetMetric,
    Settings,
    mean_estimate,
)
from sendvae.quantities import Estimate, Quantity

LPIPS = "lpips"  # how the names of its variants begin


@dataclass
class Measured:
    """Metric values by name, how each is read, and further details.

    Attributes:
        numbers: the numbers in the order of the protocol.
        quantities: the quantities by the same names.
        details: why a number is missing, under "no NAME".
    """

    numbers: dict[str, Number] = field(default_factory=dict)
    quantities: dict[str, Quantity] = field(default_factory=dict)
    details: dict[str, Any] = field(default_factory=dict)

    def add(self, name: str, estimate: Estimate, quantity: Quantity) -> None:
        """Add a metric value."""
        self.numbers[name] = Number(**estimate._asdict())
        self.quantities[name] = quantity


@dataclass(frozen=True)
class Chosen:
    """The metrics of a protocol.

    Attributes:
        sets, images: rows by their names in `METRICS`, in the protocol's order.
        fields: what fills the names and labels.
        prefix: what precedes the names and labels of set metrics: "r" for reconstructions.
        group: the group of their quantities.
    """

    order: Sequence[str]
    sets: Mapping[str, SetMetric]
    images: Mapping[str, ImageMetric]
    fields: Mapping[str, str]
    prefix: str = ""
    group: str = "generation"

    def needs(self, evidence: str) -> bool:
        """Return whether one of the metrics needs this input."""
        return any(metric.needs == evidence for metric in (*self.sets.values(), *self.images.values()))

    def name(self, key: str) -> str:
        """Return the name of a metric's value."""
        metric = METRICS[key]
        return (self.prefix if key in self.sets else "") + metric.name.format(**self.fields)

    def quantity(self, key: str) -> Quantity:
        """Return how a metric's value is read: label, direction, digits."""
        prefix = self.prefix if key in self.sets else ""
        return replace(METRICS[key].quantity.fill(prefix, **self.fields), group=self.group)

    def values(self, evidence: ImageEvidence, settings: Settings) -> dict[str, Tensor]:
        """Return each image metric of a batch by name, (B,), on the CPU."""
        return {key: metric.compute(evidence, settings).cpu() for key, metric in self.images.items()}

    def measure(self, evidence: SetEvidence, values: Mapping[str, Tensor], settings: Settings) -> Measured:
        """Compute all metrics; `values` holds the image metrics of all images, (N,)."""
        found = Measured()
        for key in self.order:
            name = self.name(key)
            metric = METRICS[key]
            if isinstance(metric, ImageMetric):
                found.add(name, mean_estimate(values[key], settings), self.quantity(key))
                continue
            if (missing := evidence.missing(metric.needs)) is not None:
                found.details[f"no {name}"] = missing
                continue
            try:
                estimate = metric.compute(evidence, settings)
            except ValueError as error:
                raise UserError(f"{name} cannot be computed", given=str(error)) from None
            found.add(name, estimate, self.quantity(key))
        return found


def check_metrics(names: Sequence[str], pairs: bool) -> None:
    """Check the names of metrics before anything is loaded for them.

    Args:
        pairs: whether there are originals to compare with.

    Raises:
        UserError: an unknown name, or a metric of pairs for samples, which have no originals.
    """
    for name in names:
        if METRICS[name].needs == "pairs" and not pairs:
            fitting = [key for key, row in METRICS.items() if row.needs != "pairs"]
            raise UserError(
                f"samples have no {name}",
                given=f"metrics=[{', '.join(names)}]",
                expected="some of " + ", ".join(fitting),
            )


def choose(names: Sequence[str], network: FeatureNetwork, perceptual: str | None = None) -> Chosen:
    """Return the metrics of these names for samples or, with a perceptual network's name, for reconstructions.

    Raises:
        UserError: as `check_metrics`.
    """
    check_metrics(names, pairs=perceptual is not None)
    rows = {name: METRICS[name] for name in names}
    sets = {name: row for name, row in rows.items() if isinstance(row, SetMetric)}
    images = {name: row for name, row in rows.items() if isinstance(row, ImageMetric)}
    if perceptual is None:
        words = {"reference": "the reference", "samples": "samples"}
        return Chosen(names, sets, images, network.fields() | words)
    words = {"reference": "the originals", "samples": "reconstructions"}
    label = "LPIPS" if perceptual.startswith(LPIPS) else "Perceptual"
    own = {"perceptual": perceptual, "perceptual_label": label}
    return Chosen(names, sets, images, network.fields() | words | own, "r", "reconstruction")


def settings_of(config: GenerationConfig | ReconstructionConfig, device: torch.device) -> Settings:
    """Return the settings of a protocol that metrics read."""
    common = Settings(config.intervals.bootstrap, config.intervals.jackknife, config.seed, device=device)
    if isinstance(config, GenerationConfig):
        return replace(
            common,
            neighbours=config.neighbours,
            half=config.distances == "adm-float16",
            score_chunk=config.score_chunk,
        )
    return replace(common, signed_ssim=config.ssim == "signed", perceptual_clamped=config.perceptual_clamped)
