"""Classifier-free guidance within an interval of noise levels."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from sendvae.diffusion.sit import SiT

Velocity = Callable[[Tensor, float], Tensor]


def guided_velocity(
    sit: SiT,
    labels: Int64[Tensor, " B"],
    scale: float = 1.0,
    interval: tuple[float, float] = (0.0, 1.0),
    dtype: torch.dtype = torch.float32,
) -> Velocity:
    """v(x, t) with v = v_null + scale (v_label - v_null) where low <= t <= high, else v_label.

    All latent channels are guided (SiT's own code guides the first three). The batch doubles only inside the
    interval. x may be float64; the network sees `dtype`.
    """
    low, high = interval

    def evaluate(x: Float[Tensor, "B C h w"], t: float) -> Float[Tensor, "B C h w"]:
        times = torch.full((len(x),), t, dtype=torch.promote_types(dtype, torch.float32), device=x.device)
        inputs = x.to(dtype)
        if scale == 1.0 or not low <= t <= high:
            return sit(inputs, times, labels).to(x.dtype)
        null = torch.full_like(labels, sit.null_label)
        both = sit(torch.cat([inputs, inputs]), times.repeat(2), torch.cat([labels, null]))
        conditional, unconditional = both.to(x.dtype).chunk(2)
        return unconditional + scale * (conditional - unconditional)

    return evaluate
