from __future__ import annotations

import math

import pytest
import torch

from sendvae.latents import discrimination


def blobs(count: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    centres = 10 * torch.randn(4, 5, generator=torch.Generator().manual_seed(3))
    return centres[torch.randint(0, 4, (count,), generator=generator)] + torch.randn(
        count, 5, generator=generator
    )


def test_clusters_are_rewarded_from_their_number_on() -> None:
    one, four = (discrimination(blobs(1500, 0), blobs(800, 1), k, 5) for k in (1, 4))
    assert four < one - 0.4


def test_more_components_do_not_help_a_single_gaussian() -> None:
    # Held out, what the extra components learn is noise.
    z = torch.randn(1200, 4)
    one, many = (discrimination(z[:600], z[600:], k, 4) for k in (1, 30))
    assert many > one


def test_reproducible_and_free_of_units() -> None:
    train, test = blobs(500, 0), blobs(300, 1)
    score = discrimination(train, test, 4, 5, seed=1)
    assert discrimination(train, test, 4, 5, seed=1) == score
    scale = torch.logspace(-2, 2, 5)
    assert discrimination(train * scale + 9, test * scale + 9, 4, 5, seed=1) == pytest.approx(score, abs=0.02)


def test_one_gaussian_on_its_own_training_set_scores_its_entropy() -> None:
    # Whatever the data: standardised principal components have unit variance, so the fit is N(0, 1) per axis.
    train = torch.rand(500, 4, 3, 3).square() * torch.logspace(-1, 1, 4)[:, None, None]
    score = discrimination(train, train, components=1, dimensions=8)
    assert score == pytest.approx(0.5 * math.log(2 * math.pi * math.e), abs=1e-5)


def test_collapsed_latents_are_refused() -> None:
    rank_two = torch.randn(100, 2) @ torch.randn(2, 6)
    with pytest.raises(ValueError, match="vary in 2 directions only"):
        discrimination(rank_two, rank_two, components=2, dimensions=4)
