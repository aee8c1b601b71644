"""Per-channel normalisation of latents by running statistics (REPA-E's non-affine BatchNorm)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn

EPS, MOMENTUM = 1e-4, 0.1  # REPA-E


class LatentNorm(nn.Module):
    """A normalisation by *running* statistics, in training too; `update` moves them towards those of a batch.

    Its buffers are named as those of BatchNorm2d, so that REPA-E's `bn.*` keys load. It is used for alignment and
    diffusion only: decoders see raw latents.
    """

    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))
        self.register_buffer("num_batches_tracked", torch.tensor(0))

    def initialise(self, mean: Float[Tensor, " C"], std: Float[Tensor, " C"]) -> None:
        """Set the running statistics to those of the data set."""
        self.running_mean.copy_(mean)
        self.running_var.copy_(std.square())

    def forward(self, z: Float[Tensor, "B C h w"]) -> Float[Tensor, "B C h w"]:
        """Return latents normalised by the running statistics. Gradients reach `z`, not the statistics."""
        scale = (self.running_var + EPS).rsqrt()
        return (z - self.running_mean[:, None, None]) * scale[:, None, None]

    @torch.no_grad()
    def by_batch(
        self, z: Float[Tensor, "B C h w"], reduce: Callable[[Tensor], Tensor] = lambda x: x
    ) -> Float[Tensor, "B C h w"]:
        """Return latents normalised by the batch's own statistics, as BatchNorm does in training, without gradients.

        `reduce` averages a tensor over processes with batches of equal size.
        """
        mean, square = reduce(_moments(z))
        scale = (square - mean.square() + EPS).rsqrt()
        return (z.float() - mean[:, None, None]) * scale[:, None, None]

    @torch.no_grad()
    def update(
        self,
        z: Float[Tensor, "B C h w"],
        reduce: Callable[[Tensor], Tensor] = lambda x: x,
        processes: int = 1,
    ) -> None:
        """Move the running statistics towards those of `z`, unless a mean or mean square is not finite.

        `reduce` averages a tensor over `processes` processes with batches of equal size.
        """
        moments = reduce(_moments(z))
        count = z.numel() // z.shape[1] * processes
        variance = (moments[1] - moments[0].square()) * count / max(1, count - 1)
        finite = moments.isfinite().all()
        for running, batch in ((self.running_mean, moments[0]), (self.running_var, variance)):
            running.copy_(torch.where(finite, running.lerp(batch, MOMENTUM), running))
        self.num_batches_tracked += 1


def _moments(z: Float[Tensor, "B C h w"]) -> Float[Tensor, "2 C"]:
    """Return the mean and the mean square of each channel."""
    rows = z.float().movedim(1, 0).flatten(1)
    return torch.stack([rows.mean(1), rows.square().mean(1)])
