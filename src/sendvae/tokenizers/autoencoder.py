"""The convolutional VAE of latent diffusion (LDM's AutoencoderKL), with its published key layout."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from typing import Any, cast

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from sendvae.nn.attention import attend
from sendvae.tokenizers.architecture import ARCHITECTURES, Architecture
from sendvae.tokenizers.packing import pack_posterior, unpack
from sendvae.tokenizers.posterior import Posterior
from sendvae.tokenizers.protocol import TrainableTokenizer
from sendvae.tokenizers.statistics import LatentStats

NORM_EPS = 1e-6  # GroupNorm epsilon of latent-diffusion


def normalized(norm: nn.GroupNorm, x: Float[Tensor, "B C h w"]) -> Float[Tensor, "B C h w"]:
    """Return SiLU of the normalised tensor. It is computed in place where no gradient is needed, to save memory."""
    return F.silu(norm(x), inplace=not torch.is_grad_enabled())


class ResnetBlock(nn.Module):
    """A residual block: GroupNorm, SiLU and convolution, twice, plus a skip (a 1x1 convolution to other channels)."""

    def __init__(self, in_channels: int, out_channels: int, norm_groups: int) -> None:
        super().__init__()
        self.norm1 = nn.GroupNorm(norm_groups, in_channels, eps=NORM_EPS)
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, padding=1)
        self.norm2 = nn.GroupNorm(norm_groups, out_channels, eps=NORM_EPS)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1)
        if in_channels != out_channels:
            self.nin_shortcut = nn.Conv2d(in_channels, out_channels, 1)

    def forward(self, x: Float[Tensor, "B C h w"]) -> Float[Tensor, "B C2 h w"]:
        """Return the features, with `out_channels` channels."""
        y = self.conv1(normalized(self.norm1, x))
        y = normalized(self.norm2, y)  # one name for all tensors: inference frees each as it is replaced
        y = self.conv2(y)
        return self.shortcut(x) + y  # where strides are ambiguous, the first operand's are kept

    def shortcut(self, x: Float[Tensor, "B C h w"]) -> Float[Tensor, "B C2 h w"]:
        """Return the skip, to which the block adds its output."""
        return self.nin_shortcut(x) if hasattr(self, "nin_shortcut") else x


class AttnBlock(nn.Module):
    """Single-head self-attention over positions; its projections are 1x1 convolutions.

    Without gradients its output, and that of the blocks after it, is channels-last, as in diffusers. This takes less
    memory and rounds as diffusers does; random weights in a deep decoder make other rounding visible. With gradients
    the output keeps the layout of the input, because on CPUs the backward pass of GroupNorm is many times slower
    channels-last (`benchmarks/group_norm_layout.py`).
    """

    def __init__(self, channels: int, norm_groups: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(norm_groups, channels, eps=NORM_EPS)
        self.q = nn.Conv2d(channels, channels, 1)
        self.k = nn.Conv2d(channels, channels, 1)
        self.v = nn.Conv2d(channels, channels, 1)
        self.proj_out = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Float[Tensor, "B C h w"]) -> Float[Tensor, "B C h w"]:
        """Return the features plus the attention of each position to all positions."""
        y = self.norm(x.flatten(2)).transpose(1, 2)
        q, k, v = (_on_tokens(to, y).unsqueeze(1) for to in (self.q, self.k, self.v))
        y = attend(q, k, v).squeeze(1)
        y = _on_tokens(self.proj_out, y).transpose(1, 2).unflatten(2, x.shape[2:]) + x
        return y.contiguous() if torch.is_grad_enabled() and x.is_contiguous() else y


def _on_tokens(projection: nn.Conv2d, tokens: Float[Tensor, "B N C"]) -> Float[Tensor, "B N C"]:
    """Return a 1x1 convolution of positions that are given as tokens."""
    return F.linear(tokens, projection.weight.flatten(1), projection.bias)


class Downsample(nn.Module):
    """A stride-2 convolution after zero padding by one row at the bottom and one column at the right."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, stride=2)

    def forward(self, x: Float[Tensor, "B C h w"]) -> Float[Tensor, "B C h2 w2"]:
        """Return the features at half the resolution."""
        return self.conv(F.pad(x, (0, 1, 0, 1)))


