"""Transformations of latents and of images are the same ones, drawn as EQ-VAE draws them."""

from __future__ import annotations

from collections import Counter

import pytest
import torch

from sendvae.autoencoding import Transformation, draw_transformation


def test_turns_are_quarter_turns() -> None:
    grid = torch.arange(2 * 3 * 4 * 4.0).reshape(2, 3, 4, 4)
    for turns in range(4):
        torch.testing.assert_close(Transformation(turns, 4).of(grid), torch.rot90(grid, turns, (-2, -1)))


def test_images_shrink_by_what_latents_do() -> None:
    found = Transformation(1, 3)
    assert found.of(torch.randn(2, 16, 8, 8)).shape == (2, 16, 3, 3)
    assert found.of(torch.randn(2, 3, 64, 64), 8).shape == (2, 3, 24, 24)
    flat = torch.full((1, 1, 8, 8), 0.7)
    torch.testing.assert_close(found.of(flat), torch.full((1, 1, 3, 3), 0.7))
    # Halving is the mean of neighbours up to the filter's reach: a ramp stays one.
    ramp = torch.linspace(0, 1, 64).expand(1, 1, 64, 64)
    assert Transformation(0, 4).of(ramp, 8).mean() == pytest.approx(0.5, abs=1e-3)


def test_all_turns_and_sides_are_drawn_alike() -> None:
    generator = torch.Generator().manual_seed(0)
    drawn = [draw_transformation(generator, 8, 0.5, 0.25) for _ in range(8000)]
    changed = [one for one in drawn if one is not None]
    assert len(changed) / len(drawn) == pytest.approx(0.5, abs=0.02)
    for values, expected in (
        ([one.turns for one in changed], range(4)),
        ([one.side for one in changed], range(2, 9)),
    ):
        counts = Counter(values)
        assert sorted(counts) == list(expected)
        assert min(counts.values()) > 0.8 * max(counts.values())


def test_the_smallest_side_is_at_least_one() -> None:
    generator = torch.Generator().manual_seed(0)
    sides = {one.side for _ in range(200) if (one := draw_transformation(generator, 2, 1.0, 0.1))}
    assert sides == {1, 2}
