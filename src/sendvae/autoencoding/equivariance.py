"""EQ-VAE's transformations: a rotated and shrunk latent shall decode to the rotated and shrunk image (arXiv 2502.09509)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

TURNS = 4  # quarter turns that make a whole one


@dataclass(frozen=True)
class Transformation:
    """Quarter turns, and the side of the latent grid afterwards."""

    turns: int
    side: int

    def of(self, grid: Float[Tensor, "B C h w"], pixels: int = 1) -> Float[Tensor, "B C s s"]:
        """Return latents, or images with `pixels` a position of the latent grid, turned and shrunk.

        Antialiased bilinear, so that a mean colour stays what it is.
        """
        turned = torch.rot90(grid, self.turns, (-2, -1))
        size = (self.side * pixels, self.side * pixels)
        if turned.shape[-2:] == size:
            return turned
        return F.interpolate(turned, size=size, mode="bilinear", antialias=True)


def draw_transformation(
    generator: torch.Generator, side: int, probability: float, smallest: float
) -> Transformation | None:
    """Draw the transformation of a batch; with a probability of 1 - `probability` it is None, the identity.

    Args:
        generator: a generator on the CPU.
        side: the side of the latent grid, which is square.
        smallest: smallest share of the side that may be left; all whole sides from there on are equally likely.
    """
    chance, turn, shrink = torch.rand(3, generator=generator).tolist()
    if chance >= probability:
        return None
    least = max(1, round(smallest * side))
    return Transformation(int(turn * TURNS), least + int(shrink * (side - least + 1)))
