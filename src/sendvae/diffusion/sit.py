"""SiT: the scalable interpolant transformer, with REPA's key layout and projector."""

from __future__ import annotations

from functools import partial
from typing import Unpack

from torch import nn

from sendvae.diffusion.transformer import Arguments, Block, DiffusionTransformer
from sendvae.nn import MLP, Attention

LAYER_NORM_EPS = 1e-6


class SiT(DiffusionTransformer):
    """LayerNorm without weights, and an MLP with tanh-GELU of four times the width.

    Args:
        heads: the number of heads of the attention.
        qk_norm: normalise queries and keys (LayerNorm with weights), REPA's option.
        arguments: as in `Arguments`.
    """

    def __init__(self, *, heads: int, qk_norm: bool = False, **arguments: Unpack[Arguments]) -> None:
        width = arguments["width"]
        norm = partial(nn.LayerNorm, eps=LAYER_NORM_EPS, elementwise_affine=False)

        def block() -> Block:
            attention = Attention(width, heads, nn.LayerNorm if qk_norm else nn.Identity)
            return Block(width, norm, attention, MLP(width, 4 * width, approximate="tanh"))

        super().__init__(block, norm, {"heads": heads, "qk_norm": qk_norm}, **arguments)
