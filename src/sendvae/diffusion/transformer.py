"""The parts that SiT and LightningDiT share: embedders, adaLN-Zero blocks, REPA's projector, the forward pass."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NotRequired, TypedDict

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from sendvae.diffusion.path import LINEAR, PATHS
from sendvae.diffusion.projectors import MLP, PROJECTORS
from sendvae.diffusion.protocol import Generator
from sendvae.nn import PatchEmbed, sincos_positions, token_positions, unpatchify
from sendvae.nn.precision import full_precision

FREQUENCIES, MAX_PERIOD = 256, 10_000.0  # timestep embedding (DiT)
REPA_HIDDEN = 2048  # REPA
INIT_STD = 0.02


class TimestepEmbedder(nn.Module):
    """t in [0, 1] (unscaled, as in SiT) to a vector: cosines, then sines, then a two-layer MLP.

    All in the weights' own precision, under autocast too: bfloat16 cannot tell times apart that differ in their
    third digit.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(FREQUENCIES, width), nn.SiLU(), nn.Linear(width, width))

    def forward(self, t: Float[Tensor, " B"]) -> Float[Tensor, "B D"]:
        """Return one vector per time, in the weights' dtype."""
        half = FREQUENCIES // 2
        exponents = torch.arange(half, dtype=torch.float32, device=t.device) / half
        angles = t[:, None].float() * torch.exp(-math.log(MAX_PERIOD) * exponents)
        frequencies = torch.cat([angles.cos(), angles.sin()], dim=-1)
        with full_precision(t.device):
            return self.mlp(frequencies.to(next(self.mlp.parameters()).dtype))


class LabelEmbedder(nn.Module):
    """Class table whose last row is the null label of classifier-free guidance."""

    def __init__(self, num_classes: int, width: int) -> None:
        super().__init__()
        self.embedding_table = nn.Embedding(num_classes + 1, width)

    def forward(self, labels: Int64[Tensor, " B"]) -> Float[Tensor, "B D"]:
        """Return a row of the table per label, in [0, num_classes]; `num_classes` is the null label."""
        return self.embedding_table(labels)


def modulate(
    x: Float[Tensor, "B N D"], shift: Float[Tensor, "B D"], scale: Float[Tensor, "B D"]
) -> Float[Tensor, "B N D"]:
    """Return x (1 + scale) + shift, the same for all tokens of an image (adaLN, DiT)."""
    return x * (1.0 + scale[:, None]) + shift[:, None]


class Block(nn.Module):
    """Transformer block with adaLN-Zero conditioning.

    Args:
        width: the width of the tokens.
        norm: makes each of the two norms from the width.
        attention, mlp: what stands behind them.
    """

    def __init__(
        self, width: int, norm: Callable[[int], nn.Module], attention: nn.Module, mlp: nn.Module
    ) -> None:
        super().__init__()
        self.norm1 = norm(width)
        self.attn = attention
        self.norm2 = norm(width)
        self.mlp = mlp
        self.adaLN_modulation = nn.Sequential(nn.SiLU(), nn.Linear(width, 6 * width))

    def forward(
        self,
        x: Float[Tensor, "B N D"],
        c: Float[Tensor, "B D"],
        rotate: Callable[[Tensor], Tensor] | None = None,
    ) -> Float[Tensor, "B N D"]:
        """Return the tokens under the condition `c`; in a fresh model the gates are 0 and x stays as it is.

        Args:
            x, c: tokens and condition.
            rotate: the rotation of the attention's queries and keys.
        """
        shift_a, scale_a, gate_a, shift_m, scale_m, gate_m = self.adaLN_modulation(c).chunk(6, dim=1)
        x = x + gate_a[:, None] * self.attn(modulate(self.norm1(x), shift_a, scale_a), rotate)
        return x + gate_m[:, None] * self.mlp(modulate(self.norm2(x), shift_m, scale_m))


