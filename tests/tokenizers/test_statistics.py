"""Latent statistics."""

from __future__ import annotations

import pytest
import torch

from sendvae.nn import Moments, channel_rows
from sendvae.tokenizers import LatentStats


def test_accumulated_statistics_equal_those_of_all_rows() -> None:
    z = torch.randn(50, 3, 4, 4) * torch.tensor([1.0, 5.0, 0.1])[:, None, None] + 1000.0
    moments = Moments("diagonal")
    for batch in z.split(7):
        moments.update(channel_rows(batch))
    stats = LatentStats.of(moments)
    rows = z.double().movedim(1, 0).flatten(1)
    torch.testing.assert_close(stats.mean, rows.mean(1).float())
    torch.testing.assert_close(stats.std, rows.std(1, correction=0).float(), rtol=1e-4, atol=0)


def test_normalise_and_back() -> None:
    stats = LatentStats(torch.tensor([1.0, -2.0]), torch.tensor([0.5, 3.0]))
    z = torch.randn(4, 2, 3, 3)
    torch.testing.assert_close(stats.denormalize(stats.normalize(z)), z)
    torch.testing.assert_close(
        stats.normalize(torch.tensor([1.5, 1.0])[None, :, None, None]).flatten(), torch.tensor([1.0, 1.0])
    )


def test_constant_channels_are_refused() -> None:
    with pytest.raises(ValueError, match="positive"):
        LatentStats(torch.zeros(2), torch.tensor([1.0, 0.0]))
