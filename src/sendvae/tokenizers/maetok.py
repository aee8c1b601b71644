"""MAETok's tokenizer: a ViT encodes an image into tokens without a grid, and another decodes it.

Source: Hhhhhhao/continuous_tokenizer (Chen et al., 2025). The key names are those of its released files.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sendvae.nn import MLP, Attention
from sendvae.tokenizers.posterior import Posterior
from sendvae.tokenizers.protocol import Tokenizer
from sendvae.tokenizers.token_vit import NORM_EPS, PatchTrunk, ToPixels, learned

ROTARY_THETA = 10.0
UNTRAINABLE = "MAETok's training (masks, decoders of other features) is not part of this library"


@dataclass(frozen=True)
class MAETokShape:
    """The sizes of the two transformers, by default those of maetok-b-128.

    Attributes:
        tokens: the number N of tokens of a latent.
        dims: the number C of dimensions of a token.
        size: the side of an image, in pixels.
        patch: the side of a patch, in pixels.
        width, depth, heads: the width, the blocks and the attention heads of each transformer.
    """

    tokens: int = 128
    dims: int = 32
    size: int = 256
    patch: int = 16
    width: int = 768
    depth: int = 12
    heads: int = 12

    @property
    def grid(self) -> int:
        """Return the number of patches along one side."""
        return self.size // self.patch


class MixedRotary(nn.Module):
    """Learned rotary positions of image tokens, with a frequency in x and one in y for each pair of channels.

    The pairs are adjacent channels. Each block and each head has frequencies of its own.
    """

    freqs_t_x: Tensor
    freqs_t_y: Tensor

    def __init__(self, shape: MAETokShape) -> None:
        super().__init__()
        pairs = shape.width // shape.heads // 2
        half = ROTARY_THETA ** -(torch.arange(0, pairs, 2) / pairs)  # each for two directions at right angles
        angle = torch.rand(shape.depth, shape.heads, 1) * 2 * torch.pi
        x = torch.cat([half * angle.cos(), half * (angle + torch.pi / 2).cos()], -1)
        y = torch.cat([half * angle.sin(), half * (angle + torch.pi / 2).sin()], -1)
        self.freqs = nn.Parameter(torch.stack([x, y]).flatten(2))
        place = torch.arange(shape.grid**2)
        self.register_buffer("freqs_t_x", (place % shape.grid).float())
        self.register_buffer("freqs_t_y", place.div(shape.grid, rounding_mode="floor").float())

    def turn(self, x: Float[Tensor, "B heads N d"], block: int, first: int) -> Float[Tensor, "B heads N d"]:
        """Return the queries or keys of a block, in which the image's tokens, which start at `first`, are rotated."""
        heads = x.shape[1]
        along_x, along_y = self.freqs[:, block].float().unflatten(-1, (heads, -1))
        angles = self.freqs_t_x[:, None] * along_x[:, None] + self.freqs_t_y[:, None] * along_y[:, None]
        stop = first + len(self.freqs_t_x)
        even, odd = x[:, :, first:stop].float().unflatten(-1, (-1, 2)).unbind(-1)
        cos, sin = angles.cos(), angles.sin()
        turned = torch.stack([even * cos - odd * sin, even * sin + odd * cos], -1).flatten(-2)
        return torch.cat([x[:, :, :first], turned.to(x.dtype), x[:, :, stop:]], 2)


class ModulatedNorm(nn.Module):
    """A LayerNorm without weights, whose output for a latent token is modulated by the token's own latent ("MoVQ").

    Latent tokens become y = norm(x) * scale + shift. Shift and scale start at 0, so latent tokens are 0 at first.
    Tokens of the image become norm(x).

    Args:
        shape: the sizes of the networks.
        pairs: the number of pairs of shift and scale that are computed from one latent.
    """

    def __init__(self, shape: MAETokShape, pairs: int = 1) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(shape.width, eps=NORM_EPS, elementwise_affine=False)
        self.adaLN_modulation = nn.Sequential(nn.SiLU(), nn.Linear(shape.dims, 2 * pairs * shape.width))
        self.pairs = pairs
        nn.init.zeros_(self.adaLN_modulation[1].weight)  # type: ignore[arg-type]
        nn.init.zeros_(self.adaLN_modulation[1].bias)  # type: ignore[arg-type]

    def modulations(self, z: Float[Tensor, "B M C"]) -> tuple[Float[Tensor, "B M D"], ...]:
        """Return the shift and scale of every pair, one pair after the other."""
        return self.adaLN_modulation(z).chunk(2 * self.pairs, -1)

    def modulated(
        self, x: Float[Tensor, "B N D"], shift: Float[Tensor, "B M D"], scale: Float[Tensor, "B M D"]
    ) -> Float[Tensor, "B N D"]:
        """Return the normalised tokens, of which the last M, the latent tokens, are modulated."""
        image, latent = self.norm(x).split([x.shape[1] - shift.shape[1], shift.shape[1]], 1)
        return torch.cat([image, latent * scale + shift], 1)


