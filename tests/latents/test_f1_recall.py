from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import f1_score

from sendvae.latents import f1_scores, recall_at, recall_variants


@settings(max_examples=30, deadline=None)
@given(rows=st.integers(1, 20), attributes=st.integers(1, 6), seed=st.integers(0, 1000))
def test_all_averages_agree_with_scikit_learn(rows: int, attributes: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    truth = torch.rand(rows, attributes, generator=generator) < 0.3
    guess = torch.rand(rows, attributes, generator=generator) < 0.3
    per_attribute, micro, samples = f1_scores(guess, truth)
    if attributes == 1:  # scikit-learn takes a single column for a binary target
        assert float(micro) == pytest.approx(f1_score(truth[:, 0], guess[:, 0], zero_division=0))
        return
    expected = {
        average: f1_score(truth, guess, average=average, zero_division=0)
        for average in ("micro", "macro", "samples")
    }
    assert float(per_attribute.mean()) == pytest.approx(expected["macro"])
    assert float(micro) == pytest.approx(expected["micro"])
    assert float(samples) == pytest.approx(expected["samples"])


def test_recall_at_five_is_bounded_by_the_number_of_positives() -> None:
    scores = torch.arange(8.0).repeat(2, 1)
    truth = torch.zeros(2, 8)
    truth[0] = 1.0  # eight positives, of which five can be hit
    truth[1, 7] = 1.0
    assert recall_at(scores, truth, 5) == pytest.approx((5 + 1) / 9)
    assert recall_at(scores, torch.zeros(2, 8), 5) == 0.0


def test_recall_variants_by_hand() -> None:
    scores = torch.tensor([[3.0, 2.0, 1.0], [1.0, 3.0, 2.0], [3.0, 1.0, 2.0]])
    truth = torch.tensor([[1.0, 0.0, 1.0], [0.0, 1.0, 0.0], [0.0, 0.0, 0.0]])
    # Top 1 hits: image 0 attribute 0 of {0, 2}; image 1 attribute 1 of {1}; image 2 has no positive.
    images, attributes, best = recall_variants(scores, truth, 1)
    assert images == pytest.approx((0.5 + 1.0) / 2)
    assert attributes == best == pytest.approx((1.0 + 1.0 + 0.0) / 3)
    assert recall_at(scores, truth, 1) == pytest.approx(2 / 3)
    assert recall_variants(scores, truth, 5) == (1.0, 1.0, 1.0)
    assert recall_variants(scores, truth * 0, 1) == (0.0, 0.0, 0.0)
    many = torch.zeros(60, 60).fill_diagonal_(1.0)
    ranked = many.clone()
    ranked[55:] = 1 - ranked[55:]  # five attributes are never found
    assert recall_variants(ranked, many, 1)[1:] == (pytest.approx(55 / 60), 1.0)


def test_recall_at_by_hand() -> None:
    scores = torch.tensor([[3.0, 2.0, 1.0], [1.0, 2.0, 3.0], [0.0, 1.0, 2.0]])
    truth = torch.tensor([[1, 0, 1], [1, 0, 0], [0, 0, 0]])
    assert recall_at(scores, truth, 1) == pytest.approx(1 / 3)
    assert recall_at(scores, truth, 3) == 1.0
