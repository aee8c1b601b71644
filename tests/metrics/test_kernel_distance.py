from __future__ import annotations

import numpy as np
import pytest
import torch

from sendvae.metrics import kernel_distance, kernel_distance_subsets, kernel_distances


def pairwise_sums(a: np.ndarray, b: np.ndarray) -> float:
    """The definition, one pair at a time."""

    def kernel(x: np.ndarray, y: np.ndarray) -> float:
        return (x @ y / len(x) + 1) ** 3

    n, m = len(a), len(b)
    within_a = sum(kernel(a[i], a[j]) for i in range(n) for j in range(n) if i != j) / (n * (n - 1))
    within_b = sum(kernel(b[i], b[j]) for i in range(m) for j in range(m) if i != j) / (m * (m - 1))
    return within_a + within_b - 2 * sum(kernel(x, y) for x in a for y in b) / (n * m)


def test_definition() -> None:
    a, b = torch.randn(9, 4), torch.randn(7, 4) + 0.5
    expected = pairwise_sums(a.double().numpy(), b.double().numpy())
    assert kernel_distance(a, b) == pytest.approx(expected, rel=1e-10)


def test_blocks_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    from sendvae.metrics import kernel_distance as function

    a, b = torch.randn(40, 8), torch.randn(31, 8) + 0.3
    whole = function(a, b)
    monkeypatch.setitem(function.__globals__, "BLOCK", 7)
    assert function(a, b) == pytest.approx(whole, rel=1e-10)


def test_distances_leave_out_both_rows_of_a_pair() -> None:
    a, b = torch.randn(30, 8), torch.randn(30, 8) + 0.3
    parts = [torch.arange(0, 30, 2), torch.tensor([1, 3]), torch.arange(5, 30, 2)]
    whole, without = kernel_distances(a, b, parts)
    assert whole == pytest.approx(kernel_distance(a, b), rel=1e-10)
    for part, found in zip(parts, without, strict=True):
        rest = torch.ones(30, dtype=torch.bool).index_fill(0, part, False)
        assert found == pytest.approx(kernel_distance(a[rest], b[rest]), rel=1e-10)
    with pytest.raises(ValueError, match="two images"):
        kernel_distances(a[:3], b[:3], [torch.tensor([0, 1]), torch.tensor([2])])
    with pytest.raises(ValueError, match="NaN"):
        kernel_distances(a, b * torch.nan, parts)


def test_one_subset_of_everything_agrees_with_the_full_estimate() -> None:
    a, b = torch.randn(30, 5), torch.randn(30, 5) + 0.4
    mean, std = kernel_distance_subsets(a, b, subsets=3, size=30)
    assert mean == pytest.approx(kernel_distance(a, b), rel=1e-10)
    assert std == pytest.approx(0.0, abs=1e-12)


def test_subsets_are_unbiased_and_agree_with_torchmetrics() -> None:
    from torchmetrics.image.kid import poly_mmd

    a, b = torch.randn(60, 6).double(), torch.randn(60, 6).double() + 0.5
    assert kernel_distance(a, b) == pytest.approx(float(poly_mmd(a, b)), rel=1e-9)
    mean, std = kernel_distance_subsets(a, b, subsets=200, size=20)
    assert abs(mean - kernel_distance(a, b)) < 4 * std / np.sqrt(200)
    assert kernel_distance_subsets(a, b, subsets=5, size=20, seed=3) == kernel_distance_subsets(
        a, b, subsets=5, size=20, seed=3
    )


def test_same_distribution_is_near_zero_and_a_shift_is_not() -> None:
    a, b = torch.randn(800, 8), torch.randn(800, 8)
    assert abs(kernel_distance(a, b)) < 0.02
    assert kernel_distance(a, b + 0.5) > 0.1


def test_bad_input() -> None:
    with pytest.raises(ValueError, match="two images"):
        kernel_distance(torch.randn(1, 3), torch.randn(5, 3))
    with pytest.raises(ValueError, match="NaN"):
        kernel_distance(torch.full((3, 3), torch.nan), torch.randn(5, 3))
    with pytest.raises(ValueError, match="subsets of 10"):
        kernel_distance_subsets(torch.randn(5, 3), torch.randn(50, 3), size=10)
