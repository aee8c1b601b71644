"""Scores of a latent space: planted answers, closed forms, scikit-learn."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.stats import gaussian_kde
from sklearn.linear_model import LogisticRegression

from sendvae.latents import attribute_probe, discrimination, pearson, semantic_gap, uniformity
from sendvae.latents.logistic import Design, fit_logistic, fit_softmax, scores_of
from sendvae.latents.uniformity import density_statistics, kernel_density


def planted(count: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    z = torch.randn(count, 2, 3, 3, generator=generator)
    directions = torch.randn(18, 4, generator=torch.Generator().manual_seed(99))
    return z, (z.flatten(1) @ directions > 0.5).float()


def test_probe_finds_planted_attributes_and_not_shuffled_ones() -> None:
    (train, y), (val, val_y), (test, test_y) = (planted(600, s) for s in (0, 1, 2))
    probe = attribute_probe(train, y, test, test_y, val_latents=val, val_attributes=val_y)
    assert probe.f1_macro > 0.93
    assert probe.dims == 18
    shuffled = attribute_probe(train, y[torch.randperm(600)], test, test_y)
    assert shuffled.f1_macro < 0.45


def test_probe_refuses_other_values() -> None:
    z, y = planted(10, 0)
    with pytest.raises(ValueError, match="0 and 1"):
        attribute_probe(z, y * 2, z, y)


def test_regression_against_scikit_learn() -> None:
    z, y = planted(400, 0)
    x = z.flatten(1)
    fit = fit_logistic(Design(x), y, weight_decay=1e-2)
    for column in range(4):
        theirs = LogisticRegression(C=1 / (1e-2 * 400), max_iter=1000, tol=1e-8).fit(
            x.numpy(), y[:, column].numpy()
        )
        np.testing.assert_allclose(fit.weight[:, column].numpy(), theirs.coef_[0], atol=5e-3)
        np.testing.assert_allclose(float(fit.bias[column]), theirs.intercept_[0], atol=5e-3)
    labels = y[:, :2].long() @ torch.tensor([1, 2])
    ours = scores_of(fit_softmax(Design(x), labels, 4, 1e-2), x).softmax(1)
    theirs = LogisticRegression(C=1 / (1e-2 * 400), max_iter=1000, tol=1e-8).fit(x.numpy(), labels.numpy())
    np.testing.assert_allclose(ours.numpy(), theirs.predict_proba(x.numpy()), atol=5e-3)


def test_semantic_gap_pools() -> None:
    """A class that shows in one position only: pooling loses what flattening keeps."""
    generator = torch.Generator().manual_seed(0)
    z, labels = (
        torch.randn(800, 2, 4, 4, generator=generator),
        torch.randint(0, 3, (800,), generator=generator),
    )
    z[:, 0, 1, 2] += 4.0 * labels
    z[:, 0, 3, 3] -= 4.0 * labels
    scores = {p: semantic_gap(z[:600], labels[:600], z[600:], labels[600:], p) for p in ("flatten", "mean")}
    assert scores["flatten"] > 0.9
    assert scores["mean"] < 0.5
    with pytest.raises(ValueError, match="two classes"):
        semantic_gap(z, torch.zeros(800, dtype=torch.long), z, labels)


def test_density_statistics_closed_forms() -> None:
    constant = density_statistics(torch.full((10,), 3.0).double())
    assert (constant.cv, constant.gini, constant.normalised_entropy) == pytest.approx(
        (0.0, 0.0, 1.0), abs=1e-12
    )
    one_hot = density_statistics(torch.eye(10)[3].double())
    assert one_hot.gini == pytest.approx(0.9)
    assert one_hot.normalised_entropy == pytest.approx(0.0, abs=1e-12)
    ladder = density_statistics(torch.arange(1, 8).double())
    assert ladder.gini == pytest.approx(6 / 21)


def test_kernel_density_against_scipy() -> None:
    points = (
        torch.randn(300, 3, generator=torch.Generator().manual_seed(0)).double() @ torch.randn(3, 3).double()
    )
    np.testing.assert_allclose(
        kernel_density(points).numpy(), gaussian_kde(points.numpy().T)(points.numpy().T), rtol=1e-8
    )
    with pytest.raises(ValueError, match="do not vary"):
        kernel_density(torch.ones(10, 2).double())


def test_uniformity_orders_a_uniform_and_a_clustered_latent() -> None:
    generator = torch.Generator().manual_seed(0)
    flat = torch.rand(500, 2, 2, 2, generator=generator)
    clustered = torch.where(torch.rand(500, 1, 1, 1, generator=generator) < 0.8, flat * 0.05, flat * 3)
    scores = [uniformity(z, "none", samples=400, repeats=2) for z in (flat, clustered)]
    assert scores[0].gini < scores[1].gini
    assert scores[0].normalised_entropy > scores[1].normalised_entropy
    with pytest.raises(ValueError, match="umap"):
        uniformity(flat, "umap")


def test_discrimination_of_one_gaussian_is_its_entropy() -> None:
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(4000, 6, generator=generator)
    score = discrimination(z[:3000], z[3000:], components=1, dimensions=6)
    assert score == pytest.approx(0.5 * math.log(2 * math.pi * math.e), abs=0.03)
    clusters = z * 0.1 + torch.randint(0, 2, (4000, 6), generator=generator) * 4
    assert discrimination(clusters[:3000], clusters[3000:], components=64, dimensions=6) < score - 0.5


# F1 and gFID of the paper's Table 8: IN-VAE, VA-VAE, E2E-VAE, Send-VAE.
GFID = [17.43, 11.40, 8.96, 7.57]
TABLE_8 = {
    "CelebA": ([0.6222, 0.6347, 0.6439, 0.6647], -0.90152),
    "DeepFashion": ([0.0786, 0.1094, 0.1177, 0.1385], -0.97565),
    "AwA": ([0.5567, 0.5948, 0.6441, 0.6623], -0.96382),
}


@pytest.mark.parametrize("name", TABLE_8)
def test_pearson_reproduces_the_papers_table(name: str) -> None:
    f1, expected = TABLE_8[name]
    result = pearson(f1, GFID)
    assert result.r == pytest.approx(expected, abs=5e-6)
    assert result.p is not None
    assert (result.p < 0.05) == (name != "CelebA")  # the critical |r| at n = 4 is .950
    assert result.interval is not None
    low, high = result.interval
    assert low < expected < high


def test_pearson_of_too_few_points() -> None:
    assert pearson([1.0, 2.0], [3.0, 4.0]).r is None
    three = pearson([1.0, 2.0, 3.0], [1.0, 2.0, 4.0])
    assert three.r is not None
    assert three.interval is None
    assert pearson([1.0] * 4, [1.0, 2.0, 3.0, 4.0]).r is None
