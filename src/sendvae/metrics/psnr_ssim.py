"""Per-image PSNR and SSIM."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor

PEAK = 255.0
# Wang et al. (2004), "Image quality assessment: from error visibility to structural similarity", section III.C.
WINDOW, SIGMA = 11, 1.5  # pixels
STABILISERS = (
    0.01,
    0.03,
)  # k1 and k2; the constants of the two quotients are their squares times the range's


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
    return _ssim(a.clamp(-1, 1), b.clamp(-1, 1), 2.0)


def _ssim(a: Float[Tensor, "B c H W"], b: Float[Tensor, "B c H W"], span: float) -> Float[Tensor, " B"]:
    """Return the mean of the SSIM map of each pair, whose values lie in an interval of length `span`."""
    a, b = a.double(), b.double()
    rows, columns = (_blurring(size, a.device) for size in a.shape[2:])
    mean_a, mean_b, square_a, square_b, product = (
        rows @ values @ columns.T for values in (a, b, a * a, b * b, a * b)
    )
    c1, c2 = ((k * span) ** 2 for k in STABILISERS)
    luminance = (2 * mean_a * mean_b + c1) / (mean_a.square() + mean_b.square() + c1)
    variances = square_a - mean_a.square() + square_b - mean_b.square()
    structure = (2 * (product - mean_a * mean_b) + c2) / (variances + c2)
    # The bound of the formula is 1, which rounding misses by 1e-16.
    return (luminance * structure).mean(dim=(1, 2, 3)).clamp_max(1.0)


def _blurring(size: int, device: torch.device) -> Float[Tensor, "size size"]:
    """Return the matrix that blurs a column of pixels by the Gaussian window, mirrored at both ends."""
    reach = WINDOW // 2
    offsets = torch.arange(-reach, reach + 1, dtype=torch.float64, device=device)
    window = (-0.5 * (offsets / SIGMA).square()).exp()
    impulses = torch.eye(size, dtype=torch.float64, device=device)[None]
    mirrored = F.pad(impulses, (reach, reach), mode="reflect")[0]
    return (mirrored.unfold(1, WINDOW, 1) @ (window / window.sum())).T


def _in_unit_range(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    if a.shape != b.shape or a.dtype != b.dtype:
        raise ValueError(f"images differ: {tuple(a.shape)} {a.dtype} and {tuple(b.shape)} {b.dtype}")
    if a.dtype == torch.uint8:
        return a.double() / PEAK, b.double() / PEAK
    for images in (a, b):
        if not bool(((images >= 0) & (images <= 1)).all()):
            raise ValueError("floating images must lie in [0, 1]")
    return a, b
