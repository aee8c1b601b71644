"""Tokenizers without a network, as controls: the pixels of a patch as they are, or their leading principal components."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sendvae.nn import unpatchify
from sendvae.tokenizers.posterior import Posterior
from sendvae.tokenizers.protocol import Tokenizer

PIXELS = 3  # values of one
UNTRAINABLE = "a fixed linear map of patches has nothing to train"


class PatchTokenizer(Tokenizer):
    """z = (patch - mean) C^T and back by z C + mean, with orthonormal rows in C.

    Args:
        patch: pixels of a side.
        channels: rows of C; 3 patch^2 keep everything.
        size: pixels of the images that it was made for.
    """

    def __init__(self, patch: int, channels: int, size: int = 64) -> None:
        super().__init__()
        self.patch, self.size = patch, size
        values = PIXELS * patch**2
        self.components = nn.Parameter(torch.eye(channels, values), requires_grad=False)
        self.mean = nn.Parameter(torch.zeros(values), requires_grad=False)
        self.latent_stats = None

    def encode(self, images: Float[Tensor, "B 3 H W"]) -> Posterior:
        """Return where each patch lies; there is no uncertainty."""
        self.check_size(images)
        rows = patches_of(images, self.patch)
        z = (rows - self.mean) @ self.components.T
        return Posterior.at(z.movedim(-1, 1).contiguous())

    def decode(self, z: Float[Tensor, "B C h w"]) -> Float[Tensor, "B 3 H W"]:
        """Return the patches put together."""
        rows = z.movedim(1, -1) @ self.components + self.mean
        return unpatchify(rows.flatten(1, 2), self.patch, PIXELS)

    def latent_shape(self, size: int) -> tuple[int, ...]:
        """Return (C, h, w)."""
        return len(self.components), size // self.patch, size // self.patch

    @property
    def identity(self) -> Mapping[str, object]:
        """Kind, and size of a patch."""
        return {"patches": self.patch}

    @property
    def image_size(self) -> int:
        """Pixels along one side."""
        return self.size

    @property
    def downsampling(self) -> int:
        """Pixels of a patch's side."""
        return self.patch

    @property
    def untrainable(self) -> str:
        """Why it cannot be fine-tuned."""
        return UNTRAINABLE


def patches_of(images: Float[Tensor, "B 3 H W"], patch: int) -> Float[Tensor, "B h w D"]:
    """Return the values of every patch: rows, columns, colours of its pixels."""
    grid = images.unfold(2, patch, patch).unfold(3, patch, patch)  # (B, 3, h, w, p, p)
    return grid.permute(0, 2, 3, 4, 5, 1).flatten(3)


def is_patches(weights: Mapping[str, object]) -> bool:
    """Whether weights are those of a `PatchTokenizer`."""
    return weights.keys() == {"components", "mean"}


def patch_tokenizer(weights: Mapping[str, Tensor]) -> PatchTokenizer:
    """Return the network that weights fit, without their values."""
    channels, values = weights["components"].shape
    return PatchTokenizer(round((values / PIXELS) ** 0.5), channels)
