"""Projectors from a generator's hidden tokens to the width of a foundation model's tokens."""

from __future__ import annotations

from collections.abc import Callable

from jaxtyping import Float
from torch import Tensor, nn

from sendvae.nn import projector
from sendvae.registry import Registry

KERNEL = 3  # iREPA


class ConvProjector(nn.Module):
    """iREPA's: one convolution over the grid of tokens, so that neighbours tell where a token stands."""

    def __init__(self, width: int, hidden: int, out: int) -> None:
        del hidden
        super().__init__()
        self.conv = nn.Conv2d(width, out, KERNEL, padding=KERNEL // 2)

    def forward(self, x: Float[Tensor, "B N D"]) -> Float[Tensor, "B N E"]:
        """Return the projected tokens of a square grid, row-major."""
        batch, count, width = x.shape
        grid = round(count**0.5)
        maps = self.conv(x.transpose(1, 2).reshape(batch, width, grid, grid))
        return maps.flatten(2).transpose(1, 2)


MLP, CONV = "mlp", "conv"
# From the width of the tokens, a hidden width, and the foundation model's.
PROJECTORS: Registry[Callable[[int, int, int], nn.Module]] = Registry(
    "projector", {MLP: projector, CONV: ConvProjector}
)
