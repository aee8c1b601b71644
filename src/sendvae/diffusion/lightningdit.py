"""LightningDiT: SiT's way through with RMSNorm, SwiGLU and rotary positions, under its makers' key names."""

from __future__ import annotations

from typing import Unpack

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor, nn

from sendvae.diffusion.transformer import Arguments, Block, DiffusionTransformer
from sendvae.nn import Attention

RMS_NORM_EPS = 1e-6
ROTARY_PERIOD = 10_000.0  # EVA-02's


class RMSNorm(nn.Module):
    """x / sqrt(mean(x^2) + eps) over the channels, then times a learned weight; statistics in float32 at least."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Float[Tensor, "*B D"]) -> Float[Tensor, "*B D"]:
        """Normalise every token, or every head of one."""
        return F.rms_norm(x, self.weight.shape, eps=RMS_NORM_EPS) * self.weight


class SwiGLU(nn.Module):
    """w3(SiLU(a) b) with (a, b) = w12(x)."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.w12 = nn.Linear(width, 2 * hidden)
        self.w3 = nn.Linear(hidden, width)

    def forward(self, x: Float[Tensor, "B N D"]) -> Float[Tensor, "B N D"]:
        """Transform every token by itself."""
        gate, value = self.w12(x).chunk(2, dim=-1)
        return self.w3(F.silu(gate) * value)


class RotaryPositions(nn.Module):
    """Rotates pairs of adjacent channels by angles of the row (first half of a head) and the column (second half).

    The angles are kept as buffers, because the released files hold them.

    Raises:
        ValueError: a head is not a multiple of four wide.
    """

    freqs_cos: Tensor
    freqs_sin: Tensor

    def __init__(self, head_width: int, grid: int) -> None:
        super().__init__()
        if head_width % 4:
            raise ValueError(f"a head's width must be a multiple of 4, got {head_width}")
        pairs = head_width // 4  # of each axis
        frequencies = ROTARY_PERIOD ** -(torch.arange(pairs, dtype=torch.float64) / pairs)
        axis = torch.outer(torch.arange(grid, dtype=torch.float64), frequencies).repeat_interleave(2, dim=1)
        rows, columns = axis[:, None].expand(grid, grid, -1), axis[None, :].expand(grid, grid, -1)
        angles = torch.cat([rows, columns], dim=-1).reshape(grid * grid, head_width)
        self.register_buffer("freqs_cos", angles.cos().float())
        self.register_buffer("freqs_sin", angles.sin().float())

    def forward(self, x: Float[Tensor, "B heads N d"]) -> Float[Tensor, "B heads N d"]:
        """Return queries or keys, rotated; tokens are row-major."""
        turned = torch.stack([-x[..., 1::2], x[..., 0::2]], dim=-1).flatten(-2)
        return (x * self.freqs_cos + turned * self.freqs_sin).to(x.dtype)


class LightningDiT(DiffusionTransformer):
    """A DiffusionTransformer with RMSNorm, SwiGLU and rotary positions beside the fixed ones.

    Its makers' time runs the other way (t = 1 is data, v = data - noise). The network is evaluated at 1 - t and its
    output negated, here rather than when weights are loaded: so weights are the released ones bit for bit, and
    what is trained here is read by its makers' code.

    Args:
        heads: the number of heads of the attention.
        qk_norm: normalise queries and keys, which its makers advise against losses that are not finite.
        arguments: as in `Arguments`.
    """

    def __init__(self, *, heads: int, qk_norm: bool = False, **arguments: Unpack[Arguments]) -> None:
        if arguments.get("one_dimensional"):
            raise ValueError("LightningDiT's rotary positions need latents on a grid: choose a SiT")
        width = arguments["width"]
        hidden = int(2 / 3 * 4 * width)

        def block() -> Block:
            attention = Attention(width, heads, RMSNorm if qk_norm else nn.Identity)
            return Block(width, RMSNorm, attention, SwiGLU(width, hidden))

        super().__init__(block, RMSNorm, {"heads": heads, "qk_norm": qk_norm}, **arguments)
        self.feat_rope = RotaryPositions(width // heads, self.grid)

    def _embed(
        self, x_t: Float[Tensor, "B C *n"], t: Float[Tensor, " B"], labels: Int64[Tensor, " B"]
    ) -> tuple[Float[Tensor, "B N D"], Float[Tensor, "B D"]]:
        """Return tokens with their positions added, and the condition at the time of LightningDiT's authors."""
        return super()._embed(x_t, 1.0 - t, labels)

    def _velocity_and_hidden(
        self, x_t: Float[Tensor, "B C *n"], t: Float[Tensor, " B"], labels: Int64[Tensor, " B"]
    ) -> tuple[Float[Tensor, "B C *n"], Float[Tensor, "B N D"]]:
        """Return the velocity at our time, and the output of block number `repa_depth`."""
        velocity, hidden = super()._velocity_and_hidden(x_t, t, labels)
        return -velocity, hidden
