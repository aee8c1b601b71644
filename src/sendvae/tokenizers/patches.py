"""Tokenizers without a network, as controls: latents are the pixels of patches or their principal components."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sendvae.nn import unpatchify
from sendvae.tokenizers.posterior import Posterior
from sendvae.tokenizers.protocol import Tokenizer

PIXELS = 3  # colour values of a pixel
UNTRAINABLE = "a fixed linear map of patches has nothing to train"


class PatchTokenizer(Tokenizer):
    """A linear map of patches: z = (patch - mean) C^T and back by z C + mean, with orthonormal rows in C.

    Args:
        patch: the side of a patch, in pixels.
        channels: the number of rows of C; 3 patch^2 rows keep everything.
        size: the side in pixels of the images that the tokenizer was made for.
    """

    def __init__(self, patch: int, channels: int, size: int = 64) -> None:
        super().__init__()
        self.patch, self.size = patch, size
        values = PIXELS * patch**2
        self.components = nn.Parameter(torch.eye(channels, values), requires_grad=False)
        self.mean = nn.Parameter(torch.zeros(values), requires_grad=False)
        self.latent_stats = None

    def encode(self, images: Float[Tensor, "B 3 H W"]) -> Posterior:
        """Return the latents (B, C, h, w) of images in [-1, 1] as a posterior of standard deviation 0."""
        self.check_size(images)
        rows = patches_of(images, self.patch)
        z = (rows - self.mean) @ self.components.T
        return Posterior.at(z.movedim(-1, 1).contiguous())

    def decode(self, z: Float[Tensor, "B C h w"]) -> Float[Tensor, "B 3 H W"]:
        """Return the images, whose patches are z C + mean."""
        rows = z.movedim(1, -1) @ self.components + self.mean
        return unpatchify(rows.flatten(1, 2), self.patch, PIXELS)

    def latent_shape(self, size: int) -> tuple[int, ...]:
        """Return (C, h, w) for images of `size` pixels a side."""
        return len(self.components), size // self.patch, size // self.patch

    @property
    def identity(self) -> Mapping[str, object]:
        """Return the kind of the tokenizer and the side of a patch."""
        return {"patches": self.patch}

    @property
    def image_size(self) -> int:
        """Return the side in pixels of the images that the tokenizer was made for."""
        return self.size

    @property
    def downsampling(self) -> int:
        """Return the side of a patch, in pixels."""
        return self.patch

    @property
    def untrainable(self) -> str:
        """Return why the tokenizer cannot be fine-tuned."""
        return UNTRAINABLE


def patches_of(images: Float[Tensor, "B 3 H W"], patch: int) -> Float[Tensor, "B h w D"]:
    """Return the values of every patch, ordered by row, column and colour (colour fastest): D = 3 patch^2."""
    grid = images.unfold(2, patch, patch).unfold(3, patch, patch)  # (B, 3, h, w, p, p)
    return grid.permute(0, 2, 3, 4, 5, 1).flatten(3)


def is_patches(weights: Mapping[str, object]) -> bool:
    """Return whether weights are those of a `PatchTokenizer`."""
    return weights.keys() == {"components", "mean"}


def patch_tokenizer(weights: Mapping[str, Tensor]) -> PatchTokenizer:
    """Return a `PatchTokenizer` of the shape of the weights. Their values are not loaded."""
    channels, values = weights["components"].shape
    return PatchTokenizer(round((values / PIXELS) ** 0.5), channels)
