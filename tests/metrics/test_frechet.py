from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import sqrtm

from sendvae.metrics import frechet_distance, frechet_distance_of
from sendvae.nn import Moments

EXACT = pytest.approx


def statistics_of(rows: torch.Tensor) -> Moments:
    statistics = Moments()
    statistics.update(rows)
    return statistics


def random_covariance(dim: int, seed: int) -> torch.Tensor:
    root = torch.randn(dim, 2 * dim, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return root @ root.T / dim


def test_equal_statistics_are_at_distance_zero() -> None:
    mean, cov = torch.randn(16), random_covariance(16, 0)
    assert frechet_distance(mean, cov, mean, cov) == pytest.approx(0.0, abs=1e-9)


def test_shifted_mean_counts_squared() -> None:
    shift = torch.tensor([1.0, -2.0, 0.5, 3.0])
    assert frechet_distance(torch.zeros(4), torch.eye(4), shift, torch.eye(4)) == EXACT(14.25, rel=1e-9)


def test_isotropic() -> None:
    a, b, dim = 3.0, 0.5, 7
    zero, eye = torch.zeros(dim), torch.eye(dim, dtype=torch.float64)
    assert frechet_distance(zero, a**2 * eye, zero, b**2 * eye) == EXACT(dim * (a - b) ** 2, rel=1e-9)


def test_diagonal() -> None:
    a, b = torch.tensor([1.0, 4.0, 9.0]).double(), torch.tensor([16.0, 1.0, 2.25]).double()
    expected = 1.0 + float((a.sqrt() - b.sqrt()).square().sum())
    mean = torch.tensor([1.0, 0.0, 0.0])
    assert frechet_distance(mean, a.diag(), torch.zeros(3), b.diag()) == EXACT(expected, rel=1e-9)


def test_two_by_two_that_do_not_commute() -> None:
    # tr (A B)^(1/2) of 2x2 matrices is (tr AB + 2 (det A det B)^(1/2))^(1/2).
    a, b = np.array([[2.0, 0.5], [0.5, 1.0]]), np.array([[1.0, -0.3], [-0.3, 3.0]])
    root_trace = np.sqrt(np.trace(a @ b) + 2 * np.sqrt(np.linalg.det(a) * np.linalg.det(b)))
    expected = np.trace(a) + np.trace(b) - 2 * root_trace
    assert frechet_distance(np.zeros(2), a, np.zeros(2), b) == EXACT(expected, rel=1e-9)


@settings(max_examples=25, deadline=None)
@given(dim=st.integers(1, 20), seed=st.integers(0, 10_000))
def test_agrees_with_scipy_and_is_symmetric_and_rotation_invariant(dim: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    means = torch.randn(2, dim, generator=generator, dtype=torch.float64)
    a, b = random_covariance(dim, seed), random_covariance(dim, seed + 1)
    ours = frechet_distance(means[0], a, means[1], b)
    root = np.real(sqrtm(a.numpy() @ b.numpy()))
    expected = float((means[0] - means[1]).square().sum() + a.trace() + b.trace() - 2 * np.trace(root))
    assert ours == EXACT(expected, rel=1e-8)
    assert frechet_distance(means[1], b, means[0], a) == EXACT(ours, rel=1e-9)
    q = torch.linalg.qr(torch.randn(dim, dim, generator=generator, dtype=torch.float64)).Q
    rotated = frechet_distance(q @ means[0], q @ a @ q.T, q @ means[1], q @ b @ q.T)
    assert rotated == EXACT(ours, rel=1e-9)


@pytest.mark.parametrize(("rows_a", "rows_b"), [(20, 25), (200, 20), (20, 200)])
def test_singular_covariances_against_the_nuclear_norm(rows_a: int, rows_b: int) -> None:
    # With A = X^T X / (n - 1) and B = Y^T Y / (m - 1), tr (A B)^(1/2) is the nuclear norm of X Y^T.
    dim = 64
    x, y = torch.randn(rows_a, dim).double(), 0.5 * torch.randn(rows_b, dim).double() + 0.1
    xc, yc = x - x.mean(0), y - y.mean(0)
    nuclear = torch.linalg.svdvals(xc @ yc.T).sum() / np.sqrt((rows_a - 1) * (rows_b - 1))
    a, b = torch.cov(x.T), torch.cov(y.T)
    expected = (x.mean(0) - y.mean(0)).square().sum() + a.trace() + b.trace() - 2 * nuclear
    assert frechet_distance(x.mean(0), a, y.mean(0), b) == EXACT(float(expected), rel=1e-9)


def test_zero_covariance() -> None:
    zero = torch.zeros(3)
    assert frechet_distance(zero, torch.zeros(3, 3), zero, torch.eye(3)) == EXACT(3.0, rel=1e-9)


def test_agrees_with_torch_fidelity() -> None:
    from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric

    a, b = torch.randn(500, 32), 1.3 * torch.randn(400, 32) + 0.2
    theirs = fid_statistics_to_metric(
        fid_features_to_statistics(a), fid_features_to_statistics(b), verbose=False
    )
    ours = frechet_distance_of(statistics_of(a), statistics_of(b))
    assert ours == EXACT(theirs["frechet_inception_distance"], rel=1e-6)  # its mean is float32


def test_agrees_with_torch_fidelity_on_the_same_statistics() -> None:
    from torch_fidelity.metric_fid import fid_statistics_to_metric

    parts = [statistics_of(x) for x in (torch.randn(900, 200), 1.3 * torch.randn(700, 200) + 0.2)]
    given = [{"mu": part.mean.numpy(), "sigma": part.cov.numpy()} for part in parts]
    theirs = fid_statistics_to_metric(*given, verbose=False)["frechet_inception_distance"]
    assert frechet_distance_of(*parts) == EXACT(float(theirs), rel=1e-8)


def test_bad_statistics() -> None:
    zero, eye = torch.zeros(3), torch.eye(3)
    with pytest.raises(ValueError, match="shapes differ"):
        frechet_distance(zero, eye, torch.zeros(4), torch.eye(4))
    with pytest.raises(ValueError, match="not finite"):
        frechet_distance(zero, eye * torch.nan, zero, eye)


@settings(max_examples=25, deadline=None)
@given(cuts=st.lists(st.integers(0, 60), max_size=5), shards=st.integers(1, 3))
def test_statistics_do_not_depend_on_batches_or_shards(cuts: list[int], shards: int) -> None:
    rows = torch.randn(60, 5, generator=torch.Generator().manual_seed(1)).double() + 10.0
    bounds = [0, *sorted(cuts), 60]
    parts = [Moments() for _ in range(shards)]
    for number, (start, stop) in enumerate(pairwise(bounds)):
        parts[number % shards].update(rows[start:stop])
    merged = Moments()
    for part in parts:
        merged.merge(Moments.from_state(part.state()))
    assert merged.count == 60
    torch.testing.assert_close(merged.mean, rows.mean(0), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(merged.cov, torch.cov(rows.T), rtol=1e-10, atol=1e-12)


def test_large_offset_keeps_its_digits() -> None:
    rows = torch.randn(300, 4, dtype=torch.float64) + 1e6
    statistics = Moments()
    for batch in rows.split(7):
        statistics.update(batch)
    np.testing.assert_allclose(statistics.cov, np.cov(rows.numpy(), rowvar=False), rtol=1e-8, atol=1e-10)


def test_covariance_needs_two_rows() -> None:
    with pytest.raises(ValueError, match="two images"):
        _ = statistics_of(torch.randn(1, 4)).cov
