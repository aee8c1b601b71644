"""SoftVQ's tokenizer: transformers with absolute positions, and latents that are soft averages of a codebook.

Source: Hhhhhhao/continuous_tokenizer (Chen et al., arXiv 2412.10958); key names are those of its released files.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from sendvae.tokenizers.posterior import Posterior
from sendvae.tokenizers.protocol import Tokenizer
from sendvae.tokenizers.token_vit import PatchTrunk, ToPixels, Trunk, learned

UNTRAINABLE = "SoftVQ's training (codebook entropy, alignment of its tokens) is not part of this library"
HEAD_WIDTH = 64  # of all released networks


class Size(NamedTuple):
    """Width and depth of a transformer."""

    width: int
    depth: int

    @property
    def heads(self) -> int:
        """How many share the width."""
        return max(1, self.width // HEAD_WIDTH)


LARGE = Size(1024, 24)


@dataclass(frozen=True)
class SoftVQShape:
    """Sizes of the two transformers and of the codebooks; those of softvq-l-64 by default.

    Attributes:
        tokens, dims: N and C of a latent.
        size, patch: pixels of an image's side and of a patch's.
        encoder, decoder: width and depth of each.
        codebooks, codes: of the latter, entries of each; a codebook serves equally many tokens in a row.
        temperature: of the average over entries.
    """

    tokens: int = 64
    dims: int = 32
    size: int = 256
    patch: int = 16
    encoder: Size = LARGE
    decoder: Size = LARGE
    codebooks: int = 4
    codes: int = 8192
    temperature: float = 0.07

    @property
    def patches(self) -> int:
        """Of an image."""
        return (self.size // self.patch) ** 2


class SoftCodebook(nn.Module):
    """Averages of unit vectors, weighted by the softmax of their cosines with a token, key `embedding`."""

    def __init__(self, shape: SoftVQShape) -> None:
        super().__init__()
        codes = torch.randn(shape.codebooks, shape.codes, shape.dims)
        self.embedding = nn.Parameter(F.normalize(codes, dim=-1))
        self.temperature = shape.temperature

    def forward(self, tokens: Float[Tensor, "B N C"]) -> Float[Tensor, "B N C"]:
        """Return the averages; each codebook has its segment of the tokens."""
        segments = F.normalize(tokens.unflatten(1, (len(self.embedding), -1)), dim=-1)
        codes = F.normalize(self.embedding, dim=-1)
        weights = (segments @ codes.mT / self.temperature).softmax(-1)
        return (weights @ codes).flatten(1, 2)


class SoftVQEncoder(nn.Module):
    """Image patches and learned latent tokens through one transformer; the latent tokens are kept."""

    def __init__(self, shape: SoftVQShape) -> None:
        super().__init__()
        width, depth = shape.encoder
        self.latent_tokens = learned(1, shape.tokens, width)
        self.latent_pos_embed = learned(1, shape.tokens, width)
        self.model = PatchTrunk(width, depth, shape.encoder.heads, shape.patches, shape.patch)

    def forward(self, images: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B M D"]:
        """Return the latent tokens."""
        latent = (self.latent_tokens + self.latent_pos_embed).expand(len(images), -1, -1)
        return self.model(self.model.tokens(images), latent)[1]


class SoftVQDecoder(nn.Module):
    """Mask tokens, one a patch, and the latent tokens through one transformer; the former become pixels."""

    def __init__(self, shape: SoftVQShape) -> None:
        super().__init__()
        width, depth = shape.decoder
        self.patches = shape.patches
        self.mask_token = learned(1, 1, width)
        self.latent_pos_embed = learned(1, shape.tokens, width)
        self.model = Trunk(width, depth, shape.decoder.heads, shape.patches)
        self.to_pixel = ToPixels(width, shape.patch)

    def forward(self, tokens: Float[Tensor, "B M D"]) -> Float[Tensor, "B 3 H W"]:
        """Return the image of latent tokens that were widened."""
        masks = self.mask_token.expand(len(tokens), self.patches, -1)
        return self.to_pixel(self.model(masks, tokens + self.latent_pos_embed)[0])


class SoftVQ(Tokenizer):
    """Images of one size to N tokens of C dimensions, deterministic, and back.

    Args:
        shape: the shape of the networks.
    """

    def __init__(self, shape: SoftVQShape | None = None) -> None:
        super().__init__()
        self.shape = shape = shape or SoftVQShape()
        self.latent_stats = None
        self.encoder, self.decoder = SoftVQEncoder(shape), SoftVQDecoder(shape)
        self.quantize = SoftCodebook(shape)
        self.quant_conv = nn.Linear(shape.encoder.width, shape.dims)
        self.post_quant_conv = nn.Linear(shape.dims, shape.decoder.width)

    def encode(self, images: Float[Tensor, "B 3 H W"]) -> Posterior:
        """Return the latent (B, C, N) of images in [-1, 1] as a posterior of standard deviation 0."""
        return Posterior.at(self.quantize(self.quant_conv(self.encoder(images))).transpose(1, 2))

    def decode(self, z: Float[Tensor, "B C N"]) -> Float[Tensor, "B 3 H W"]:
        """Return the images of raw latents, nominally in [-1, 1]; those need be no averages of the codebook."""
        return self.decoder(self.post_quant_conv(z.transpose(1, 2)))

    def latent_shape(self, size: int) -> tuple[int, ...]:
        """Return (C, N), whatever the size."""
        del size
        return self.shape.dims, self.shape.tokens

    @property
    def untrainable(self) -> str:
        """Why it cannot be fine-tuned here."""
        return UNTRAINABLE

    @property
    def identity(self) -> Mapping[str, object]:
        """The sizes of the networks, and the temperature."""
        return {"class": "SoftVQ", **asdict(self.shape)}

    @property
    def image_size(self) -> int:
        """Pixels along one side of every image."""
        return self.shape.size

    @property
    def downsampling(self) -> int:
        """Pixels of a patch's side."""
        return self.shape.patch

    @property
    def one_size(self) -> bool:
        """Whether images must be `image_size` pixels high and wide: they must."""
        return True

    @property
    def label(self) -> str:
        """Tokens and dimensions, such as "t64d32"."""
        return f"t{self.shape.tokens}d{self.shape.dims}"
