"""A frozen foundation model as a function from images to patch tokens."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from sendvae.vision.zoo import BackboneSpec


class Backbone(nn.Module):
    """Frozen and in evaluation mode for good; resizing and normalisation happen inside.

    Attributes:
        name: the name of the registry.
        spec: its row there.
        width: channels D of a token.

    Args:
        trunk: module from prepared pixels (B, 3, S, S) to tokens (B, (S / stride)^2, D), row-major.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, name: str, spec: BackboneSpec, trunk: nn.Module) -> None:
        super().__init__()
        self.name, self.spec, self.width, self.trunk = name, spec, spec.width, trunk
        self.register_buffer("mean", torch.tensor(spec.mean)[:, None, None], persistent=False)
        self.register_buffer("std", torch.tensor(spec.std)[:, None, None], persistent=False)
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
            grid: tokens along one side; 16 for a 256-pixel image, 32 for 512, in the paper's set-up.
        """
        tokens = self.trunk(self.prepare(images, grid))
        if tokens.shape[1:] != (grid * grid, self.width):
            raise ValueError(f"{self.name} gave tokens {tuple(tokens.shape[1:])} for grid {grid}")
        return tokens

    def prepare(self, images: Float[Tensor, "B 3 H W"], grid: int) -> Float[Tensor, "B 3 S S"]:
        """What the network sees: (S, S) with S = grid * stride, normalised as its weights ask for."""
        pixels = (images.float() + 1.0) / 2.0
        if self.spec.normalize_first:
            return self._resize(self._normalize(pixels), grid)
        return self._normalize(self._resize(pixels, grid))

    def _normalize(self, pixels: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B 3 H W"]:
        return (pixels - self.mean) / self.std

    def _resize(self, pixels: Float[Tensor, "B 3 H W"], grid: int) -> Float[Tensor, "B 3 S S"]:
        size = grid * self.spec.stride
        if pixels.shape[-2:] == (size, size):
            return pixels
        return F.interpolate(
            pixels, size=(size, size), mode=self.spec.resampling, antialias=self.spec.antialias
        )
