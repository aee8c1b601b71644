"""Patch embedding and its inverse arrangement."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn


class PatchEmbed(nn.Module):
    """A patch embedding of latents (B, C, h, w) as tokens (B, N, D), by a p x p convolution of stride p, key `proj`.

    It is initialised as a linear layer on the flattened patch (Xavier uniform), with zero bias (SiT).
    """

    def __init__(self, channels: int, width: int, patch_size: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(channels, width, patch_size, patch_size)
        nn.init.xavier_uniform_(self.proj.weight.data.view(width, -1))
        nn.init.zeros_(self.proj.bias)  # pyrefly: ignore

    def forward(self, z: Float[Tensor, "B C h w"]) -> Float[Tensor, "B N D"]:
        """Return the tokens, row-major."""
        return self.proj(z).flatten(2).transpose(1, 2)


def unpatchify(tokens: Float[Tensor, "B N E"], patch_size: int, channels: int) -> Float[Tensor, "B C h w"]:
    """Return the latents of tokens of p * p * C values (channel fastest) on a square grid, row-major."""
    batch, count, _ = tokens.shape
    grid = round(count**0.5)
    x = tokens.view(batch, grid, grid, patch_size, patch_size, channels)
    return x.permute(0, 5, 1, 3, 2, 4).reshape(batch, channels, grid * patch_size, grid * patch_size)
