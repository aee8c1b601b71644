from __future__ import annotations

import numpy as np
import pytest
import torch

from sendvae.latents import MinibatchFit, TensorRows, attribute_probe, fit_minibatch, semantic_gap
from sendvae.latents.rows import scores_of_rows

FIT = MinibatchFit(epochs=30, batch_size=64, lr=1e-2)


def planted(count: int, seed: int, classes: int = 3) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Latents far from zero, half-spaces as attributes, the largest of some directions as class."""
    generator = torch.Generator().manual_seed(seed)
    z = torch.randn(count, 2, 2, 2, generator=generator)
    directions = torch.randn(8, classes, generator=torch.Generator().manual_seed(9))
    scores = z.flatten(1) @ directions
    return 5 * z + 100, scores > 0.3, scores.argmax(1)


def test_planted_attributes_and_classes_are_found() -> None:
    (z, y, labels), (test, test_y, test_labels) = planted(1500, 0), planted(500, 1)
    probe = attribute_probe(z, y, test, test_y, method="minibatch", weight_decay=0.0, minibatch=FIT)
    assert probe.f1_macro > 0.95
    exact = attribute_probe(z, y, test, test_y, weight_decay=1e-4)
    assert probe.f1_macro == pytest.approx(exact.f1_macro, abs=0.02)
    accuracy = semantic_gap(z, labels, test, test_labels, "flatten", 0.0, method="minibatch", minibatch=FIT)
    assert accuracy > 0.93
    shuffled = y[torch.randperm(1500)]
    assert attribute_probe(z, shuffled, test, test_y, method="minibatch", minibatch=FIT).f1_macro < 0.6


def test_the_decay_shrinks_and_nothing_else_differs() -> None:
    z, y, _ = planted(300, 0)
    plain, decayed, again = (fit.map for fit in fit_minibatch(TensorRows(z), y, [0.0, 5.0, 0.0], FIT))
    assert torch.equal(plain.weight, again.weight)
    assert decayed.weight.norm() < 0.8 * plain.weight.norm()
    (alone,) = fit_minibatch(TensorRows(z), y, [5.0], FIT)
    torch.testing.assert_close(alone.map.weight, decayed.weight)


def test_seeded() -> None:
    z, y, _ = planted(200, 0)
    first, second, third = (
        fit_minibatch(TensorRows(z), y, [0.1], MinibatchFit(2, 32, 1e-2, seed))[0].map for seed in (0, 0, 1)
    )
    assert torch.equal(first.weight, second.weight)
    assert not torch.equal(first.weight, third.weight)


def test_without_training_it_says_how_frequent_each_is() -> None:
    z, y, _ = planted(400, 0)
    (fit,) = fit_minibatch(TensorRows(z), y, [0.0], MinibatchFit(1, 400, 1e-12))
    probabilities = scores_of_rows([fit.map], TensorRows(z))[0].sigmoid()
    np.testing.assert_allclose(probabilities.mean(0), y.double().mean(0), atol=1e-4)


def test_bad_input() -> None:
    z, y, labels = planted(20, 0)
    with pytest.raises(ValueError, match="20 latents and 10 targets"):
        fit_minibatch(TensorRows(z), y[:10], [0.0], FIT)
    with pytest.raises(ValueError, match="'full-batch' or 'minibatch'"):
        semantic_gap(z, labels, z, labels, method="sgd")
    with pytest.raises(ValueError, match="two classes"):
        semantic_gap(z, labels * 0, z, labels)
