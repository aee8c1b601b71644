"""The logistic fits reach their optimum, and their certificate says so; scikit-learn agrees."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from sendvae.data import open_embedded, to_float
from sendvae.latents import logistic, newton
from sendvae.latents.logistic import TOLERANCE, Design, Fit, fit_logistic, fit_softmax, scores_of, standardise
from sendvae.latents.newton import Binary
from sendvae.tokenizers import load_tokenizer

DECAY = 1e-3


def planted(rows: int, features: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Correlated features of very different variances, and attributes of which some are rare."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(rows, features, generator=generator)
    x = x @ torch.randn(features, features, generator=generator) * torch.logspace(-1, 1, features)
    (x,) = standardise(x + 3)
    directions = torch.randn(features, 4, generator=generator) / features**0.5
    scores = x @ directions + 0.5 * torch.randn(rows, 4, generator=generator)
    return x, (scores > torch.tensor([0.0, 0.3, 0.8, 1.2])).float()


def loss_of(fit: Fit, x: Tensor, y: Tensor, decay: float) -> Tensor:
    """The penalised loss of every column in float64, written down independently."""
    s = x.double() @ fit.weight.double() + fit.bias.double()
    likelihood = torch.where(y > 0, -torch.nn.functional.logsigmoid(s), -torch.nn.functional.logsigmoid(-s))
    return likelihood.mean(0) + decay / 2 * fit.weight.double().square().sum(0)


def scikit_learns(x: Tensor, y: Tensor, decay: float) -> tuple[Tensor, Tensor]:
    """Losses and probabilities of scikit-learn's optimum, by a second-order solver."""
    losses, probabilities = [], []
    for column in y.T:
        theirs = LogisticRegression(
            C=1 / (decay * len(x)), solver="newton-cholesky", tol=1e-10, max_iter=1000
        ).fit(x.double().numpy(), column.numpy())
        weight, bias = torch.from_numpy(theirs.coef_.T), torch.from_numpy(theirs.intercept_)
        nothing = torch.zeros(1)
        fit = Fit(weight, bias, nothing, nothing, nothing, 0)
        losses.append(loss_of(fit, x, column[:, None], decay))
        probabilities.append((x.double() @ weight + bias).sigmoid())
    return torch.cat(losses), torch.cat(probabilities, 1)


def assert_agrees(x: Tensor, y: Tensor, decay: float) -> Fit:
    fit = fit_logistic(Design(x), y, decay)
    losses, probabilities = scikit_learns(x, y, decay)
    assert fit.converged
    torch.testing.assert_close(loss_of(fit, x, y, decay), losses, rtol=2 * TOLERANCE, atol=0)
    torch.testing.assert_close(scores_of(fit, x).sigmoid().double(), probabilities, rtol=0, atol=1e-3)
    return fit


@pytest.mark.parametrize(("rows", "features"), [(600, 40), (50, 120)], ids=["n > d", "n < d"])
@pytest.mark.parametrize("decay", [1e-4, 1e-2, 1.0])
def test_agrees_with_scikit_learn(rows: int, features: int, decay: float) -> None:
    x, y = planted(rows, features)
    assert_agrees(x, y, decay)


@pytest.fixture(scope="module")
def emoji() -> tuple[Tensor, Tensor, Tensor]:
    """Standardised latents of the tokenizer that ships, with attributes and classes."""
    images = open_embedded("emoji", "train", 360)
    with torch.no_grad():
        z = load_tokenizer("demo-f8d16").encode(to_float(images.pixels)).mean
    attributes = torch.from_numpy(images.attributes.values).float()
    common = attributes.sum(0) > 3
    return standardise(z.flatten(1))[0], attributes[:, common][:, ::8], images.labels_of(range(len(images)))


@pytest.mark.slow
def test_agrees_with_scikit_learn_on_real_latents(emoji: tuple[Tensor, Tensor, Tensor]) -> None:
    x, y, _ = emoji
    assert_agrees(x, y[:, ::2], DECAY)  # 1,024 features of 360 images
    assert_agrees(x[:, ::8].contiguous(), y, DECAY)  # 128 of them


def test_softmax_agrees_with_scikit_learn_on_real_latents(emoji: tuple[Tensor, Tensor, Tensor]) -> None:
    x, _, labels = emoji
    x = x[:, ::8].contiguous()
    fit = fit_softmax(Design(x), labels, int(labels.max()) + 1, DECAY)
    theirs = LogisticRegression(C=1 / (DECAY * len(x)), tol=1e-9, max_iter=5000).fit(
        x.double().numpy(), labels
    )
    assert fit.converged
    shown = labels.unique()
    ours = scores_of(fit, x).double()[:, shown]
    np.testing.assert_allclose(ours.softmax(1).numpy(), theirs.predict_proba(x.double().numpy()), atol=1e-3)
    weight = torch.from_numpy(theirs.coef_.T)
    scores = x.double() @ weight + torch.from_numpy(theirs.intercept_)
    target = torch.searchsorted(shown, labels)
    cross_entropy = torch.nn.functional.cross_entropy
    expected = cross_entropy(scores, target) + DECAY / 2 * weight.square().sum()
    own = cross_entropy(ours, target) + DECAY / 2 * fit.weight.double().square().sum()
    assert float(own) == pytest.approx(float(expected), rel=2 * TOLERANCE)
    assert float(fit.loss) == pytest.approx(float(own), rel=TOLERANCE)


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 100),
    rows=st.integers(8, 60),
    features=st.integers(1, 50),
    decay=st.sampled_from([1e-5, 1e-3, 1e-1, 10.0]),
)
def test_the_certificate_holds(seed: int, rows: int, features: int, decay: float) -> None:
    """The gradient is that of autograd, and no random step leads below the bound it gives."""
    x, y = planted(rows, features, seed)
    fit = fit_logistic(Design(x), y, decay)
    assert fit.converged
    loss = loss_of(fit, x, y, decay)
    assert bool((loss >= 0).all())
    varied = (y.mean(0) > 0) & (y.mean(0) < 1)
    torch.testing.assert_close(loss[varied], fit.loss[varied], rtol=1e-5, atol=1e-7)
    weight = fit.weight.double().requires_grad_(True)
    moved = fit._replace(weight=weight, bias=fit.bias.double())
    loss_of(moved, x, y, decay)[varied].sum().backward()
    assert weight.grad is not None
    norms = weight.grad.norm(dim=0)
    # Rounding the weights to float32 moves the gradient by more than the solver leaves.
    torch.testing.assert_close(norms[varied], fit.gradient_norm[varied], rtol=0.5, atol=2e-6)
    lowest = fit.loss * (1 - fit.excess)
    for scale in (1e-3, 1e-2, 1e-1):
        other = fit._replace(weight=fit.weight + scale * torch.randn_like(fit.weight))
        assert bool((loss_of(other, x, y, decay)[varied] >= lowest[varied] * (1 - 1e-5)).all())