class Upsample(nn.Module):
    """A nearest-neighbour upsampling by 2, then a convolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Float[Tensor, "B C h w"]) -> Float[Tensor, "B C h2 w2"]:
        """Return the features at twice the resolution."""
        return self.conv(F.interpolate(x, scale_factor=2.0, mode="nearest"))


class Level(nn.Module):
    """The blocks of one resolution; `resample` is "downsample", "upsample" or None."""

    def __init__(
        self, in_channels: int, channels: int, blocks: int, attention: bool, resample: str | None, groups: int
    ) -> None:
        super().__init__()
        widths = [in_channels] + [channels] * blocks
        self.block = nn.ModuleList(ResnetBlock(a, b, groups) for a, b in itertools.pairwise(widths))
        self.attn = nn.ModuleList(AttnBlock(channels, groups) for _ in range(blocks if attention else 0))
        if resample == "downsample":
            self.downsample = Downsample(channels)
        elif resample == "upsample":
            self.upsample = Upsample(channels)

    def steps(self) -> list[nn.Module]:
        """Return the modules in the order in which they run."""
        steps: list[nn.Module] = []
        for i, block in enumerate(self.block):
            steps += [block, self.attn[i]] if self.attn else [block]
        return steps + [getattr(self, name) for name in ("downsample", "upsample") if hasattr(self, name)]


def _steps(levels: Iterable[nn.Module]) -> list[nn.Module]:
    return [step for level in levels for step in cast(Level, level).steps()]


class Middle(nn.Module):
    """Two residual blocks with an attention block between them, at the lowest resolution."""

    def __init__(self, channels: int, groups: int) -> None:
        super().__init__()
        self.block_1 = ResnetBlock(channels, channels, groups)
        self.attn_1 = AttnBlock(channels, groups)
        self.block_2 = ResnetBlock(channels, channels, groups)

    def steps(self) -> list[nn.Module]:
        """Return the modules in the order in which they run."""
        return [self.block_1, self.attn_1, self.block_2]


class Half(nn.Module):
    """The base of encoder and decoder: modules one after the other, then GroupNorm, SiLU and a convolution.

    The modules run from one flat list, because a nested call would keep its input in memory until it returns.
    """

    norm_out: nn.GroupNorm
    conv_out: nn.Conv2d

    def steps(self) -> list[nn.Module]:
        """Return all modules before `norm_out`, in the order they run."""
        raise NotImplementedError

    def forward(self, x: Float[Tensor, "B C h w"]) -> Float[Tensor, "B C2 h2 w2"]:
        """Return the output of all steps and of the last convolution."""
        for step in self.steps():
            x = step(x)
        return self.conv_out(normalized(self.norm_out, x))


class Encoder(Half):
    """The encoder, from images to moments (2 * z_channels channels)."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        a = architecture
        self.conv_in = nn.Conv2d(3, a.ch, 3, padding=1)
        self.down = nn.ModuleList()
        width, last = a.ch, len(a.levels) - 1
        for i, (channels, attention) in enumerate(a.levels):
            resample = "downsample" if i < last else None
            self.down.append(Level(width, channels, a.num_res_blocks, attention, resample, a.norm_groups))
            width = channels
        self.mid = Middle(width, a.norm_groups)
        self.norm_out = nn.GroupNorm(a.norm_groups, width, eps=NORM_EPS)
        self.conv_out = nn.Conv2d(width, 2 * a.z_channels, 3, padding=1)

    def steps(self) -> list[nn.Module]:
        """Return all modules before `norm_out`, in the order they run."""
        return [self.conv_in, *_steps(self.down), *self.mid.steps()]


