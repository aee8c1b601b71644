"""SoftVQ's tokenizer: transformers with absolute positions, and latents that are soft averages of a codebook.

Source: Hhhhhhao/continuous_tokenizer (Chen et al., arXiv 2412.10958). The key names are those of its released files.
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
HEAD_WIDTH = 64  # the head width of all released networks


class Size(NamedTuple):
    """The width and the depth (number of blocks) of a transformer."""

    width: int
    depth: int

    @property
    def heads(self) -> int:
        """Return the number of attention heads."""
        return max(1, self.width // HEAD_WIDTH)


LARGE = Size(1024, 24)


@dataclass(frozen=True)
class SoftVQShape:
    """The sizes of the two transformers and of the codebooks, by default those of softvq-l-64.

    Attributes:
        tokens: the number N of tokens of a latent.
        dims: the number C of dimensions of a token.
        size: the side of an image, in pixels.
        patch: the side of a patch, in pixels.
        encoder, decoder: the width and depth of each transformer.
        codebooks: the number of codebooks; each serves an equal number of consecutive tokens.
        codes: the number of entries of each codebook.
        temperature: the temperature of the softmax over entries.
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
        """Return the number of patches of an image."""
        return (self.size // self.patch) ** 2


class SoftCodebook(nn.Module):
    """Codebooks (key `embedding`) that average unit vectors, weighted by the softmax of their cosines with a token."""

    def __init__(self, shape: SoftVQShape) -> None:
        super().__init__()
        codes = torch.randn(shape.codebooks, shape.codes, shape.dims)
        self.embedding = nn.Parameter(F.normalize(codes, dim=-1))
        self.temperature = shape.temperature

    def forward(self, tokens: Float[Tensor, "B N C"]) -> Float[Tensor, "B N C"]:
        """Return an average for every token. Each codebook serves its own segment of the tokens."""
        segments = F.normalize(tokens.unflatten(1, (len(self.embedding), -1)), dim=-1)
        codes = F.normalize(self.embedding, dim=-1)
        weights = (segments @ codes.mT / self.temperature).softmax(-1)
        return (weights @ codes).flatten(1, 2)


class SoftVQEncoder(nn.Module):
    """A transformer of image patches and learned latent tokens, of whose output the latent tokens are kept."""

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
    """A transformer of one mask token per patch and the latent tokens; the mask tokens become pixels."""

    def __init__(self, shape: SoftVQShape) -> None:
        super().__init__()
        width, depth = shape.decoder
        self.patches = shape.patches
        self.mask_token = learned(1, 1, width)
        self.latent_pos_embed = learned(1, shape.tokens, width)
        self.model = Trunk(width, depth, shape.decoder.heads, shape.patches)
        self.to_pixel = ToPixels(width, shape.patch)

    def forward(self, tokens: Float[Tensor, "B M D"]) -> Float[Tensor, "B 3 H W"]:
        """Return the images of latent tokens, which are the latents projected to the width D."""
        masks = self.mask_token.expand(len(tokens), self.patches, -1)
        return self.to_pixel(self.model(masks, tokens + self.latent_pos_embed)[0])


class SoftVQ(Tokenizer):
    """A deterministic tokenizer of images of one size, with latents of N tokens of C dimensions.

    Args:
        shape: the sizes of the networks.
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
        """Return the latents (B, C, N) of images in [-1, 1] as a posterior of standard deviation 0."""
        return Posterior.at(self.quantize(self.quant_conv(self.encoder(images))).transpose(1, 2))

    def decode(self, z: Float[Tensor, "B C N"]) -> Float[Tensor, "B 3 H W"]:
        """Return the images of raw latents, nominally in [-1, 1]. The latents need not be averages of the codebook."""
        return self.decoder(self.post_quant_conv(z.transpose(1, 2)))

    def latent_shape(self, size: int) -> tuple[int, ...]:
        """Return (C, N), whatever `size` is."""
        del size
        return self.shape.dims, self.shape.tokens

    @property
    def untrainable(self) -> str:
        """Return why SoftVQ cannot be fine-tuned here."""
        return UNTRAINABLE

    @property
    def identity(self) -> Mapping[str, object]:
        """Return the sizes of the networks and codebooks, and the temperature."""
        return {"class": "SoftVQ", **asdict(self.shape)}

    @property
    def image_size(self) -> int:
        """Return the side of every image, in pixels."""
        return self.shape.size

    @property
    def downsampling(self) -> int:
        """Return the side of a patch, in pixels."""
        return self.shape.patch

    @property
    def one_size(self) -> bool:
        """Return True: images must be `image_size` pixels high and wide."""
        return True

    @property
    def label(self) -> str:
        """Return the number of tokens and of dimensions, such as "t64d32"."""
        return f"t{self.shape.tokens}d{self.shape.dims}"
