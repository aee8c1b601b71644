"""One-vs-all ridge regression in a single pass over the latents, none of which need to be kept."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from sendvae.latents.logistic import STD_FLOOR
from sendvae.latents.rows import Centred
from sendvae.nn import Moments


class Linear(NamedTuple):
    """A linear map: x @ weight + bias."""

    weight: Float[Tensor, "F A"]
    bias: Float[Tensor, " A"]


class StreamingRidge:
    """Accumulates second moments of (latent, attributes), from which every weight decay is solved.

    Memory is F (F + A) doubles, twice that while it is solved: 4 GiB at F = 16,384. Products of a batch are taken
    in the precision of the latents (float32 at least) about the batch's own mean, and summed in float64.
    """

    def __init__(self) -> None:
        self.moments = Moments(products="rows")

    def update(self, latents: Float[Tensor, "B ..."], attributes: Tensor) -> None:
        """Add a batch; attributes (B, A) in {0, 1}, or any real targets."""
        if len(latents) != len(attributes):
            raise ValueError(f"{len(latents)} latents and {len(attributes)} rows of attributes")
        rows = latents.flatten(1)
        self.moments.update(rows, attributes.to(rows.device, torch.promote_types(rows.dtype, torch.float32)))

    def merge(self, other: StreamingRidge) -> None:
        """Add what another accumulator has seen."""
        self.moments.merge(other.moments)

    def solve(self, weight_decays: Sequence[float]) -> list[Linear]:
        """Minimise mean |y - w.x - b|^2 / 2 + weight_decay / 2 |w|^2 over standardised features, for each decay.

        Returns:
            linear maps of the raw, flattened latents, float32; the standardisation is folded in.

        Raises:
            ValueError: no rows yet, or a weight decay that is not positive.
        """
        count = self.moments.count
        if count < 2 or min(weight_decays) <= 0:
            raise ValueError(
                f"needs two rows and positive weight decays, got {count} rows and {list(weight_decays)}"
            )
        std, width = self.moments.std, len(self.moments.scatter)
        scale = 1.0 / std.where(std > STD_FLOOR, torch.inf)
        scatter, cross = self.moments.scatter[:, :width], self.moments.scatter[:, width:]
        cross = cross * (scale[:, None] / count)
        mean_x, mean_y = self.moments.mean.split([width, cross.shape[1]])
        # By columns, as LAPACK has matrices: it then factors this one in place, and solves with it, without a copy.
        solutions, gram = [], torch.empty(width, width, dtype=scatter.dtype, device=scatter.device).mT
        for weight_decay in weight_decays:
            torch.mul(scatter, scale[:, None] / count, out=gram).mul_(scale)
            gram.diagonal().add_(weight_decay)
            torch.linalg.cholesky(gram, out=gram)
            half = torch.linalg.solve_triangular(gram, cross, upper=False)
            weight = torch.linalg.solve_triangular(gram.mT, half, upper=True) * scale[:, None]
            bias = mean_y - mean_x @ weight
            solutions.append(Linear(weight.float(), bias.float()))
        return solutions

    def centred(self, weight_decays: Sequence[float]) -> list[Centred]:
        """Return the same maps about the mean of the latents, which keeps their digits far from zero."""
        width = len(self.moments.scatter)
        centre, bias = self.moments.mean[:width].float(), self.moments.mean[width:].float()
        return [Centred(fit.weight, bias, centre) for fit in self.solve(weight_decays)]