class Decoder(Half):
    """The decoder, from latents to images; `up[i]` is resolution level i, so the last entry runs first."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        a = architecture
        width = a.levels[-1][0]
        self.conv_in = nn.Conv2d(a.z_channels, width, 3, padding=1)
        self.mid = Middle(width, a.norm_groups)
        levels = []
        for i, (channels, attention) in reversed(list(enumerate(a.levels))):
            resample = "upsample" if i > 0 else None
            levels.append(Level(width, channels, a.num_res_blocks + 1, attention, resample, a.norm_groups))
            width = channels
        self.up = nn.ModuleList(reversed(levels))
        self.norm_out = nn.GroupNorm(a.norm_groups, width, eps=NORM_EPS)
        self.conv_out = nn.Conv2d(width, 3, 3, padding=1)

    def steps(self) -> list[nn.Module]:
        """Return all modules before `norm_out`, in the order they run."""
        return [self.conv_in, *self.mid.steps(), *_steps(reversed(self.up))]


class Autoencoder(TrainableTokenizer):
    """A VAE whose `state_dict` keys are latent-diffusion's, so that published files load strictly.

    Args:
        architecture: the shape of the network.
        latent_stats: the per-channel statistics of its latents, if they are known.
    """

    def __init__(self, architecture: Architecture, latent_stats: LatentStats | None = None) -> None:
        super().__init__()
        self.architecture = architecture
        self.latent_stats = latent_stats
        a, z = architecture, architecture.z_channels
        self.encoder = Encoder(architecture)
        self.decoder = Decoder(architecture)
        self.quant_conv = nn.Conv2d(2 * z, 2 * z, 1) if a.quant_conv else None
        self.post_quant_conv = nn.Conv2d(z, z, 1) if a.post_quant_conv else None

    def encode(self, images: Float[Tensor, "B 3 H W"]) -> Posterior:
        """Return the posterior q(z|x) of images in [-1, 1], whose sides must be multiples of `downsampling`."""
        self.check_size(images)
        return self.posterior(self.encoder(images))

    def decode(self, z: Float[Tensor, "B C h w"]) -> Float[Tensor, "B 3 H W"]:
        """Return the images of raw latents, nominally in [-1, 1] (not clamped)."""
        return self.decoder(self.decoder_input(z))

    def posterior(self, moments: Float[Tensor, "B C2 h w"]) -> Posterior:
        """Return the posterior of the encoder's output, packed where the architecture packs."""
        moments = moments if self.quant_conv is None else self.quant_conv(moments)
        posterior, side = Posterior.from_moments(moments), self.architecture.packing
        return posterior if side == 1 else pack_posterior(posterior, side)

    def decoder_input(self, z: Float[Tensor, "B C h w"]) -> Float[Tensor, "B C2 h2 w2"]:
        """Return the decoder's input for raw latents: unpacked and after the 1x1 convolution, where there are such."""
        side = self.architecture.packing
        z = z if side == 1 else unpack(z, side)
        return z if self.post_quant_conv is None else self.post_quant_conv(z)

    def latent_shape(self, size: int) -> tuple[int, int, int]:
        """Return (C, h, w) for images of `size` pixels a side."""
        side = size // self.downsampling
        return self.architecture.latent_channels, side, side

    @property
    def identity(self) -> dict[str, Any]:
        """Return the fields of the architecture."""
        return asdict(self.architecture)

    @property
    def image_size(self) -> int:
        """Return the architecture's nominal resolution, in pixels."""
        return self.architecture.resolution

    @property
    def downsampling(self) -> int:
        """Return the pixels per latent position along one side."""
        return self.architecture.downsampling

    @property
    def encoder_out(self) -> Tensor:
        """Return the weight of the encoder's last 3x3 convolution, as VA-VAE does."""
        return self.encoder.conv_out.weight

    @property
    def decoder_out(self) -> Tensor:
        """Return the weight of the convolution that gives pixels, as latent-diffusion does."""
        return self.decoder.conv_out.weight

    def encoder_parameters(self) -> Iterator[nn.Parameter]:
        """Return the parameters of the encoder and of the 1x1 convolution after it."""
        return _parameters(self.encoder, self.quant_conv)

    def decoder_parameters(self) -> Iterator[nn.Parameter]:
        """Return the parameters of the decoder and of the 1x1 convolution before it."""
        return _parameters(self.decoder, self.post_quant_conv)


def _parameters(*modules: nn.Module | None) -> Iterator[nn.Parameter]:
    return itertools.chain.from_iterable(module.parameters() for module in modules if module is not None)


def build_tokenizer(name: str) -> Autoencoder:
    """Return a freshly initialised tokenizer by the name of its architecture, such as "f8d4" or "f16d32"."""
    return Autoencoder(ARCHITECTURES[name])
