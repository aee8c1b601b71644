from __future__ import annotations

import math

import pytest
import torch

from sendvae.latents import discrimination, mixture_scores


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


def test_a_full_gaussian_scores_its_determinant() -> None:
    # K = 1, full covariance, of its own training set: d / 2 log(2 pi e) + log det / 2, per dimension; standardised
    # components are uncorrelated, so the determinant is 1.
    z = torch.randn(300, 5) @ torch.randn(5, 5)
    found = mixture_scores(z, z, [1], 5, covariance="full")
    assert found.mixtures[0].nll == pytest.approx(0.5 * math.log(2 * math.pi * math.e), abs=1e-5)
    assert found.mixtures[0].train_nll == pytest.approx(found.mixtures[0].nll)
    assert found.explained_variance == pytest.approx(1.0)


def test_several_mixtures_and_seeds_share_one_projection() -> None:
    train, test = blobs(600, 0), blobs(300, 1)
    found = mixture_scores(train, test, [1, 4], 3, seeds=(0, 1, 2))
    assert [mixture.components for mixture in found.mixtures] == [1, 4]
    assert found.mixtures[0].spread == pytest.approx(0.0, abs=1e-9)  # one Gaussian has one fit
    assert found.mixtures[1].nll == pytest.approx(
        sum(discrimination(train, test, 4, 3, seed) for seed in range(3)) / 3
    )
    standardised = (train - train.mean(0)) / train.std(0, correction=0)
    values = torch.linalg.eigvalsh(standardised.T @ standardised / len(train))
    assert found.explained_variance == pytest.approx(float(values[-3:].sum() / values.sum()), rel=1e-4)
    assert found.dimensions == 3
    with pytest.raises(ValueError, match="too few for 700"):
        mixture_scores(train, test, [700])


def test_order_of_images_hardly_matters() -> None:
    train, test = blobs(500, 0), blobs(300, 1)
    shuffled = train[torch.randperm(500)]
    assert discrimination(shuffled, test, 1, 5) == pytest.approx(discrimination(train, test, 1, 5), abs=1e-5)
