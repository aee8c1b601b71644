from __future__ import annotations

import numpy as np
import pytest
import torch

from sendvae.latents import (
    LatentRows,
    TensorRows,
    attribute_probe,
    discrimination,
    semantic_gap,
    uniformity,
)
from sendvae.latents.rows import Centred, batches, gathered, scores_of_rows


class Counted(TensorRows):
    """Rows that note how often each is read, and how many at a time."""

    def __init__(self, latents: torch.Tensor) -> None:
        super().__init__(latents)
        self.reads, self.largest = np.zeros(len(latents), int), 0

    def batch(self, positions: np.ndarray) -> torch.Tensor:
        self.reads[positions] += 1
        self.largest = max(self.largest, len(positions))
        return super().batch(positions)


def latents(count: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(count, 3, 2, 2, generator=torch.Generator().manual_seed(seed)) + 4.0


def test_batches_cover_everything_in_order() -> None:
    z = latents(10)
    assert isinstance(TensorRows(z), LatentRows)
    parts = list(batches(TensorRows(z), 4))
    assert [place for place, _ in parts] == [slice(0, 4), slice(4, 8), slice(8, 10)]
    assert torch.equal(torch.cat([values for _, values in parts]), z)
    assert torch.equal(gathered(TensorRows(z.half())), z.half().float())


def test_values_that_are_not_finite_name_the_row() -> None:
    z = latents(10)
    z[7, 1, 0, 0] = torch.inf
    with pytest.raises(ValueError, match="the first in row 7"):
        list(batches(TensorRows(z), 4))


def test_scores_are_centred() -> None:
    z = latents(20) + 1e4
    fit = Centred(torch.randn(12, 2), torch.randn(2), z.flatten(1).mean(0))
    expected = (z.flatten(1).double() - fit.centre) @ fit.weight.double() + fit.bias
    torch.testing.assert_close(scores_of_rows([fit, fit], TensorRows(z))[1], expected.float())


def test_scores_of_rows_are_those_of_tensors() -> None:
    z, labels = latents(200), torch.arange(200) % 3
    z[labels == 1] += 1.0
    y = (z.flatten(1)[:, :4] > 4).float()
    rows = Counted(z)
    for method in ("logistic", "ridge"):
        ours = attribute_probe(rows, y, TensorRows(z), y, method=method)
        assert ours.as_dict() == attribute_probe(z, y, z, y, method=method).as_dict()
    assert semantic_gap(rows, labels, rows, labels) == semantic_gap(z, labels, z, labels)
    assert uniformity(rows, "none", repeats=2) == uniformity(z, "none", repeats=2)
    assert discrimination(rows, rows, 2, 4) == discrimination(z, z, 2, 4)


def test_ridge_reads_every_row_once() -> None:
    rows = Counted(latents(2500))
    attribute_probe(
        rows, rows.latents.flatten(1)[:, :2] > 4, TensorRows(latents(50)), torch.ones(50, 2), method="ridge"
    )
    assert rows.reads[1:].max() == rows.reads.min() == 1  # the first once more, for its shape
    assert rows.largest <= 1024
