"""Multi-head self-attention with timm's key names."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

# Up to this many tokens, products and a softmax are faster than the backward pass of the fused kernel in bf16 on a CPU:
# 6 times at 16 tokens, 1.5 times at 256 (`benchmarks/short_attention.py`).
SHORT = 256


def attend(
    q: Float[Tensor, "*heads N D"], k: Float[Tensor, "*heads M D"], v: Float[Tensor, "*heads M D2"]
) -> Float[Tensor, "*heads N D2"]:
    """Return softmax(q k^T / sqrt(D)) v; every query sees all keys.

    It uses PyTorch's fused attention, except where short sequences (up to 256 keys) are trained in bf16 on a CPU.
    """
    if q.device.type == "cpu" and q.dtype == torch.bfloat16 and q.requires_grad and k.shape[-2] <= SHORT:
        scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2)
        return scores.softmax(-1).to(v.dtype) @ v
    return F.scaled_dot_product_attention(q, k, v)


class Attention(nn.Module):
    """Multi-head self-attention (keys `qkv`, `proj`), in which q, k and v have biases.

    Args:
        width: the width of the tokens.
        heads: the number of heads.
        qk_norm: builds the norm of the queries, and that of the keys, from the width of a head (keys `q_norm` and
            `k_norm`).

    Raises:
        ValueError: the width is not a multiple of the number of heads.
    """

    def __init__(self, width: int, heads: int, qk_norm: Callable[[int], nn.Module] = nn.Identity) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(f"width {width} is not a multiple of heads {heads}")
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.q_norm, self.k_norm = qk_norm(width // heads), qk_norm(width // heads)
        self.proj = nn.Linear(width, width)

    def forward(
        self, x: Float[Tensor, "B N D"], rotate: Callable[[Tensor], Tensor] | None = None
    ) -> Float[Tensor, "B N D"]:
        """Return the tokens after every token has attended to all; there is no mask and no dropout.

        Args:
            x: the tokens.
            rotate: rotates queries and keys (B, heads, N, D / heads) by their positions.
        """
        batch, count, width = x.shape
        q, k, v = self.qkv(x).view(batch, count, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        q, k = self.q_norm(q), self.k_norm(k)
        if rotate is not None:
            q, k = rotate(q), rotate(k)
        y = attend(
            q.to(v.dtype), k.to(v.dtype), v
        )  # (B, heads, N, D / heads); norms give float32 under autocast
        return self.proj(y.transpose(1, 2).reshape(batch, count, width))
