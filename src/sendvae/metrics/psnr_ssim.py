"""Per-image PSNR and SSIM."""

from __future__ import annotations

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

PEAK = 255.0


def psnr(
    a: UInt8[Tensor, "B c H W"] | Float[Tensor, "B c H W"],
    b: UInt8[Tensor, "B c H W"] | Float[Tensor, "B c H W"],
) -> Float[Tensor, " B"]:
    """20 log10(peak / RMSE) of each pair over channels and pixels, in dB, float64; infinite for equal images.

    Args:
        a, b: uint8, as published numbers are taken, or floating in [0, 1].

    Raises:
        ValueError: shapes or types that differ, or a range that is not [0, 1].
    """
    a, b = _in_unit_range(a, b)
    return -10.0 * (a.double() - b.double()).square().mean(dim=(1, 2, 3)).log10()


def ssim(
    a: UInt8[Tensor, "B c H W"] | Float[Tensor, "B c H W"],
    b: UInt8[Tensor, "B c H W"] | Float[Tensor, "B c H W"],
) -> Float[Tensor, " B"]:
    """SSIM of each pair on [0, 1] (Wang et al., 2004): Gaussian window of 11 pixels, sigma 1.5.

    k = (.01, .03), L = 1. The mean is over every pixel; windows that reach over the border see the image mirrored
    at its outermost pixels. Computed in float64: in float32 the variance of flat images is rounding, and SSIM
    exceeds 1. Arguments and errors as for `psnr`.
    """
    return _ssim(*_in_unit_range(a, b), 1.0)


def ssim_signed(a: Float[Tensor, "B c H W"], b: Float[Tensor, "B c H W"]) -> Float[Tensor, " B"]:
    """SSIM of each pair on [-1, 1], where it comes out lower than on [0, 1]: SSIM is not free of shifts.

    As LightningDiT's `evaluate_tokenizer.py` has it: both are clamped, L = 2, otherwise as `ssim`.
    """
    return _ssim(a, b, (-1.0, 1.0))


def _ssim(a: Tensor, b: Tensor, data_range: float | tuple[float, float]) -> Float[Tensor, " B"]:
    from torchmetrics.functional.image import structural_similarity_index_measure

    values = structural_similarity_index_measure(
        a.double(), b.double(), data_range=data_range, reduction="none"
    )
    assert isinstance(values, Tensor)
    return torch.atleast_1d(values).clamp_max(1.0)  # the bound of the formula, which rounding misses by 1e-16


def _in_unit_range(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    if a.shape != b.shape or a.dtype != b.dtype:
        raise ValueError(f"images differ: {tuple(a.shape)} {a.dtype} and {tuple(b.shape)} {b.dtype}")
    if a.dtype == torch.uint8:
        return a.double() / PEAK, b.double() / PEAK
    for images in (a, b):
        if not bool(((images >= 0) & (images <= 1)).all()):
            raise ValueError("floating images must lie in [0, 1]")
    return a, b
