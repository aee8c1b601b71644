"""A frozen foundation model as a function from images to patch tokens."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn


class Backbone(nn.Module):
    """Frozen and in evaluation mode for good; resizing and normalisation happen inside.

    Attributes:
        name: of the registry.
        width: D.

    Args:
        trunk: module from (images in [-1, 1], grid) to tokens (B, grid * grid, D), with the preprocessing and
            the token selection that its weights ask for.
    """

    def __init__(self, name: str, trunk: nn.Module, width: int) -> None:
        super().__init__()
        self.name, self.width, self.trunk = name, width, trunk
        self.eval().requires_grad_(False)

    def train(self, mode: bool = True) -> Backbone:
        """Stays in evaluation mode."""
        del mode
        return super().train(False)

    @torch.no_grad()
    def patch_tokens(self, images: Float[Tensor, "B 3 H W"], grid: int) -> Float[Tensor, "B N D"]:
        """Tokens of a grid x grid partition of the images, row-major.

        Args:
            images: in [-1, 1], any size.
            grid: tokens along one side; the input is resized so that the model's stride gives it.
        """
        tokens = self.trunk(images, grid)
        if tokens.shape[1:] != (grid * grid, self.width):
            raise ValueError(f"{self.name} gave tokens {tuple(tokens.shape[1:])} for grid {grid}")
        return tokens
