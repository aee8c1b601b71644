from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from sendvae.metrics import psnr, ssim, ssim_signed


def images(count: int, size: int = 32) -> torch.Tensor:
    """Smooth pictures with some noise, uint8."""
    coarse = torch.rand(count, 3, size // 8, size // 8)
    smooth = torch.nn.functional.interpolate(coarse, size=size, mode="bicubic").clamp(0, 1)
    return (255 * (0.9 * smooth + 0.1 * torch.rand_like(smooth))).round().to(torch.uint8)


def noisy(a: torch.Tensor) -> torch.Tensor:
    return (a.float() + 12 * torch.randn(a.shape)).clamp(0, 255).round().to(torch.uint8)


@pytest.mark.parametrize("offset", [1, 10, 100])
def test_psnr_of_a_constant_offset(offset: int) -> None:
    a = torch.full((2, 3, 8, 8), 100, dtype=torch.uint8)
    expected = 20 * math.log10(255 / offset)
    torch.testing.assert_close(
        psnr(a, a + offset), torch.full((2,), expected, dtype=torch.float64), rtol=1e-5, atol=0
    )


def test_equal_images() -> None:
    a = images(2)
    assert torch.isinf(psnr(a, a)).all()
    torch.testing.assert_close(ssim(a, a), torch.ones(2, dtype=torch.float64))


def test_psnr_agrees_with_scikit_image() -> None:
    a = images(3)
    b = noisy(a)
    expected = [peak_signal_noise_ratio(x.numpy(), y.numpy()) for x, y in zip(a, b, strict=True)]
    np.testing.assert_allclose(psnr(a, b), expected, rtol=1e-6)


def filtered_ssim(a: np.ndarray, b: np.ndarray) -> float:
    """Wang et al. (2004) by scipy's Gaussian filter, over the whole map of one image in [0, 1]."""

    def blur(x: np.ndarray) -> np.ndarray:
        return gaussian_filter(x, 1.5, truncate=3.5, mode="mirror", axes=(1, 2))

    c1, c2 = 0.01**2, 0.03**2
    mean_a, mean_b = blur(a), blur(b)
    var_a, var_b, cov = blur(a * a) - mean_a**2, blur(b * b) - mean_b**2, blur(a * b) - mean_a * mean_b
    luminance = (2 * mean_a * mean_b + c1) / (mean_a**2 + mean_b**2 + c1)
    return float((luminance * (2 * cov + c2) / (var_a + var_b + c2)).mean())


def test_ssim_agrees_with_the_definition() -> None:
    a = images(3)
    b = noisy(a)
    expected = [filtered_ssim(x / 255.0, y / 255.0) for x, y in zip(a.numpy(), b.numpy(), strict=True)]
    np.testing.assert_allclose(ssim(a, b), expected, rtol=1e-9)


def test_ssim_agrees_with_scikit_image() -> None:
    a = images(1, size=320)
    b = noisy(a)
    expected = structural_similarity(
        a[0].numpy(),
        b[0].numpy(),
        channel_axis=0,
        data_range=255,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
    )
    assert float(ssim(a, b)) == pytest.approx(expected, abs=5e-3)  # it leaves out a border of 5 pixels


def test_ssim_agrees_with_torchmetrics_on_pictures_that_are_not_square() -> None:
    from torchmetrics.functional.image import structural_similarity_index_measure

    a = images(3, size=64)[..., :24]
    b = noisy(a)
    x, y = a.double() / 255, b.double() / 255
    theirs = structural_similarity_index_measure(x, y, data_range=1.0, reduction="none")
    torch.testing.assert_close(ssim(a, b), theirs, rtol=1e-12, atol=0)
    x, y = 2.2 * x - 1, 2 * y - 1
    theirs = structural_similarity_index_measure(x, y, data_range=(-1.0, 1.0), reduction="none")
    torch.testing.assert_close(ssim_signed(x, y), theirs, rtol=1e-12, atol=0)


@pytest.mark.parametrize("level", [1, 100, 200, 255])
def test_ssim_of_flat_images_never_exceeds_one(level: int) -> None:
    """Their variance is 0; of two levels only the luminance term is left."""
    a = torch.full((2, 3, 32, 32), level, dtype=torch.uint8)
    b = a.clone()
    b[1] -= 1
    x, y = level / 255, (level - 1) / 255
    expected = torch.tensor([1.0, (2 * x * y + 1e-4) / (x * x + y * y + 1e-4)], dtype=torch.float64)
    found = ssim(a, b)
    assert bool((found <= 1.0).all())
    torch.testing.assert_close(found, expected, rtol=1e-11, atol=0)
    assert bool((ssim_signed(*(image.float() / 127.5 - 1 for image in (a, b))) <= 1.0).all())


def test_ssim_of_constants() -> None:
    # (2 a b + c1) / (a^2 + b^2 + c1): the structure term is 1.
    a, b, c1 = 0.2, 0.6, 0.01**2
    value = ssim(torch.full((1, 3, 16, 16), a), torch.full((1, 3, 16, 16), b))
    torch.testing.assert_close(
        value,
        torch.tensor([(2 * a * b + c1) / (a**2 + b**2 + c1)], dtype=torch.float64),
        rtol=1e-4,
        atol=1e-4,
    )


@pytest.mark.parametrize("metric", [psnr, ssim])
def test_an_image_scores_the_same_in_any_batch_and_scale(metric) -> None:
    a = images(3)
    b = noisy(a)
    together = metric(a, b)
    assert together.shape == (3,)
    alone = torch.cat([metric(x[None], y[None]) for x, y in zip(a, b, strict=True)])
    torch.testing.assert_close(together, alone, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(metric(a.float() / 255, b.float() / 255), together, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("metric", [psnr, ssim])
def test_mixed_types_and_ranges_are_errors(metric) -> None:
    a = images(1)
    with pytest.raises(ValueError, match="images differ"):
        metric(a, a.float() / 255)
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        metric(a.float() / 127.5 - 1, a.float() / 127.5 - 1)


def test_signed_ssim_is_clamped_and_lower() -> None:
    from torchmetrics.image import StructuralSimilarityIndexMeasure

    a = images(4)
    b = noisy(a)
    x, y = (z.float() / 127.5 - 1 for z in (a, b))
    x[0, 0, 0, 0] = 3.0
    theirs = StructuralSimilarityIndexMeasure(data_range=(-1.0, 1.0))
    assert float(ssim_signed(x, y).mean()) == pytest.approx(float(theirs(x, y)), abs=1e-5)
    torch.testing.assert_close(ssim_signed(x, y), ssim_signed(x.clamp(-1, 1), y))
    assert (ssim_signed(y, y.flip(0)) < ssim(b, b.flip(0))).all()
