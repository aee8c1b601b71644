"""Ways through latent space: analytic points, and ends that are the reconstructions."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.evaluation.samplable import small_tokenizer
from torch import Tensor

from sendvae.app.interpolation import interpolate, linear, spherical
from sendvae.app.refusal import Refusal
from sendvae.evaluation import reconstruct

CPU = torch.device("cpu")
X, Y = torch.tensor([3.0, 0.0], dtype=torch.float64), torch.tensor([0.0, 3.0], dtype=torch.float64)


def pictures() -> Tensor:
    return torch.randint(0, 256, (2, 3, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(5))


@given(t=st.floats(0.0, 1.0))
def test_an_arc_between_equal_lengths_keeps_the_length(t: float) -> None:
    found = spherical(X, Y, t)
    angle = t * math.pi / 2
    assert found.tolist() == pytest.approx([3 * math.cos(angle), 3 * math.sin(angle)], abs=1e-9)
    assert linear(X, Y, t).tolist() == pytest.approx([3 * (1 - t), 3 * t])


def test_parallel_opposite_and_zero_ends_take_the_line() -> None:
    for b in (2 * X, -2 * X, 0 * X):
        assert torch.equal(spherical(X, b, 0.25), linear(X, b, 0.25))


@pytest.mark.parametrize("way", ["linear", "spherical"])
def test_ends_are_the_reconstructions(way: str) -> None:
    tokenizer, (first, last) = small_tokenizer(), pictures()
    strip = interpolate(tokenizer, first, last, 5, way, CPU)
    assert strip.shape == (5, 3, 8, 8)
    expected = reconstruct(tokenizer, torch.stack([first, last]))
    assert int((strip[[0, -1]].short() - expected.short()).abs().max()) <= 1
    back = interpolate(tokenizer, last, first, 5, way, CPU)
    assert int((strip.flip(0).short() - back.short()).abs().max()) <= 1
    assert torch.equal(interpolate(tokenizer, first, last, 2, way, CPU), strip[[0, -1]])


@pytest.mark.parametrize("way", ["linear", "spherical"])
@pytest.mark.parametrize("with_statistics", [True, False])
def test_the_middle_lies_where_the_formula_says(way: str, with_statistics: bool) -> None:
    """The arc is drawn in normalised latents where the statistics are known."""
    tokenizer, ends = small_tokenizer(), pictures()
    mean, std = torch.zeros(4, 1, 1), torch.ones(4, 1, 1)
    if with_statistics:
        assert tokenizer.latent_stats is not None
        mean, std = (
            part[:, None, None] for part in (tokenizer.latent_stats.mean, tokenizer.latent_stats.std)
        )
    else:
        tokenizer.latent_stats = None
    with torch.no_grad():
        z = tokenizer.encode(ends / 127.5 - 1.0).mode()
        a, b = ((one - mean) / std for one in z)
        cosine = float((a * b).sum() / (a.norm() * b.norm()))
        # Halfway along an arc: (a + b) / (2 cos(w / 2)).
        scale = 0.5 if way == "linear" else 0.5 / math.sqrt((1 + cosine) / 2)
        middle = tokenizer.decode(((a + b) * scale * std + mean)[None])
    expected = (middle * 127.5 + 127.5).clamp(0, 255).round()[0]
    found = interpolate(tokenizer, ends[0], ends[1], 3, way, CPU)[1]
    assert float((found.float() - expected).abs().max()) <= 1


def test_the_ways_differ() -> None:
    tokenizer, (first, last) = small_tokenizer(), pictures()
    straight, arc = (interpolate(tokenizer, first, last, 3, way, CPU)[1] for way in ("linear", "spherical"))
    assert not torch.equal(straight, arc)


@pytest.mark.parametrize(("steps", "way"), [(1, "linear"), (17, "linear"), (3, "cubic")])
def test_what_cannot_be(steps: int, way: str) -> None:
    with pytest.raises(Refusal):
        interpolate(small_tokenizer(), *pictures(), steps, way, CPU)
