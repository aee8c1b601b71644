from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.stats import gaussian_kde

from sendvae.latents import TensorRows, density_statistics, kernel_density, uniformity
from sendvae.latents.uniformity import _one_position_each


def test_density_of_a_gaussian_has_known_statistics() -> None:
    # At its own points the density of a plane Gaussian is uniform on (0, max): Gini 1/3, cv 1/sqrt(3).
    points = torch.randn(20_000, 2, dtype=torch.float64)
    statistics = density_statistics(torch.exp(-0.5 * points.square().sum(1)) / (2 * math.pi))
    assert statistics.gini == pytest.approx(1 / 3, abs=0.01)
    assert statistics.cv == pytest.approx(1 / math.sqrt(3), abs=0.01)
    assert statistics.density_std == pytest.approx(1 / (2 * math.pi * math.sqrt(12)), rel=0.02)


@pytest.mark.parametrize("dim", [1, 2, 5])
def test_blocks_agree_with_scipy(dim: int, monkeypatch: pytest.MonkeyPatch) -> None:
    points = torch.randn(150, dim, dtype=torch.float64) @ torch.randn(dim, dim, dtype=torch.float64)
    monkeypatch.setitem(kernel_density.__globals__, "BLOCK", 40)
    expected = gaussian_kde(points.T.numpy())(points.T.numpy())
    np.testing.assert_allclose(kernel_density(points), expected, rtol=1e-9)


@pytest.mark.parametrize("projection", ["tsne", "pca", "none"])
def test_same_seed_same_numbers(projection: str) -> None:
    latents = torch.randn(120, 4, 3, 3)
    scores = [uniformity(latents, projection, samples=100, repeats=1, seed=s) for s in (0, 0, 1)]
    assert scores[0] == scores[1]
    assert scores[0] != scores[2]
    assert 0 < scores[0].gini < 1
    assert 0 < scores[0].normalised_entropy < 1


def test_plane_gaussian_without_projection() -> None:
    # Kernel smoothing flattens a little: the limit is 1/3, 10,000 points give .31.
    score = uniformity(torch.randn(4000, 2, 2, 2), "none", samples=3000, repeats=2)
    assert score.gini == pytest.approx(0.305, abs=0.02)


def test_channel_scale_does_not_matter() -> None:
    latents = torch.randn(300, 3, 2, 2)
    scaled = latents * torch.tensor([0.01, 1.0, 50.0])[:, None, None] + 4.0
    plain, other = (uniformity(z, "pca", samples=200, repeats=2) for z in (latents, scaled))
    assert other.gini == pytest.approx(plain.gini, rel=1e-3)


def test_dead_channels_are_named() -> None:
    latents = torch.randn(50, 3, 2, 2)
    latents[:, 1] = 0.25
    with pytest.raises(ValueError, match=r"without variation: \[1\]"):
        uniformity(latents, "none")


def test_each_image_is_mirrored_with_equal_chance(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(_one_position_each.__globals__, "ROWS", 37)  # in several reads
    z = torch.arange(400.0)[:, None, None, None].expand(400, 1, 2, 2)  # the value says which image it is
    generator = torch.Generator().manual_seed(0)
    images = torch.randperm(400, generator=generator).numpy()
    points = _one_position_each(TensorRows(z), TensorRows(z + 1000), images, generator)[:, 0]
    coins = points >= 1000
    assert np.array_equal(torch.where(coins, points - 1000, points).numpy(), images)
    assert 160 < int(coins.sum()) < 240
    assert np.array_equal(_one_position_each(TensorRows(z), None, images, generator)[:, 0].numpy(), images)
    noise = torch.randn(300, 2, 4, 4, generator=torch.Generator().manual_seed(0))
    alone = uniformity(noise, "none", 200, 2)
    same = uniformity(noise, "none", 200, 2, mirrored=TensorRows(noise))
    assert same.gini == pytest.approx(alone.gini, rel=0.2)
    assert uniformity(noise, "none", 200, 2, mirrored=TensorRows(5 * noise)).gini > alone.gini
