"""A frozen foundation model as a function from images to patch tokens."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from sendvae.vision.zoo import BackboneSpec


class Backbone(nn.Module):
    """A foundation model that is frozen and always in evaluation mode. It resizes and normalises images itself.

    Attributes:
        name: its name in `BACKBONES`.
        spec: its row there.
        width: the number of channels D of a token.

    Args:
        trunk: a module from prepared pixels (B, 3, S, S) to tokens (B, (S / stride)^2, D), row-major.
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
        """Stay in evaluation mode."""
        del mode
        return super().train(False)

    @torch.no_grad()
    def patch_tokens(self, images: Float[Tensor, "B 3 H W"], grid: int) -> Float[Tensor, "B N D"]:
        """Return the patch tokens of a batch, (B, grid^2, D), row-major, without gradients.

        Args:
            images: images in [-1, 1], of any size.
            grid: the number of tokens along one side; in the paper's set-up 16 for 256-pixel images, 32 for 512.

        Raises:
            ValueError: the network gives tokens of another number or width.
        """
        tokens = self.trunk(self.prepare(images, grid))
        if tokens.shape[1:] != (grid * grid, self.width):
            raise ValueError(f"{self.name} gave tokens {tuple(tokens.shape[1:])} for grid {grid}")
        return tokens

    def prepare(self, images: Float[Tensor, "B 3 H W"], grid: int) -> Float[Tensor, "B 3 S S"]:
        """Return the input of the network: images of side S = grid * stride, normalised as its weights require."""
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
