"""Positions to indices."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sendvae.data import batch_indices, batch_mirrored
from sendvae.data.sampler import permute


@given(length=st.integers(1, 500), seed=st.integers(0, 2**31))
def test_permute_is_a_permutation(length: int, seed: int) -> None:
    assert sorted(permute(np.arange(length), length, (seed, 0)).tolist()) == list(range(length))


@given(
    length=st.integers(1, 300),
    steps=st.integers(1, 8),
    seed=st.integers(0, 1000),
    world=st.sampled_from([1, 2, 4]),
)
def test_ranks_share_the_same_global_batches(length: int, steps: int, seed: int, world: int) -> None:
    for step in range(steps):
        whole = batch_indices(step * 8, 8, length, seed)
        shares = [batch_indices(step * 8, 8, length, seed, rank=r, world=world) for r in range(world)]
        assert np.array_equal(whole, np.concatenate(shares))


def test_every_epoch_sees_every_image_in_another_order() -> None:
    first, second = (batch_indices(start, 100, 100, seed=3) for start in (0, 100))
    assert sorted(first) == sorted(second) == list(range(100))
    assert not np.array_equal(first, second)
    assert not np.array_equal(first, batch_indices(0, 100, 100, seed=4))


def test_a_batch_may_span_two_epochs() -> None:
    spanning = batch_indices(8, 4, 10, seed=0)
    expected = np.concatenate([batch_indices(8, 2, 10, seed=0), batch_indices(10, 2, 10, seed=0)])
    assert np.array_equal(spanning, expected)


def test_unequal_shares_are_refused() -> None:
    with pytest.raises(ValueError, match="cannot be shared"):
        batch_indices(0, 3, 10, seed=0, world=2)


@given(start=st.integers(0, 10**9), seed=st.integers(0, 1000), world=st.sampled_from([1, 2, 4]))
def test_ranks_share_the_same_coins(start: int, seed: int, world: int) -> None:
    whole = batch_mirrored(start, 8, seed)
    shares = [batch_mirrored(start, 8, seed, rank=r, world=world) for r in range(world)]
    assert np.array_equal(whole, np.concatenate(shares))
    assert np.array_equal(whole[4:], batch_mirrored(start + 4, 4, seed))


def test_coins_are_fair_and_independent() -> None:
    """Within four standard deviations, over positions, over passes of one image, and from seed to seed."""
    count = 100_000
    tolerance = 4 * 0.5 / count**0.5
    coins = batch_mirrored(0, count, seed=0)
    assert abs(coins.mean() - 0.5) < tolerance
    for other in (np.roll(coins, 1), np.roll(coins, 1000), batch_mirrored(0, count, seed=1)):
        assert abs((coins == other).mean() - 0.5) < tolerance
