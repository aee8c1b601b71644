"""Spectra of known mixtures of cosines, against SciPy's transform."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.fft import dctn
from torch import Tensor

from sendvae.latents import SCORES, Bootstrap, Evidence, TensorRows
from sendvae.latents.scores.spectrum import dct_matrix, score_spectrum, spectrum

EVERY = torch.ones(1, 1)


def cosine(u: int, v: int, height: int, width: int) -> Tensor:
    return dct_matrix(height)[u][:, None] * dct_matrix(width)[v]


def falling(exponent: float, side: int, count: int, seed: int = 0) -> Tensor:
    """Images (N, 2, side, side) whose power falls as frequency to an exponent."""
    generator = torch.Generator().manual_seed(seed)
    u = torch.arange(side, dtype=torch.float64) / side
    radius = (u[:, None].square() + u.square()).sqrt()
    amplitude = radius.clamp_min(1e-9) ** (exponent / 2)
    amplitude[0, 0] = 0.0
    coefficients = torch.randn(count, 2, side, side, generator=generator, dtype=torch.float64) * amplitude
    transform = dct_matrix(side)
    return (transform.T @ coefficients @ transform).float()


def test_the_transform_is_scipys() -> None:
    x = torch.randn(5, 7, dtype=torch.float64)
    ours = dct_matrix(5) @ x @ dct_matrix(7).T
    np.testing.assert_allclose(ours, dctn(x.numpy(), norm="ortho"), atol=1e-12)


@pytest.mark.parametrize(
    ("u", "v", "ring", "high"), [(3, 0, 3, 0.0), (0, 6, 6, 1.0), (3, 4, 5, 1.0), (2, 2, 3, 0.0)]
)
def test_one_cosine_lies_in_its_ring(u: int, v: int, ring: int, high: float) -> None:
    found = spectrum(TensorRows(cosine(u, v, 8, 8).float()[None, None]))
    share = found.rings / found.total
    assert share[0, ring - 1] == pytest.approx(1.0, abs=1e-6)
    assert found.high_shares(EVERY).item() == pytest.approx(high, abs=1e-6)


def test_rings_count_every_coefficient_of_a_long_grid_once() -> None:
    z = torch.randn(3, 2, 6, 10)
    z = (z - z.mean((0, 2, 3), keepdim=True)) / z.std((0, 2, 3), keepdim=True, correction=0)
    found = spectrum(TensorRows(z))
    powers = (dctn(z.double().numpy(), axes=(2, 3), norm="ortho") ** 2).sum(1)
    rings, high = np.zeros((3, 5)), np.zeros(3)
    for u in range(6):
        for v in range(10):
            radius = math.hypot(u / 6, v / 10)
            if 1 <= round(radius * 6) <= 5:
                rings[:, round(radius * 6) - 1] += powers[:, u, v]
            high += powers[:, u, v] * (radius > 0.5)
    np.testing.assert_allclose(found.rings, rings, rtol=1e-5)
    np.testing.assert_allclose(found.high, high, rtol=1e-5)
    np.testing.assert_allclose(found.total, powers.sum((1, 2)) - powers[:, 0, 0], rtol=1e-5)


@pytest.mark.parametrize("exponent", [0.0, -1.5, -3.0])
def test_the_slope_is_that_of_the_power_law(exponent: float) -> None:
    found = spectrum(TensorRows(falling(exponent, 16, 800)))
    assert found.slopes(torch.ones(1, 800)).item() == pytest.approx(exponent, abs=0.12)


def test_scores_are_against_the_images_on_the_same_resamples() -> None:
    latents, images = falling(-1.0, 8, 60), falling(-2.5, 32, 60, seed=1)
    evidence = Evidence(
        "noise", {"test": TensorRows(latents)}, (2, 8, 8), images={"test": TensorRows(images)},
        bootstrap=Bootstrap(50, 3),
    )  # fmt: skip
    numbers = score_spectrum(evidence).numbers
    slope = numbers["spectrum_slope"]
    alone = score_spectrum(
        Evidence("x", {"test": TensorRows(images)}, (2, 32, 32), bootstrap=Bootstrap(50, 3))
    )
    other = alone.numbers["spectrum_slope"]
    gap = numbers["spectrum_slope_gap"]
    assert gap.value == pytest.approx(slope.value - other.value)
    assert gap.value > 1.0
    torch.testing.assert_close(gap.resampled, slope.resampled - other.resampled)
    high = numbers["spectrum_high_gap"].value
    assert high == pytest.approx(numbers["spectrum_high"].value - alone.numbers["spectrum_high"].value)
    assert alone.numbers.keys() == {"spectrum_slope", "spectrum_high"}


def test_smooth_latents_score_better() -> None:
    smooth, rough = (
        score_spectrum(Evidence("x", {"test": TensorRows(falling(e, 8, 50))}, (2, 8, 8))).numbers
        for e in (-3.0, -0.5)
    )
    for name in smooth:
        assert (smooth[name].value > rough[name].value) is SCORES["spectrum"].quantity(name).higher_is_better


def test_what_has_no_spectrum_says_so() -> None:
    tokens = Evidence("x", {"test": TensorRows(torch.randn(4, 3, 16))}, (3, 16))
    assert score_spectrum(tokens).details == {
        "no spectrum": "latents are 16 tokens of 3 dimensions without a grid"
    }
    with pytest.raises(ValueError, match="2 x 2 positions"):
        spectrum(TensorRows(torch.randn(4, 3, 2, 2)))
    with pytest.raises(ValueError, match="without variation"):
        spectrum(TensorRows(torch.ones(4, 3, 8, 8)))
