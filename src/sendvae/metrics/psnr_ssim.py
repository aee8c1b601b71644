"""Per-image PSNR and SSIM of 8-bit images."""

from __future__ import annotations

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

PEAK = 255.0


def psnr(a: UInt8[Tensor, "B 3 H W"], b: UInt8[Tensor, "B 3 H W"]) -> Float[Tensor, " B"]:
    """20 log10(255 / RMSE) of each pair, in dB; infinite for equal images."""
    error = (a.double() - b.double()).square().mean(dim=(1, 2, 3))
    return 10.0 * (PEAK**2 / error).log10()


def ssim(a: UInt8[Tensor, "B 3 H W"], b: UInt8[Tensor, "B 3 H W"]) -> Float[Tensor, " B"]:
    """SSIM of each pair on [0, 1]: Gaussian window of 11 pixels, sigma 1.5, k = (.01, .03) (Wang et al., 2004)."""
    from torchmetrics.functional.image import structural_similarity_index_measure

    values = structural_similarity_index_measure(
        a.float() / PEAK, b.float() / PEAK, data_range=1.0, reduction="none"
    )
    assert isinstance(values, Tensor)
    return torch.atleast_1d(values)
