from __future__ import annotations

import pytest
import torch

from sendvae.metrics import inception_score


def test_confident_and_balanced_is_the_number_of_classes() -> None:
    logits = 1000.0 * torch.eye(10).repeat(20, 1)
    mean, std = inception_score(logits)
    assert mean == pytest.approx(10.0, rel=1e-12)
    assert std == pytest.approx(0.0, abs=1e-9)


def test_constant_predictions_score_one() -> None:
    assert inception_score(torch.randn(10).expand(100, 10)) == pytest.approx((1.0, 0.0), abs=1e-12)


def test_chunks_are_contiguous_and_unshuffled() -> None:
    # Sorted by class, every one of ten chunks holds a single class.
    by_class = 1000.0 * torch.eye(10).repeat_interleave(20, dim=0)
    assert inception_score(by_class, splits=10)[0] == pytest.approx(1.0)
    assert inception_score(by_class, splits=5)[0] == pytest.approx(2.0)
    assert inception_score(by_class, splits=1)[0] == pytest.approx(10.0)


def test_vanishing_probabilities_stay_finite() -> None:
    logits = torch.zeros(4, 3)
    logits[:, 0] = 1e6
    assert inception_score(logits, splits=1) == pytest.approx((1.0, 0.0))


def test_agrees_with_torch_fidelity() -> None:
    from torch_fidelity.metric_isc import isc_features_to_metric

    logits = 3.0 * torch.randn(500, 20)
    theirs = isc_features_to_metric(logits, splits=10, shuffle=False)
    mean, std = inception_score(logits)
    assert mean == pytest.approx(theirs["inception_score_mean"], rel=1e-9)
    assert std == pytest.approx(theirs["inception_score_std"], rel=1e-6)


def test_tail_of_an_uneven_split() -> None:
    # 5 rows in 2 chunks are 3 + 2: scores 3 and 2.
    logits = 1000.0 * torch.eye(3)[[0, 1, 2, 0, 1]]
    assert inception_score(logits, splits=2) == pytest.approx((2.5, 0.5))


@pytest.mark.parametrize("splits", [0, 6])
def test_bad_splits(splits: int) -> None:
    with pytest.raises(ValueError, match="splits"):
        inception_score(torch.zeros(5, 3), splits)


def test_nan_is_an_error() -> None:
    with pytest.raises(ValueError, match="NaN"):
        inception_score(torch.full((5, 3), torch.nan), 1)


def test_chunks_of_a_size_with_a_short_tail() -> None:
    logits = torch.randn(25, 7, generator=torch.Generator().manual_seed(0))
    parts = [inception_score(part, splits=1)[0] for part in (logits[:10], logits[10:20], logits[20:])]
    mean, std = inception_score(logits, chunk=10)
    assert mean == pytest.approx(sum(parts) / 3)
    assert std == pytest.approx(float(torch.tensor(parts, dtype=torch.float64).std(correction=0)))
    assert inception_score(logits[:20], chunk=10) == inception_score(logits[:20], splits=2)
    assert inception_score(logits, chunk=5000)[0] == pytest.approx(inception_score(logits, splits=1)[0])
    with pytest.raises(ValueError, match="cannot be cut"):
        inception_score(logits[:0], chunk=10)
