from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from sklearn.metrics import f1_score

from sendvae.latents import attribute_probe

Split = tuple[torch.Tensor, torch.Tensor]


def planted(count: int, seed: int, threshold: float = 0.5, noise: float = 0.0) -> Split:
    """Latents whose attributes are half-spaces."""
    generator = torch.Generator().manual_seed(seed)
    latents = torch.randn(count, 2, 3, 3, generator=generator)
    directions = torch.randn(18, 4, generator=torch.Generator().manual_seed(99)) / 18**0.5
    scores = latents.flatten(1) @ directions + noise * torch.randn(count, 4, generator=generator)
    return latents, (scores > threshold).float()


@pytest.mark.parametrize("method", ["logistic", "ridge"])
def test_probe_is_deterministic_and_scale_free(method) -> None:
    (train, y), (test, test_y) = planted(300, 0), planted(200, 1)
    first = attribute_probe(train, y, test, test_y, method=method)
    assert attribute_probe(train, y, test, test_y, method=method).as_dict() == first.as_dict()
    scaled = attribute_probe(7 * train.flatten(1) - 3, y, 7 * test.flatten(1) - 3, test_y, method=method)
    assert scaled.f1_macro == pytest.approx(first.f1_macro, abs=0.01)


def test_ridge_scores_are_those_of_scikit_learn() -> None:
    from sklearn.linear_model import Ridge
    from sklearn.preprocessing import StandardScaler

    (train, y), (test, test_y) = planted(300, 0, noise=0.5), planted(200, 1, noise=0.5)
    scaler = StandardScaler().fit(train.flatten(1).numpy())
    x, z = (scaler.transform(part.flatten(1).numpy()) for part in (train, test))
    predicted = Ridge(alpha=0.1 * 300).fit(x, y.numpy()).predict(z) > 0.5
    probe = attribute_probe(train, y, test, test_y, method="ridge", weight_decay=0.1)
    np.testing.assert_allclose(probe.f1, f1_score(test_y, predicted, average=None), rtol=1e-6)


def test_validation_tunes_the_threshold_of_rare_attributes() -> None:
    (train, y), (val, val_y), (test, test_y) = (planted(800, s, threshold=1.6, noise=1.0) for s in (0, 1, 2))
    probe = attribute_probe(train, y, test, test_y, val_latents=val, val_attributes=val_y)
    assert probe.tuned_threshold is not None
    assert probe.f1_macro_tuned is not None
    assert probe.tuned_threshold < 0.5  # at .5 a probe of noisy, rare attributes hardly ever says yes
    assert probe.f1_macro_tuned > probe.f1_macro + 0.05
    opposite = attribute_probe(train, y, test, test_y == 0, val_latents=val, val_attributes=val_y)
    assert opposite.tuned_threshold == probe.tuned_threshold  # the test split has no say in it
    assert probe.n_train == probe.n_test == 800


def test_validation_chooses_the_strong_penalty_where_little_is_learnable() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(150, 400, generator=generator)  # far more features than images

    def labels(rows: torch.Tensor) -> torch.Tensor:
        return (rows[:, :1] + 0.3 * torch.randn(len(rows), 1, generator=generator) > 0).float()

    test = torch.randn(2000, 400, generator=generator)
    y, test_y = labels(x[:100]), labels(test)
    chosen = attribute_probe(
        x[:100], y, test[1000:], test_y[1000:], val_latents=test[:1000], val_attributes=test_y[:1000]
    )
    by_hand = {
        weight_decay: attribute_probe(
            x[:100], y, test[:1000], test_y[:1000], weight_decay=weight_decay
        ).f1_macro
        for weight_decay in (1e-4, 1e-3, 1e-2)
    }
    assert by_hand[chosen.weight_decay] == max(by_hand.values())


def test_without_validation_nothing_is_tuned_and_all_goes_into_json() -> None:
    train, y = planted(100, 0)
    y[:, 3] = 0.0  # an attribute nobody has
    probe = attribute_probe(train, y, train, y)
    assert (
        probe.tuned_threshold
        is probe.f1_macro_tuned
        is probe.f1_micro_tuned
        is probe.f1_samples_tuned
        is None
    )
    assert probe.absent == 1
    assert probe.f1[3] == 0.0
    assert probe.f1_macro == pytest.approx(float(probe.f1[:3].sum()) / 4)
    document = json.loads(json.dumps(probe.as_dict()))
    assert document["f1"] == probe.f1.tolist()
    assert document["dims"] == 18


def test_a_feature_that_is_constant_in_training_is_ignored() -> None:
    (train, y), (test, test_y) = planted(300, 0), planted(200, 1)
    with_constant = [
        torch.cat([z.flatten(1), torch.full((len(z), 1), c)], 1) for z, c in ((train, 0.1), (test, 9.0))
    ]
    plain = attribute_probe(train, y, test, test_y)
    padded = attribute_probe(with_constant[0], y, with_constant[1], test_y)
    torch.testing.assert_close(padded.f1, plain.f1, atol=0.01, rtol=0)


def test_bad_input() -> None:
    z, y = planted(20, 0)
    with pytest.raises(ValueError, match=r"\(20, A\)"):
        attribute_probe(z, y[:10], z, y)
    with pytest.raises(ValueError, match="differ in features or attributes"):
        attribute_probe(z.flatten(1), y, z.flatten(1)[:, :5], y)
    with pytest.raises(ValueError, match="differ in features or attributes"):
        attribute_probe(z, y, z, y[:, :2])
    with pytest.raises(ValueError, match="come together"):
        attribute_probe(z, y, z, y, val_latents=z)
    with pytest.raises(ValueError, match="NaN"):
        attribute_probe(z * torch.nan, y, z, y)


@pytest.mark.slow
def test_speed_at_the_size_of_the_demo() -> None:
    from time import perf_counter

    x, y = torch.randn(7500, 1024), (torch.rand(7500, 50) < 0.2).float()
    start = perf_counter()
    attribute_probe(x[:6500], y[:6500], x[6500:], y[6500:])
    assert perf_counter() - start < 20
