"""The networks of a step as an ordinary script has them: timm's blocks, diffusers' VAE, torch's layers; our weights.

They share no code with our networks, so that nothing that we do for speed is done here.
"""

from __future__ import annotations

import copy
import itertools
import math
from functools import partial

import torch
import torch.nn.functional as F
from diffusers.models import AutoencoderKL
from timm.layers import PatchEmbed
from timm.layers.attention import Attention
from timm.layers.mlp import Mlp
from timm.models.vision_transformer import Block as ViTBlock
from torch import Tensor, nn

from sendvae import diffusion
from sendvae.alignment import mapper
from sendvae.autoencoding import lpips
from sendvae.tokenizers.autoencoder import Autoencoder
from sendvae.tokenizers.diffusers_keys import to_diffusers_state_dict
from sendvae.tokenizers.diffusers_layout import diffusers_config

EPS, LPIPS_EPS = 1e-6, 1e-10
FREQUENCIES, MAX_PERIOD = 256, 10_000.0  # DiT


class Block(nn.Module):
    """DiT's block: attention and MLP under adaLN-Zero."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, elementwise_affine=False, eps=EPS)
        self.attn = Attention(width, heads, qkv_bias=True)
        self.norm2 = nn.LayerNorm(width, elementwise_affine=False, eps=EPS)
        # pyrefly: ignore[bad-argument-type]  (it asks for a class; timm's own models give partials, too)
        self.mlp = Mlp(width, 4 * width, act_layer=partial(nn.GELU, "tanh"))
        self.adaLN_modulation = nn.Sequential(nn.SiLU(), nn.Linear(width, 6 * width))

    def forward(self, x: Tensor, c: Tensor) -> Tensor:
        shift_a, scale_a, gate_a, shift_m, scale_m, gate_m = self.adaLN_modulation(c)[:, None].chunk(
            6, dim=-1
        )
        x = x + gate_a * self.attn(self.norm1(x) * (1 + scale_a) + shift_a)
        return x + gate_m * self.mlp(self.norm2(x) * (1 + scale_m) + shift_m)


class SiT(nn.Module):
    """SiT with REPA's projector, after DiT's published code; the weights are those of ours."""

    def __init__(self, ours: diffusion.SiT) -> None:
        super().__init__()
        a = ours.arguments
        width, patch, self.channels = a["width"], a["patch_size"], a["latent_channels"]
        self.patch, self.grid, self.repa_depth = patch, a["latent_size"] // patch, a["repa_depth"]
        self.null, self.label_dropout = a["num_classes"], a["label_dropout"]
        self.x_embedder = PatchEmbed(a["latent_size"], patch, self.channels, width)
        self.t_embedder = nn.ModuleDict({"mlp": _perceptron(FREQUENCIES, width, width)})
        self.y_embedder = nn.ModuleDict({"embedding_table": nn.Embedding(self.null + 1, width)})
        self.pos_embed = nn.Parameter(torch.zeros_like(ours.pos_embed), requires_grad=False)
        self.blocks = nn.ModuleList(Block(width, a["heads"]) for _ in range(a["depth"]))
        self.projectors = nn.ModuleList(
            [_perceptron(width, a["repa_hidden"], a["repa_hidden"], a["repa_width"])]
        )
        self.final_layer = nn.ModuleDict(
            {
                "norm_final": nn.LayerNorm(width, elementwise_affine=False, eps=EPS),
                "linear": nn.Linear(width, patch * patch * self.channels),
                "adaLN_modulation": nn.Sequential(nn.SiLU(), nn.Linear(width, 2 * width)),
            }
        )
        self.load_state_dict(ours.state_dict())

    def forward(self, x: Tensor, t: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Return the velocity and the projected tokens."""
        x, c = self._embed(x, t, labels)
        hidden = x
        for number, block in enumerate(self.blocks, start=1):
            x = block(x, c)
            if number == self.repa_depth:
                hidden = x
        shift, scale = self.final_layer["adaLN_modulation"](c)[:, None].chunk(2, dim=-1)
        x = self.final_layer["linear"](self.final_layer["norm_final"](x) * (1 + scale) + shift)
        x = x.reshape(len(x), self.grid, self.grid, self.patch, self.patch, self.channels)
        side = self.grid * self.patch
        velocity = torch.einsum("nhwpqc->nchpwq", x).reshape(len(x), self.channels, side, side)
        return velocity, self.projectors[0](hidden)

    def features(self, x: Tensor, t: Tensor, labels: Tensor) -> Tensor:
        """Return the projected tokens alone, as REPA-E's `align_only`."""
        x, c = self._embed(x, t, labels)
        for block in self.blocks[: self.repa_depth]:
            x = block(x, c)
        return self.projectors[0](x)

    def _embed(self, x: Tensor, t: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        half = FREQUENCIES // 2
        angles = t[:, None] * torch.exp(-math.log(MAX_PERIOD) * torch.arange(half) / half)
        time = self.t_embedder["mlp"](torch.cat([angles.cos(), angles.sin()], dim=-1))
        return self.x_embedder(x) + self.pos_embed, time + self.y_embedder["embedding_table"](labels)


class Alignment(nn.Module):
    """Send-VAE's mapper of timm's blocks."""

    def __init__(self, ours: mapper.Mapper) -> None:
        super().__init__()
        width = ours.norm.normalized_shape[0]
        self.embed = nn.ModuleDict({"proj": copy.deepcopy(ours.embed.proj)})
        self.positions = ours.positions.clone()
        norm, blocks = partial(nn.LayerNorm, eps=EPS), []
        for block in ours.blocks:
            assert isinstance(block, mapper.ViTBlock)
            heads, hidden = block.attn.heads, block.mlp.fc1.out_features
            # pyrefly: ignore[bad-argument-type]  (as in `Block`)
            blocks.append(ViTBlock(width, heads, hidden / width, qkv_bias=True, norm_layer=norm))
        self.blocks = nn.Sequential(*blocks)
        self.norm, self.mlp = nn.LayerNorm(width, eps=EPS), copy.deepcopy(ours.mlp)
        self.load_state_dict(ours.state_dict())

    def forward(self, z: Tensor) -> Tensor:
        """Return the predicted tokens."""
        x = self.embed["proj"](z).flatten(2).transpose(1, 2) + self.positions
        return self.mlp(self.norm(self.blocks(x)))


class LPIPS(nn.Module):
    """LPIPS with VGG16, as the package of that name computes it."""

    def __init__(self, ours: lpips.LPIPS) -> None:
        super().__init__()
        self.trunk = copy.deepcopy(ours.trunk).to(memory_format=torch.contiguous_format)
        self.heads = copy.deepcopy(ours.heads)
        self.shift, self.scale = ours.shift.clone(), ours.scale.clone()
        self.eval().requires_grad_(False)

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """Return a distance for each image."""
        pairs = zip(self._features(a), self._features(b), self.heads, strict=True)
        terms = (F.conv2d((x - y) ** 2, head).mean(dim=(2, 3)) for x, y, head in pairs)
        return sum(terms, start=torch.zeros(()))

    def _features(self, x: Tensor) -> list[Tensor]:
        x, found = (x - self.shift) / self.scale, []
        for layer in self.trunk:
            if isinstance(layer, nn.MaxPool2d):
                found.append(x)
            x = layer(x)
        return [one / (one.square().sum(1, keepdim=True).sqrt() + LPIPS_EPS) for one in (*found, x)]


def plain_vae(ours: Autoencoder) -> AutoencoderKL:
    """Return diffusers' VAE with our weights."""
    network = AutoencoderKL.from_config(diffusers_config(ours.architecture, None))
    assert isinstance(network, AutoencoderKL)
    network.load_state_dict(to_diffusers_state_dict(ours.state_dict()))
    return network.train()


def _perceptron(*widths: int) -> nn.Sequential:
    """Return linear layers with SiLU between them."""
    layers: list[nn.Module] = []
    for before, after in itertools.pairwise(widths):
        layers += [nn.Linear(before, after), nn.SiLU()]
    return nn.Sequential(*layers[:-1])
