"""Interpolants: their definitions, their velocities, and what a velocity says of data, score and noise."""

from __future__ import annotations

import math

import pytest
import torch

from sendvae.diffusion import PATHS, sample_time, shift_of


@pytest.mark.parametrize("name", PATHS)
def test_the_velocity_is_the_derivative_of_the_interpolant(name: str) -> None:
    path = PATHS[name]
    x, noise, t = torch.randn(3, 1, 2, 2).double(), torch.randn(3, 1, 2, 2).double(), torch.rand(3).double()
    step = 1e-6
    slope = (path.interpolate(x, noise, t + step) - path.interpolate(x, noise, t - step)) / (2 * step)
    torch.testing.assert_close(slope, path.velocity(x, noise, t), atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(path.interpolate(x, noise, torch.zeros(3).double()), x)
    torch.testing.assert_close(path.interpolate(x, noise, torch.ones(3).double()), noise)


@pytest.mark.parametrize("name", PATHS)
def test_data_and_score_of_a_known_pair(name: str) -> None:
    """Where data and noise are known, the velocity tells both; the score is minus the noise over its size."""
    path = PATHS[name]
    x, noise = torch.randn(4, 1, 2, 2).double(), torch.randn(4, 1, 2, 2).double()
    for t in (0.1, 0.5, 0.93):
        times = torch.full((4,), t, dtype=torch.float64)
        x_t, v = path.interpolate(x, noise, times), path.velocity(x, noise, times)
        size = float(path.interpolate(0 * x, torch.ones_like(x), times)[0, 0, 0, 0])
        torch.testing.assert_close(path.data(x_t, v, t), x, atol=1e-9, rtol=1e-9)
        torch.testing.assert_close(path.score(x_t, v, t), -noise / size, atol=1e-5, rtol=1e-5)
        assert path.diffusion(t) == pytest.approx(2.0 * size, rel=1e-6)


def test_the_two_paths_differ_where_they_should() -> None:
    """By their papers: at half time the linear path is the mean, the cosine path keeps the variance."""
    one, t = torch.ones(1, 1, 1, 1).double(), torch.tensor([0.5]).double()
    assert float(PATHS["linear"].interpolate(one, 3 * one, t)) == pytest.approx(2.0)
    assert float(PATHS["cosine"].interpolate(one, 3 * one, t)) == pytest.approx(4.0 * math.sqrt(0.5))


def test_time_sampling() -> None:
    uniform = sample_time(20_000, generator=torch.Generator().manual_seed(0))
    assert float(uniform.mean()) == pytest.approx(0.5, abs=0.01)
    assert float(uniform.std()) == pytest.approx(12**-0.5, abs=0.01)
    lognormal = sample_time(20_000, "lognormal", torch.Generator().manual_seed(0))
    odds = (lognormal / (1 - lognormal)).log()
    assert float(odds.mean()) == pytest.approx(0.0, abs=0.03)
    assert float(odds.std()) == pytest.approx(1.0, abs=0.03)
    with pytest.raises(ValueError, match="cosine"):
        sample_time(1, "cosine")


@pytest.mark.parametrize("kind", ["uniform", "lognormal"])
def test_a_shift_moves_the_times_of_training_towards_noise(kind: str) -> None:
    """The odds of t are multiplied by the shift."""
    plain, moved = (
        sample_time(1000, kind, torch.Generator().manual_seed(0), shift=shift).double()
        for shift in (1.0, 6.93)
    )
    torch.testing.assert_close(moved / (1 - moved), 6.93 * plain / (1 - plain), atol=1e-2, rtol=1e-2)


def test_the_shift_of_a_dimension_is_raes() -> None:
    """768 channels of 16 x 16 positions: sqrt(196608 / 4096)."""
    assert shift_of("dimension", (768, 16, 16)) == pytest.approx(6.928, abs=1e-3)
    assert shift_of("dimension", (4, 32, 32)) == 1.0
    assert shift_of(2.5, (768, 16, 16)) == 2.5