def test_a_looser_solver_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fit that stopped early is not called converged, and its certificate covers what is missing."""
    x, y = planted(600, 40)
    best = fit_logistic(Design(x), y, DECAY)
    monkeypatch.setattr(newton, "STEPS", 1)
    early = fit_logistic(Design(x), y, DECAY)
    assert best.converged
    assert not early.converged
    missing = (early.loss - best.loss) / early.loss
    assert bool((missing > TOLERANCE).any())
    assert bool((missing <= early.excess).all())


def test_separable_classes_have_their_finite_optimum() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(200, 6, generator=generator)
    y = (x[:, :1] > 0).float()
    fit = assert_agrees(x, y, 1e-4)
    assert float(((scores_of(fit, x) > 0) == (y > 0)).float().mean()) == 1.0


def test_the_bias_is_not_penalised() -> None:
    """Of features that say nothing and a strong penalty only the share of positives is left."""
    x = torch.randn(500, 3, generator=torch.Generator().manual_seed(0))
    y = (torch.arange(500) < 40).float()[:, None]
    fit = fit_logistic(Design(x), y, 1e4)
    assert float(fit.bias) == pytest.approx(math.log(40 / 460), abs=1e-3)


def test_an_attribute_without_positives_or_negatives_is_decided() -> None:
    x, y = planted(80, 5)
    y[:, 1], y[:, 2] = 0.0, 1.0
    fit = fit_logistic(Design(x), y, DECAY)
    assert fit.converged
    assert fit.bias[1:3].tolist() == [-math.inf, math.inf]
    assert not fit.weight[:, 1:3].any()
    assert scores_of(fit, x).sigmoid()[:, 1:3].unique(dim=0).tolist() == [[0.0, 1.0]]
    alone = fit_logistic(Design(x), y[:, [0, 3]], DECAY)
    torch.testing.assert_close(fit.weight[:, [0, 3]], alone.weight, rtol=1e-4, atol=1e-5)


def test_a_constant_feature_gets_no_weight() -> None:
    x, y = planted(80, 5)
    padded = torch.cat([x, torch.zeros(80, 1)], 1)
    fit = fit_logistic(Design(padded), y, DECAY)
    assert not fit.weight[5].abs().gt(1e-6).any()
    torch.testing.assert_close(fit.weight[:5], fit_logistic(Design(x), y, DECAY).weight, rtol=1e-3, atol=1e-4)


def test_classes_that_training_lacks_are_never_guessed() -> None:
    x, y = planted(80, 5)
    labels = y[:, 0].long() * 2  # 0 and 2 of 0..3
    fit = fit_softmax(Design(x), labels, 4, DECAY)
    assert fit.bias[[1, 3]].tolist() == [-math.inf] * 2
    assert fit.converged
    assert not torch.isin(scores_of(fit, x).argmax(1), torch.tensor([1, 3])).any()


def test_a_start_elsewhere_ends_at_the_same_optimum() -> None:
    x, y = planted(300, 20)
    design = Design(x)
    warm = fit_logistic(design, y, 1e-3, fit_logistic(design, y, 1e-1))
    cold = fit_logistic(design, y, 1e-3)
    torch.testing.assert_close(warm.loss, cold.loss, rtol=TOLERANCE, atol=0)


def test_no_penalty_is_refused() -> None:
    x, y = planted(30, 4)
    with pytest.raises(ValueError, match="weight_decay must be positive"):
        fit_logistic(Design(x), y, 0.0)


def test_float64_takes_over_where_float32_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a tolerance below the rounding of float32 the fit still ends, and says that it converged."""
    x, y = planted(200, 30)
    monkeypatch.setattr(logistic, "TOLERANCE", 1e-13)
    seen = []

    def watched(objective: Binary, z: Tensor, *rest: Any) -> tuple[Tensor, int]:
        seen.append(z.dtype)
        return newton.minimise(objective, z, *rest)

    monkeypatch.setattr(logistic, "minimise", watched)
    fit = fit_logistic(Design(x), y, 1e-2)
    assert fit.converged
    assert float(fit.excess.max()) <= 1e-13
    assert seen[:2] == [torch.float32, torch.float64]
