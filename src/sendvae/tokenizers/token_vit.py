"""Vision transformers of MAETok and SoftVQ, with latent tokens beside those of the image, under timm's key names."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sendvae.nn import MLP, Attention, unpatchify

NORM_EPS = 1e-6
LAYER_SCALE = 1e-5  # initial factor
INIT_STD = 0.02  # initial standard deviation of learned tokens and positions

# From the number of a block to the function that turns its queries or keys (B, heads, N, d).
Rotate = Callable[[int], Callable[[Tensor], Tensor]]


def learned(*shape: int) -> nn.Parameter:
    """Return freshly initialised tokens or positions as a parameter."""
    return nn.Parameter(INIT_STD * torch.randn(*shape))


class LayerScale(nn.Module):
    """A learned factor for each channel, key `gamma`."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.full((width,), LAYER_SCALE))

    def forward(self, x: Float[Tensor, "B N D"]) -> Float[Tensor, "B N D"]:
        """Return the scaled tokens."""
        return x * self.gamma


class Block(nn.Module):
    """A ViT block with layer scale."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=NORM_EPS)
        self.attn = Attention(width, heads)
        self.ls1 = LayerScale(width)
        self.norm2 = nn.LayerNorm(width, eps=NORM_EPS)
        self.mlp = MLP(width, 4 * width)
        self.ls2 = LayerScale(width)

    def forward(
        self, x: Float[Tensor, "B N D"], rotate: Callable[[Tensor], Tensor] | None = None
    ) -> Float[Tensor, "B N D"]:
        """Return all tokens transformed; `rotate` turns queries and keys by their positions."""
        x = x + self.ls1(self.attn(self.norm1(x), rotate))
        return x + self.ls2(self.mlp(self.norm2(x)))


class Trunk(nn.Module):
    """The part of timm's model that works on tokens: class token, positions, blocks and a final norm.

    Args:
        width: the width of the tokens.
        depth: the number of blocks.
        heads: the number of attention heads.
        patches: the number of patches of an image.
    """

    def __init__(self, width: int, depth: int, heads: int, patches: int) -> None:
        super().__init__()
        self.cls_token = learned(1, 1, width)
        self.pos_embed = learned(1, patches + 1, width)
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(depth))
        self.norm = nn.LayerNorm(width, eps=NORM_EPS)

    def forward(
        self, image: Float[Tensor, "B N D"], latent: Float[Tensor, "B M D"], rotate: Rotate | None = None
    ) -> tuple[Float[Tensor, "B N D"], Float[Tensor, "B M D"]]:
        """Return the image tokens and the latent tokens, transformed together. Only image tokens get positions here."""
        first = self.cls_token.expand(len(image), -1, -1)
        x = torch.cat([torch.cat([first, image], 1) + self.pos_embed, latent], 1)
        for number, block in enumerate(self.blocks):
            x = block(x, None if rotate is None else rotate(number))
        return self.norm(x)[:, 1:].split([image.shape[1], latent.shape[1]], 1)


class PatchTrunk(Trunk):
    """A trunk that embeds the patches of images of 3 channels (keys `patch_embed`).

    Args:
        width, depth, heads, patches: the same as for `Trunk`.
        patch: the side of a patch, in pixels.
    """

    def __init__(self, width: int, depth: int, heads: int, patches: int, patch: int) -> None:
        super().__init__(width, depth, heads, patches)
        self.patch_embed = nn.ModuleDict({"proj": nn.Conv2d(3, width, patch, patch)})

    def tokens(self, images: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B N D"]:
        """Return one token per patch, row-major."""
        return self.patch_embed["proj"](images).flatten(2).transpose(1, 2)


class ToPixels(nn.Module):
    """A linear layer from a token to the pixels of its patch."""

    def __init__(self, width: int, patch: int) -> None:
        super().__init__()
        self.patch = patch
        self.model = nn.Linear(width, 3 * patch**2)

    def forward(self, tokens: Float[Tensor, "B N D"]) -> Float[Tensor, "B 3 H W"]:
        """Return the images of one token per patch, row-major."""
        return unpatchify(self.model(tokens), self.patch, 3)