class FinalLayer(nn.Module):
    """Modulated norm, then a linear layer from tokens to the values of their patches."""

    def __init__(self, width: int, norm: Callable[[int], nn.Module], patch_size: int, channels: int) -> None:
        super().__init__()
        self.norm_final = norm(width)
        self.linear = nn.Linear(width, patch_size * patch_size * channels)
        self.adaLN_modulation = nn.Sequential(nn.SiLU(), nn.Linear(width, 2 * width))

    def forward(self, x: Float[Tensor, "B N D"], c: Float[Tensor, "B D"]) -> Float[Tensor, "B N E"]:
        """Return E = p * p * C values per token under the condition `c`, in the order of `unpatchify`."""
        shift, scale = self.adaLN_modulation(c).chunk(2, dim=1)
        return self.linear(modulate(self.norm_final(x), shift, scale))


class Arguments(TypedDict):
    """What every diffusion transformer is built from.

    Attributes:
        latent_channels, latent_size: C and h = w of the latent.
        patch_size: latent positions per token along one side.
        width, depth: the width and the depth of the transformer.
        num_classes: label `num_classes` is the null label.
        label_dropout: probability of the null label in training.
        repa_width: width of the foundation model's tokens; None for no REPA projector.
        repa_depth: the projector reads the output of block number `repa_depth` (1-based).
        repa_hidden: hidden width of the projector.
        projector: name of the projector in PROJECTORS.
        path: name in PATHS of the interpolant that the velocities are of.
        one_dimensional: latents are `latent_size` tokens without a grid, a patch is one of them, and there is no
            projector, since no foundation model's tokens lie where they do (MAETok).
    """

    latent_channels: int
    latent_size: int
    patch_size: int
    width: int
    depth: int
    num_classes: int
    label_dropout: NotRequired[float]
    repa_width: NotRequired[int | None]
    repa_depth: NotRequired[int]
    repa_hidden: NotRequired[int]
    projector: NotRequired[str]
    path: NotRequired[str]
    one_dimensional: NotRequired[bool]


