from __future__ import annotations

import prdc
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sendvae.metrics import coverage, precision_recall


def brute_force(reference: torch.Tensor, generated: torch.Tensor, k: int) -> tuple[float, float]:
    """Full float64 matrices of differences, no expansion of the square."""

    def covered(points: torch.Tensor, balls: torch.Tensor) -> float:
        own = (balls[:, None] - balls).square().sum(-1)
        radii = own.sort(dim=1).values[:, k]
        return float(((points[:, None] - balls).square().sum(-1) <= radii).any(1).double().mean())

    reference, generated = reference.double(), generated.double()
    return covered(generated, reference), covered(reference, generated)


@settings(max_examples=30, deadline=None)
@given(
    n=st.integers(5, 40),
    m=st.integers(5, 40),
    k=st.integers(1, 4),
    block=st.integers(1, 50),
    seed=st.integers(0, 1000),
)
def test_brute_force_at_any_block_size(n: int, m: int, k: int, block: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    reference = torch.randn(n, 6, generator=generator) + 5.0
    generated = torch.randn(m, 6, generator=generator) * 0.8 + 5.2
    ours = precision_recall(reference, generated, k, block)
    assert ours == pytest.approx(brute_force(reference, generated, k))


def test_agrees_with_torch_fidelity_and_prdc() -> None:
    from torch_fidelity.metric_prc import prc_features_to_metric

    reference, generated = torch.randn(400, 16), 0.8 * torch.randn(300, 16) + 0.3
    precision, recall = precision_recall(reference, generated)
    theirs = prc_features_to_metric(generated, reference, prc_neighborhood=3, verbose=False)
    assert precision == pytest.approx(theirs["precision"])
    assert recall == pytest.approx(theirs["recall"])
    strict = prdc.compute_prdc(reference.numpy(), generated.numpy(), nearest_k=3)
    assert (precision, recall) == pytest.approx((strict["precision"], strict["recall"]))
    assert 0.05 < recall < 0.95  # a case that tells the two apart
    assert 0.05 < precision < 0.99


def test_same_set_is_covered_and_distant_sets_are_not() -> None:
    points = torch.randn(50, 8)
    assert precision_recall(points, points.clone()) == (1.0, 1.0)
    assert precision_recall(points, points + 100.0) == (0.0, 0.0)


def test_collapsed_samples_have_precision_and_no_recall() -> None:
    reference = torch.randn(300, 4)
    collapsed = 0.01 * torch.randn(300, 4)
    precision, recall = precision_recall(reference, collapsed)
    assert precision > 0.95
    assert recall < 0.05
    assert precision_recall(collapsed, reference) == pytest.approx((recall, precision))


def test_the_rim_belongs_to_the_ball() -> None:
    points = torch.ones(5, 3)
    assert precision_recall(points, points.clone()) == (1.0, 1.0)  # all radii are zero


def test_large_common_offset() -> None:
    reference, generated = torch.randn(60, 5).double(), torch.randn(60, 5).double() + 0.5
    shifted = precision_recall(reference + 1e4, generated + 1e4)
    assert shifted == pytest.approx(precision_recall(reference, generated))


@pytest.mark.parametrize("case", ["outlier", "two outliers", "clusters", "tight", "duplicates"])
def test_outliers_and_near_duplicates_against_brute_force(case: str) -> None:
    """Where squares cancel: points far from all others, clusters far narrower than their distance, copies."""
    generator = torch.Generator().manual_seed(0)

    def points(count: int, spread: float) -> torch.Tensor:
        found = spread * torch.randn(count, 8, generator=generator)
        if case in ("clusters", "tight"):
            found += 100.0 * torch.eye(8)[torch.arange(count) % 3]
        if case == "outlier":
            found[count // 2] = 1e7
        if case == "two outliers":
            found[count // 2], found[0] = 1e6, -1e8
        if case == "duplicates":
            found = 1e3 + found[torch.arange(count) // 5]
        return found

    spread = {"clusters": 1e-2, "tight": 1e-4}.get(case, 1.0)
    reference, generated = points(90, spread), points(80, 1.3 * spread)
    found = precision_recall(reference, generated, block=32)
    assert found == pytest.approx(brute_force(reference, generated, 3))
    if case != "duplicates":
        assert all(0.3 < share < 1.0 for share in found)


def test_bad_input() -> None:
    with pytest.raises(ValueError, match=r"generated: 3 images .* k = 3"):
        precision_recall(torch.randn(10, 2), torch.randn(3, 2))
    with pytest.raises(ValueError, match="reference: features contain NaN"):
        precision_recall(torch.full((10, 2), torch.nan), torch.randn(10, 2))


def test_coverage_is_what_the_shares_are_of() -> None:
    reference, generated = torch.randn(50, 4), torch.randn(40, 4) + 0.5
    near_reference, near_generated = coverage(reference, generated)
    assert near_reference.shape == (40,)
    assert near_generated.shape == (50,)
    shares = (float(near_reference.double().mean()), float(near_generated.double().mean()))
    assert precision_recall(reference, generated) == shares


def rounded_as_adm(reference: torch.Tensor, generated: torch.Tensor, k: int) -> tuple[float, float]:
    """Distances of whole sets in float16, as guided-diffusion's `batch_pairwise_distances` has them."""

    def distances(u: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        u, v = u.half(), v.half()
        squares = u.square().sum(1)[:, None] + v.square().sum(1)
        return (squares - 2 * (u @ v.T)).clamp_min(0).float()

    def radii(x: torch.Tensor) -> torch.Tensor:
        return distances(x, x).fill_diagonal_(0).sort(1).values[:, k]

    cross = distances(reference, generated)
    inside_reference = (cross <= radii(reference)[:, None]).any(0)
    inside_generated = (cross <= radii(generated)).any(1)
    return float(inside_reference.double().mean()), float(inside_generated.double().mean())


def test_float16_rounds_as_adm_does_and_overflow_falls_back() -> None:
    reference, generated = torch.rand(150, 64), torch.rand(120, 64) * 1.05
    shares = coverage(reference, generated, half=True)
    found = float(shares[0].double().mean()), float(shares[1].double().mean())
    assert found == pytest.approx(rounded_as_adm(reference, generated, 3), abs=0.03)
    assert found == pytest.approx(precision_recall(reference, generated), abs=0.1)
    large = coverage(1e3 * reference, 1e3 * generated, half=True)  # squares beyond 65504
    exact = coverage(reference, generated)
    assert all(float((a == b).double().mean()) > 0.98 for a, b in zip(large, exact, strict=True))
