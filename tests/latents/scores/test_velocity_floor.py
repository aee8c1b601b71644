"""The velocity floor where it is known: two points, pure noise, and a direct computation."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from scipy.stats import norm

from sendvae.latents import Evidence, TensorRows
from sendvae.latents.scores.velocity_floor import TIMES, score_velocity_floor, velocity_floor


def floor_of_two(a: float, t: float) -> float:
    """E Var(v | x_t) of latents -a and a, by quadrature."""

    def integrand(x: float) -> float:
        density = (norm.pdf(x, (1 - t) * a, t) + norm.pdf(x, -(1 - t) * a, t)) / 2
        mean = a * math.tanh((1 - t) * a * x / t**2)
        return density * (a**2 - mean**2) / t**2

    return quad(integrand, -12, 12, points=[0.0], limit=400)[0]


@pytest.mark.parametrize("t", [0.3, 0.6, 0.9, 1.0])
def test_two_points_have_the_exact_floor(t: float) -> None:
    found = velocity_floor(torch.tensor([[-1.0], [1.0]]).double(), [t], queries=200_000)
    assert found.floor.item() == pytest.approx(floor_of_two(1.0, t), rel=0.02, abs=2e-3)


def test_every_dimension_counts_alike() -> None:
    """Two points far apart in one of three dimensions: the floor is a third of theirs."""
    points = torch.zeros(2, 3).double()
    points[:, 1] = torch.tensor([-1.0, 1.0])
    found = velocity_floor(points, [0.9], queries=100_000)
    assert found.floor.item() == pytest.approx(floor_of_two(1.0, 0.9) / 3, rel=0.03)


def test_the_closed_form_is_the_weighted_variance_of_velocities() -> None:
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(40, 3, generator=generator, dtype=torch.float64)
    t, repeat = 0.4, 2
    found = velocity_floor(z, [t], queries=16, seed=5, repeat=repeat)
    from sendvae.randomness import stream

    draws = stream(5, repeat, "velocity floor")
    chosen = torch.randint(40, (16,), generator=draws)
    x = (1 - t) * z[chosen] + t * torch.randn(16, 3, generator=draws, dtype=torch.float64)
    variances, near = [], []
    for one in x:
        noise = (one - (1 - t) * z) / t
        weights = norm.pdf(noise.numpy()).prod(1)
        weights = weights / weights.sum()
        velocity = (noise - z).numpy()
        mean = weights @ velocity
        variances.append((weights @ (velocity - mean) ** 2).mean())
        near.append(math.exp(-sum(w * math.log(w) for w in weights if w > 0)))
    assert found.floor.item() == pytest.approx(np.mean(variances))
    assert found.neighbours.item() == pytest.approx(np.mean(near))


def test_pure_noise_knows_nothing_of_its_latent() -> None:
    z = torch.randn(300, 8, dtype=torch.float64)
    z = (z - z.mean(0)) / z.std(0, correction=0)
    found = velocity_floor(z, [1.0, 0.01], queries=64)
    assert found.floor[0].item() == pytest.approx(1.0)
    assert found.neighbours[0].item() == pytest.approx(300.0)
    assert found.floor[1].item() < 1e-6
    assert found.neighbours[1].item() == pytest.approx(1.0, abs=1e-6)


def test_the_score_normalises_channels_and_follows_the_seed() -> None:
    z = torch.randn(50, 2, 2, 2, generator=torch.Generator().manual_seed(1))
    scaled = z * torch.tensor([5.0, 0.1])[:, None, None] + 3.0
    one, same, other = (
        score_velocity_floor(Evidence("x", {"train": TensorRows(rows)}, (2, 2, 2), seed=seed))
        for rows, seed in ((z, 0), (scaled, 0), (z, 1))
    )
    value = one.numbers["velocity_floor"].value
    assert same.numbers["velocity_floor"].value == pytest.approx(value, rel=1e-4)
    assert other.numbers["velocity_floor"].value != pytest.approx(value, rel=1e-6)
    repeats = one.numbers["velocity_floor"].repeats
    assert repeats is not None
    assert len(set(repeats)) == 4
    assert value == pytest.approx(np.mean(repeats))
    details = one.details["velocity floor"]
    assert details["latents"] == 50
    floors = [entry["floor"] for entry in details["by time"].values()]
    assert len(floors) == len(TIMES)
    assert np.mean(floors) == pytest.approx(value)


def test_tokens_without_a_grid_have_a_floor_too() -> None:
    found = score_velocity_floor(Evidence("x", {"train": TensorRows(torch.randn(30, 4, 6))}, (4, 6)))
    assert 0 < found.numbers["velocity_floor"].value < 1


def test_what_cannot_be_computed() -> None:
    with pytest.raises(ValueError, match=r"\(0, 1\]"):
        velocity_floor(torch.randn(3, 2, dtype=torch.float64), [0.0])
    flat = torch.randn(5, 2, 2, 2)
    flat[:, 1] = 4.0
    with pytest.raises(ValueError, match=r"without variation: \[1\]"):
        score_velocity_floor(Evidence("x", {"train": TensorRows(flat)}, (2, 2, 2)))
