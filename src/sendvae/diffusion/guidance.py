"""Classifier-free guidance within an interval of noise levels."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from sendvae.diffusion.protocol import Generator
from sendvae.diffusion.samplers.protocol import Velocity


def guided_velocity(
    model: Generator,
    labels: Int64[Tensor, " B"],
    scale: float = 1.0,
    interval: tuple[float, float] = (0.0, 1.0),
    dtype: torch.dtype = torch.float32,
    channels: int | None = None,
) -> Velocity:
    """Return v(x, t) with v = v_null + scale (v_label - v_null) where low <= t <= high, else v_label.

    The batch doubles only inside the interval. x may be float64; the network sees `dtype`.

    Args:
        channels: only the first so many latent channels are guided, the others follow v_label (3 in
            `forward_with_cfg` of SiT and LightningDiT); None: all of them (REPA, REPA-E).
    """
    low, high = interval

    def evaluate(x: Float[Tensor, "B C *n"], t: float) -> Float[Tensor, "B C *n"]:
        times = torch.full((len(x),), t, dtype=torch.promote_types(dtype, torch.float32), device=x.device)
        inputs = x.to(dtype)
        if scale == 1.0 or not low <= t <= high:
            return model(inputs, times, labels).to(x.dtype)
        null = torch.full_like(labels, model.null_label)
        both = model(torch.cat([inputs, inputs]), times.repeat(2), torch.cat([labels, null]))
        conditional, unconditional = both.to(x.dtype).chunk(2)
        guided = unconditional + scale * (conditional - unconditional)
        if channels is None:
            return guided
        return torch.cat([guided[:, :channels], conditional[:, channels:]], dim=1)

    return evaluate
