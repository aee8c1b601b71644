"""Bootstrap of the test split, which measures how much a score varies with the test images."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float64, Shaped
from torch import Tensor

from sendvae.randomness import resample

LEVEL = 0.95
VALUES = 2**24  # weights held at a time: 64 MiB

Statistic = Callable[[Float[Tensor, "R M"]], Float[Tensor, " R"]]


@dataclass(frozen=True)
class Bootstrap:
    """Draws test images with replacement (Efron, 1979), whole groups of them where they belong together.

    Resampled scores say how much a score would vary with other test images; the fit stays as it is. The same
    seed draws the same images for every latent space, so their resampled scores can be subtracted.

    Attributes:
        resamples: R, of the test split; 0 for none.
        groups: a name per test image; images of one group are drawn together. None: every image by itself.
    """

    resamples: int = 1000
    seed: int = 0
    groups: Sequence[str] | None = None

    def scores(self, images: int, statistics: dict[str, Statistic]) -> dict[str, Float64[Tensor, " R"]]:
        """Return every statistic on all resamples; empty without resamples or with a single group.

        Args:
            images: M, of the test split.
            statistics: each maps weights (R, M), how often an image was drawn, to R values.

        Raises:
            ValueError: another number of groups than of images.
        """
        members = self._members(images)
        if self.resamples < 1 or members.max(initial=0) < 1:
            return {}
        found: dict[str, list[Tensor]] = {name: [] for name in statistics}
        for weights in self._weights(members):
            for name, statistic in statistics.items():
                found[name].append(statistic(weights).double())
        return {name: torch.cat(values) for name, values in found.items()}

    def _members(self, images: int) -> np.ndarray:
        """Return the number of each image's group."""
        if self.groups is None:
            return np.arange(images)
        if len(self.groups) != images:
            raise ValueError(f"{len(self.groups)} groups for {images} images")
        return np.unique(np.asarray(self.groups), return_inverse=True)[1]

    def _weights(self, members: np.ndarray) -> Iterator[Float[Tensor, "R M"]]:
        groups = int(members.max()) + 1
        for start in range(0, self.resamples, step := max(1, VALUES // len(members))):
            numbers = range(start, min(start + step, self.resamples))
            counts = torch.stack(
                [resample(self.seed, number, groups).bincount(minlength=groups) for number in numbers]
            )
            yield counts[:, torch.from_numpy(members)].float()


def weighted_mean(values: Shaped[Tensor, " M"]) -> Statistic:
    """Return the statistic that is the weighted mean of a value per image."""
    column = values.float().cpu()
    return lambda weights: (weights @ column) / weights.sum(1)


def weighted_ratio(over: Shaped[Tensor, " M"], under: Shaped[Tensor, " M"]) -> Statistic:
    """Return the statistic that is the weighted sum of one value over that of another; 0 / 0 is 0."""
    top, bottom = over.float().cpu(), under.float().cpu()
    return lambda weights: (weights @ top) / (weights @ bottom).clamp_min(1.0)


def percentile_interval(scores: Float64[Tensor, " R"]) -> tuple[float, float]:
    """Return the 2.5 % and 97.5 % percentiles of resampled scores, or of their differences."""
    levels = torch.tensor([(1 - LEVEL) / 2, (1 + LEVEL) / 2], dtype=torch.float64)
    low, high = scores.quantile(levels).tolist()
    return low, high