class DecoderBlock(ModulatedNorm):
    """A ViT block whose two norms are modulated; it has neither gates nor layer scale."""

    def __init__(self, shape: MAETokShape) -> None:
        super().__init__(shape, pairs=2)
        self.attn = Attention(shape.width, shape.heads)
        self.mlp = MLP(shape.width, 4 * shape.width)

    def forward(
        self, x: Float[Tensor, "B N D"], z: Float[Tensor, "B M C"], rotary: MixedRotary, block: int
    ) -> Float[Tensor, "B N D"]:
        """Return all tokens transformed; the tokens of the image come first."""
        shift_a, scale_a, shift_m, scale_m = self.modulations(z)
        x = x + self.attn(self.modulated(x, shift_a, scale_a), lambda q: rotary.turn(q, block, 0))
        return x + self.mlp(self.modulated(x, shift_m, scale_m))


class Encoder(MixedRotary):
    """A transformer of image patches and learned latent tokens, of whose output the latent tokens are kept."""

    def __init__(self, shape: MAETokShape) -> None:
        super().__init__(shape)
        self.latent_tokens = learned(1, shape.tokens, shape.width)
        self.latent_pos_embed = learned(1, shape.tokens, shape.width)
        self.model = PatchTrunk(shape.width, shape.depth, shape.heads, shape.grid**2, shape.patch)

    def forward(self, images: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B M D"]:
        """Return the latent tokens."""
        latent = (self.latent_tokens + self.latent_pos_embed).expand(len(images), -1, -1)
        return self.model(self.model.tokens(images), latent, lambda block: lambda q: self.turn(q, block, 1))[
            1
        ]


class DecoderTrunk(nn.Module):
    """The blocks and the final norm of the decoder."""

    def __init__(self, shape: MAETokShape) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(DecoderBlock(shape) for _ in range(shape.depth))
        self.norm = ModulatedNorm(shape)


class Decoder(MixedRotary):
    """A transformer of one mask token per patch and the latent tokens; the mask tokens become pixels."""

    def __init__(self, shape: MAETokShape) -> None:
        super().__init__(shape)
        self.mask_token = learned(1, 1, shape.width)
        self.latent_pos_embed = learned(1, shape.tokens, shape.width)
        self.model = DecoderTrunk(shape)
        self.to_pixel = ToPixels(shape.width, shape.patch)

    def forward(self, tokens: Float[Tensor, "B M D"], z: Float[Tensor, "B M C"]) -> Float[Tensor, "B 3 H W"]:
        """Return the images of latents `z` and of `tokens`, which are the latents projected to the width D."""
        count = len(self.freqs_t_x)
        x = torch.cat([self.mask_token.expand(len(z), count, -1), tokens + self.latent_pos_embed], 1)
        for number, block in enumerate(self.model.blocks):
            x = block(x, z, self, number)
        norm = self.model.norm
        return self.to_pixel(norm.modulated(x, *norm.modulations(z))[:, :count])


class MAETok(Tokenizer):
    """A deterministic tokenizer of images of one size, with latents of N tokens of C dimensions.

    Args:
        shape: the sizes of the networks.
    """

    def __init__(self, shape: MAETokShape | None = None) -> None:
        super().__init__()
        self.shape = shape = shape or MAETokShape()
        self.latent_stats = None
        self.encoder, self.decoder = Encoder(shape), Decoder(shape)
        self.quant_conv = nn.Linear(shape.width, shape.dims)
        self.post_quant_conv = nn.Linear(shape.dims, shape.width)

    def encode(self, images: Float[Tensor, "B 3 H W"]) -> Posterior:
        """Return the latents (B, C, N) of images in [-1, 1] as a posterior of standard deviation 0."""
        return Posterior.at(self.quant_conv(self.encoder(images)).transpose(1, 2))

    def decode(self, z: Float[Tensor, "B C N"]) -> Float[Tensor, "B 3 H W"]:
        """Return the images of raw latents, nominally in [-1, 1]."""
        tokens = z.transpose(1, 2)
        return self.decoder(self.post_quant_conv(tokens), tokens)

    def latent_shape(self, size: int) -> tuple[int, ...]:
        """Return (C, N), whatever `size` is."""
        del size
        return self.shape.dims, self.shape.tokens

    @property
    def untrainable(self) -> str:
        """Return why MAETok cannot be fine-tuned here."""
        return UNTRAINABLE

    @property
    def identity(self) -> Mapping[str, object]:
        """Return the sizes of the networks."""
        return {"class": "MAETok", **asdict(self.shape)}

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
        """Return the number of tokens and of dimensions, such as "t128d32"."""
        return f"t{self.shape.tokens}d{self.shape.dims}"
