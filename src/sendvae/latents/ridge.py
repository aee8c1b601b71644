"""One-vs-all ridge regression in a single pass over the latents, none of which need to be kept."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from sendvae.latents.logistic import STD_FLOOR
from sendvae.latents.rows import Centred


class Linear(NamedTuple):
    """A linear map: x @ weight + bias."""

    weight: Float[Tensor, "F A"]
    bias: Float[Tensor, " A"]


class StreamingRidge:
    """Accumulates second moments of (latent, attributes), from which every weight decay is solved.

    Memory is F (F + A) doubles: .6 GB at F = 8192, A = 1000. Products of a batch are taken in the precision of
    the latents (float32 at least) about the batch's own mean, and summed in float64.
    """

    def __init__(self) -> None:
        self.count = 0
        self.mean_x = self.mean_y = torch.zeros(0, dtype=torch.float64)
        self.scatter_x = self.scatter_xy = torch.zeros(0, 0, dtype=torch.float64)

    def update(self, latents: Float[Tensor, "B ..."], attributes: Tensor) -> None:
        """Adds a batch; attributes (B, A) in {0, 1}, or any real targets."""
        if len(latents) != len(attributes):
            raise ValueError(f"{len(latents)} latents and {len(attributes)} rows of attributes")
        x = latents.flatten(1)
        x = x if x.dtype == torch.float64 else x.float()
        y = attributes.to(x)
        mean_x, mean_y = x.mean(0), y.mean(0)
        x, y = x - mean_x, y - mean_y
        self._combine(len(x), mean_x.double(), mean_y.double(), (x.T @ x).double(), (x.T @ y).double())

    def merge(self, other: StreamingRidge) -> None:
        """Adds what another accumulator has seen."""
        self._combine(other.count, other.mean_x, other.mean_y, other.scatter_x, other.scatter_xy)

    def solve(self, weight_decays: Sequence[float]) -> list[Linear]:
        """Minimise mean |y - w.x - b|^2 / 2 + weight_decay / 2 |w|^2 over standardised features, for each decay.

        Returns:
            linear maps of the raw, flattened latents, float32; the standardisation is folded in.

        Raises:
            ValueError: no rows yet, or a weight decay that is not positive.
        """
        if self.count < 2 or min(weight_decays) <= 0:
            raise ValueError(
                f"needs two rows and positive weight decays, got {self.count} rows and {list(weight_decays)}"
            )
        std = (self.scatter_x.diagonal() / self.count).sqrt()
        scale = 1.0 / std.where(std > STD_FLOOR, torch.inf)
        gram = self.scatter_x * (scale[:, None] * scale / self.count)
        cross = self.scatter_xy * (scale[:, None] / self.count)
        solutions = []
        diagonal = gram.diagonal().clone()
        for weight_decay in weight_decays:
            gram.diagonal().copy_(diagonal + weight_decay)
            weight = torch.cholesky_solve(cross, torch.linalg.cholesky(gram)) * scale[:, None]
            bias = self.mean_y - self.mean_x @ weight
            solutions.append(Linear(weight.float(), bias.float()))
        return solutions

    def centred(self, weight_decays: Sequence[float]) -> list[Centred]:
        """Return the same maps about the mean of the latents, which keeps their digits far from zero."""
        centre, bias = self.mean_x.float(), self.mean_y.float()
        return [Centred(fit.weight, bias, centre) for fit in self.solve(weight_decays)]

    def _combine(
        self, count: int, mean_x: Tensor, mean_y: Tensor, scatter_x: Tensor, scatter_xy: Tensor
    ) -> None:
        """Chan's update of means and scatters."""
        if count == 0:
            return
        if self.count == 0:
            self.count, self.mean_x, self.mean_y = count, mean_x.clone(), mean_y.clone()
            self.scatter_x, self.scatter_xy = scatter_x.clone(), scatter_xy.clone()
            return
        total = self.count + count
        delta_x, delta_y = mean_x - self.mean_x, mean_y - self.mean_y
        weight = self.count * count / total
        self.scatter_x.add_(scatter_x).addr_(delta_x, delta_x, alpha=weight)
        self.scatter_xy.add_(scatter_xy).addr_(delta_x, delta_y, alpha=weight)
        self.mean_x = self.mean_x + delta_x * (count / total)
        self.mean_y = self.mean_y + delta_y * (count / total)
        self.count = total
