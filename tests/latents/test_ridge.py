from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import Ridge

from sendvae.latents import StreamingRidge


def data(rows: int, features: int, targets: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(rows + features)
    x = torch.randn(rows, features, generator=generator) * torch.linspace(0.1, 5, features) + 2
    y = (x @ torch.randn(features, targets, generator=generator) > 0).float()
    return x, y


@pytest.mark.parametrize(("rows", "features"), [(200, 10), (20, 60)])
def test_agrees_with_scikit_learn(rows: int, features: int) -> None:
    x, y = data(rows, features)
    ridge = StreamingRidge()
    ridge.update(x.double(), y)
    standardised = (x - x.mean(0)) / x.std(0, correction=0)
    for strength, fit in zip((0.01, 1.0), ridge.solve([0.01, 1.0]), strict=True):
        theirs = Ridge(alpha=strength * rows).fit(standardised.double().numpy(), y.numpy())
        expected = theirs.predict(standardised.double().numpy())
        np.testing.assert_allclose(x @ fit.weight + fit.bias, expected, atol=2e-5)


@settings(max_examples=20, deadline=None)
@given(cuts=st.lists(st.integers(0, 50), max_size=4))
def test_batches_and_shards_do_not_matter(cuts: list[int]) -> None:
    x, y = data(50, 8)
    whole, merged = StreamingRidge(), StreamingRidge()
    whole.update(x.double(), y)
    bounds = [0, *sorted(cuts), 50]
    for start, stop in pairwise(bounds):
        shard = StreamingRidge()
        if stop > start:
            shard.update(x[start:stop].double().reshape(-1, 2, 2, 2), y[start:stop])
        merged.merge(shard)
    for ours, expected in zip(merged.solve([0.1]), whole.solve([0.1]), strict=True):
        torch.testing.assert_close(ours.weight, expected.weight, rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(ours.bias, expected.bias, rtol=1e-5, atol=1e-6)


def test_a_large_offset_keeps_its_digits() -> None:
    x, y = data(300, 6)
    near, far = StreamingRidge(), StreamingRidge()
    for rows, targets in zip(x.split(32), y.split(32), strict=True):
        near.update(rows.double(), targets)
        far.update(rows.double() + 1e5, targets)
    torch.testing.assert_close(far.solve([0.1])[0].weight, near.solve([0.1])[0].weight, rtol=1e-5, atol=1e-7)


def test_bad_input() -> None:
    with pytest.raises(ValueError, match="two rows"):
        StreamingRidge().solve([1.0])
    ridge = StreamingRidge()
    ridge.update(*data(10, 3))
    with pytest.raises(ValueError, match="positive"):
        ridge.solve([0.0])
    with pytest.raises(ValueError, match="10 latents"):
        ridge.update(torch.randn(10, 3), torch.zeros(9, 3))
