from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sendvae.nn import Moments, channel_rows

OFFSET = torch.tensor([0.0, 1.0, -300.0, 1e5])


def rows_and_targets(count: int = 40) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(count)
    rows = torch.randn(count, 4, generator=generator, dtype=torch.float64) * 3 + OFFSET
    targets = rows[:, :2] + torch.randn(count, 2, generator=generator, dtype=torch.float64)
    return rows, targets


@settings(max_examples=20, deadline=None)
@given(cuts=st.lists(st.integers(0, 40), max_size=4))
def test_batches_and_shards_do_not_matter(cuts: list[int]) -> None:
    rows, targets = rows_and_targets()
    bounds = [0, *sorted(cuts), 40]
    places = [slice(a, b) for a, b in pairwise(bounds)]
    found = {"full": Moments(), "diagonal": Moments("diagonal"), "targets": Moments()}
    for place in places:
        found["full"].update(rows[place])
        shard = Moments("diagonal")
        shard.update(rows[place])
        found["diagonal"].merge(Moments.from_state(shard.state()))
        found["targets"].update(rows[place], targets[place])
    both = torch.cat([rows, targets], 1).numpy()
    covariance = np.cov(both, rowvar=False)
    np.testing.assert_allclose(found["full"].cov, covariance[:4, :4], rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(found["diagonal"].scatter / 39, covariance.diagonal()[:4], rtol=1e-9)
    np.testing.assert_allclose(found["targets"].scatter / 39, covariance[:4], rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(found["targets"].mean, both.mean(0), rtol=1e-12, atol=1e-12)
    for moments in found.values():
        assert moments.count == 40
    for name in ("full", "diagonal"):
        np.testing.assert_allclose(found[name].std, both.std(0)[:4], rtol=1e-9)


@pytest.mark.parametrize("block", [1, 3, 4])
def test_blocks_of_features_do_not_matter(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rows, targets = rows_and_targets()
    whole, blocks = Moments(), Moments()
    whole.update(rows, targets)
    monkeypatch.setattr("sendvae.nn.moments.BLOCK", block)
    blocks.update(rows[:15], targets[:15])
    blocks.update(rows[15:], targets[15:])
    torch.testing.assert_close(blocks.scatter, whole.scatter, rtol=1e-9, atol=1e-6)


def test_what_was_merged_is_not_changed_later() -> None:
    rows, _ = rows_and_targets()
    part, whole = Moments(), Moments()
    part.update(rows[:20])
    before = part.cov
    whole.merge(part)
    whole.update(rows[20:])
    assert torch.equal(part.cov, before)


def test_float32_rows_keep_their_digits_by_default() -> None:
    rows = rows_and_targets(3000)[0].float()
    exact, fast = Moments(), Moments(products="rows")
    for part in rows.split(500):
        exact.update(part)
        fast.update(part)
    expected = np.cov(rows.double().numpy(), rowvar=False)
    np.testing.assert_allclose(exact.cov, expected, rtol=1e-9, atol=1e-9)
    assert np.abs(fast.cov.numpy() - expected).max() > 1e-7  # what float32 costs
    np.testing.assert_allclose(fast.cov, expected, rtol=1e-3, atol=2e-2)


def test_too_few_rows_have_no_covariance() -> None:
    moments = Moments()
    moments.update(torch.zeros(1, 3))
    with pytest.raises(ValueError, match="two images or more"):
        _ = moments.cov


def test_channels_become_columns() -> None:
    z = torch.arange(24.0).reshape(2, 3, 2, 2)
    rows = channel_rows(z)
    assert rows.shape == (8, 3)
    assert rows[:, 1].tolist() == [*z[0, 1].flatten().tolist(), *z[1, 1].flatten().tolist()]