class DiffusionTransformer(Generator):
    """A generator of patches, positions, conditioned blocks and a final layer, under DiT's key names.

    Args:
        block: makes a block, called `depth` times.
        norm: makes the final norm from the width.
        options: further arguments of the network, for `arguments`.
        latent_channels, ..., path: as of `Arguments`.

    Raises:
        UserError: there is no such path or projector.
        ValueError: sizes that do not fit together.
    """

    pos_embed: nn.Parameter

    def __init__(
        self,
        block: Callable[[], nn.Module],
        norm: Callable[[int], nn.Module],
        options: dict[str, Any],
        *,
        latent_channels: int,
        latent_size: int,
        patch_size: int,
        width: int,
        depth: int,
        num_classes: int,
        label_dropout: float = 0.1,
        repa_width: int | None = None,
        repa_depth: int = 8,
        repa_hidden: int = REPA_HIDDEN,
        projector: str = MLP,
        path: str = LINEAR,
        one_dimensional: bool = False,
    ) -> None:
        super().__init__()
        if one_dimensional and (patch_size != 1 or repa_width is not None):
            raise ValueError("tokens without a grid have patches of 1 and no projector")
        if latent_size % patch_size:
            raise ValueError(f"latent size {latent_size} is not a multiple of patch size {patch_size}")
        if repa_width is not None and not 1 <= repa_depth <= depth:
            raise ValueError(f"repa_depth {repa_depth} is not a block of a model of depth {depth}")
        PATHS[path], PROJECTORS[projector]  # unknown ones are errors before anything is built
        self.arguments = {
            "latent_channels": latent_channels,
            "latent_size": latent_size,
            "patch_size": patch_size,
            "width": width,
            "depth": depth,
            "num_classes": num_classes,
            "label_dropout": label_dropout,
            "repa_width": repa_width,
            "repa_depth": repa_depth,
            "repa_hidden": repa_hidden,
            "projector": projector,
            "path": path,
            "one_dimensional": one_dimensional,
            **options,
        }
        self.latent_channels, self.latent_size, self.patch_size = latent_channels, latent_size, patch_size
        self.latent_shape = (
            (latent_channels, latent_size) if one_dimensional else (latent_channels, latent_size, latent_size)
        )
        self.num_classes, self.label_dropout, self.repa_depth = num_classes, label_dropout, repa_depth
        self.path, self.grid = path, latent_size // patch_size
        self.x_embedder = (
            nn.Linear(latent_channels, width)
            if one_dimensional
            else PatchEmbed(latent_channels, width, patch_size)
        )
        self.t_embedder = TimestepEmbedder(width)
        self.y_embedder = LabelEmbedder(num_classes, width)
        positions = (token_positions if one_dimensional else sincos_positions)(width, self.grid)
        self.pos_embed = nn.Parameter(positions[None], requires_grad=False)
        self.feat_rope: nn.Module | None = None  # rotates queries and keys, in networks that have it
        self.blocks = nn.ModuleList(block() for _ in range(depth))
        self.projectors = nn.ModuleList(
            [PROJECTORS[projector](width, repa_hidden, repa_width)] if repa_width is not None else []
        )
        self.final_layer = FinalLayer(width, norm, patch_size, latent_channels)
        self._initialise()

    def _initialise(self) -> None:
        for name, module in self.named_modules():
            if isinstance(module, nn.Linear):
                if "adaLN_modulation" in name or name == "final_layer.linear":
                    nn.init.zeros_(module.weight)
                elif name.startswith("t_embedder"):
                    nn.init.normal_(module.weight, std=INIT_STD)
                else:
                    nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)
        nn.init.normal_(self.y_embedder.embedding_table.weight, std=INIT_STD)

    def forward(
        self, x_t: Float[Tensor, "B C *n"], t: Float[Tensor, " B"], labels: Int64[Tensor, " B"]
    ) -> Float[Tensor, "B C *n"]:
        """Return the velocity (see `Generator`)."""
        return self._velocity_and_hidden(x_t, t, labels)[0]

    def forward_with_features(
        self, x_t: Float[Tensor, "B C *n"], t: Float[Tensor, " B"], labels: Int64[Tensor, " B"]
    ) -> tuple[Float[Tensor, "B C *n"], Float[Tensor, "B N E"] | None]:
        """Return the velocity and the projected hidden tokens (see `Generator`)."""
        velocity, hidden = self._velocity_and_hidden(x_t, t, labels)
        return velocity, self.projectors[0](hidden) if len(self.projectors) else None

    def features(
        self, x_t: Float[Tensor, "B C *n"], t: Float[Tensor, " B"], labels: Int64[Tensor, " B"]
    ) -> Float[Tensor, "B N E"]:
        """Return the projected hidden tokens alone: blocks after number `repa_depth` are not computed."""
        x, c = self._embed(x_t, t, labels)
        for block in self.blocks[: self.repa_depth]:
            x = block(x, c, self.feat_rope)
        return self.projectors[0](x)

    def _velocity_and_hidden(
        self, x_t: Float[Tensor, "B C *n"], t: Float[Tensor, " B"], labels: Int64[Tensor, " B"]
    ) -> tuple[Float[Tensor, "B C *n"], Float[Tensor, "B N D"]]:
        """Return the velocity, and the output of block number `repa_depth`."""
        x, c = self._embed(x_t, t, labels)
        hidden = x
        for i, block in enumerate(self.blocks, start=1):
            x = block(x, c, self.feat_rope)
            if i == self.repa_depth:
                hidden = x
        velocity = self.final_layer(x, c)
        if len(self.latent_shape) == 2:
            return velocity.transpose(1, 2), hidden
        return unpatchify(velocity, self.patch_size, self.latent_channels), hidden

    def _embed(
        self, x_t: Float[Tensor, "B C *n"], t: Float[Tensor, " B"], labels: Int64[Tensor, " B"]
    ) -> tuple[Float[Tensor, "B N D"], Float[Tensor, "B D"]]:
        """Return tokens with their positions added, and the condition."""
        if x_t.shape[1:] != self.latent_shape:
            raise ValueError(
                f"expected latents (B, {', '.join(map(str, self.latent_shape))}), got {tuple(x_t.shape)}"
            )
        if len(self.latent_shape) == 2:
            x_t = x_t.transpose(1, 2)
        return self.x_embedder(x_t) + self.pos_embed, self.t_embedder(t) + self.y_embedder(labels)
