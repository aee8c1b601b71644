from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.stats import bootstrap as scipy_bootstrap

from sendvae.latents import (
    Bootstrap,
    attribute_probe,
    class_probe,
    f1_scores,
    mixture_scores,
    percentile_interval,
    semantic_gap,
)
from sendvae.latents.bootstrap import weighted_mean, weighted_ratio


def mean_interval(values: torch.Tensor, bootstrap: Bootstrap) -> tuple[float, float]:
    return percentile_interval(bootstrap.scores(len(values), {"mean": weighted_mean(values)})["mean"])


def width(interval: tuple[float, float]) -> float:
    return interval[1] - interval[0]


def test_the_mean_of_a_normal_sample() -> None:
    values = torch.randn(2000, generator=torch.Generator().manual_seed(0))
    low, high = mean_interval(values, Bootstrap(4000))
    half = 1.96 * float(values.std()) / math.sqrt(2000)
    assert low == pytest.approx(float(values.mean()) - half, abs=0.1 * half)
    assert high == pytest.approx(float(values.mean()) + half, abs=0.1 * half)


def test_a_ratio_as_scipy_has_it() -> None:
    rng = np.random.default_rng(0)
    under = rng.integers(1, 6, 300).astype(float)
    over = rng.binomial(under.astype(int), 0.4).astype(float)
    theirs = scipy_bootstrap(
        (over, under),
        lambda a, b, axis: a.sum(axis) / b.sum(axis),
        paired=True,
        vectorized=True,
        method="percentile",
        n_resamples=4000,
        rng=rng,
    ).confidence_interval
    statistic = weighted_ratio(torch.from_numpy(over), torch.from_numpy(under))
    ours = Bootstrap(4000).scores(300, {"ratio": statistic})["ratio"]
    assert percentile_interval(ours) == pytest.approx((theirs.low, theirs.high), abs=0.004)


def test_copies_of_an_image_are_one_group_and_tell_nothing_new() -> None:
    values = torch.randn(200, generator=torch.Generator().manual_seed(0))
    copies = values.repeat_interleave(9)
    names = [str(i // 9) for i in range(1800)]
    alone = width(mean_interval(values, Bootstrap(2000)))
    assert width(mean_interval(copies, Bootstrap(2000, groups=names))) == pytest.approx(alone, rel=0.1)
    assert width(mean_interval(copies, Bootstrap(2000))) == pytest.approx(alone / 3, rel=0.1)


def test_the_same_seed_draws_the_same_images_in_blocks_of_any_size(monkeypatch: pytest.MonkeyPatch) -> None:
    values = torch.randn(50, generator=torch.Generator().manual_seed(0))
    whole = mean_interval(values, Bootstrap(100, seed=3))
    monkeypatch.setattr("sendvae.latents.bootstrap.VALUES", 7 * 50)
    assert mean_interval(values, Bootstrap(100, seed=3)) == pytest.approx(whole, abs=1e-7)
    assert mean_interval(values, Bootstrap(100, seed=4)) != pytest.approx(whole, abs=1e-7)


def test_no_interval_without_resamples_or_with_one_group() -> None:
    statistics = {"mean": weighted_mean(torch.rand(4))}
    assert Bootstrap(0).scores(4, statistics) == {}
    assert Bootstrap(10, groups=["a"] * 4).scores(4, statistics) == {}
    with pytest.raises(ValueError, match="2 groups for 4 images"):
        Bootstrap(10, groups=["a", "b"]).scores(4, statistics)


def test_intervals_of_f1_cover_what_other_test_images_give() -> None:
    # The scores of 400 test splits of 150 images spread as the interval from one of them says.
    g = torch.Generator().manual_seed(0)
    z = torch.randn(60_400, 8, generator=g)
    y = (z[:, :4] + torch.randn(60_400, 4, generator=g)) > 0.5
    bootstrap = Bootstrap(1000)
    probe = attribute_probe(z[:400], y[:400], z[400:550], y[400:550], method="ridge", bootstrap=bootstrap)
    scores = {"f1_macro": [], "f1_micro": [], "f1_samples": [], "recall_at_5": []}
    for start in range(400, 60_400, 150):
        part = slice(start, start + 150)
        other = attribute_probe(z[:400], y[:400], z[part], y[part], method="ridge")
        for name, values in scores.items():
            values.append(getattr(other, name))
    for name, values in scores.items():
        low, high = percentile_interval(probe.resampled[name])
        assert low <= getattr(probe, name) <= high
        expected = np.quantile(values, 0.975) - np.quantile(values, 0.025)
        assert high - low == pytest.approx(expected, rel=0.25, abs=1e-9), name


def test_the_gap_and_the_mixture_have_one_too() -> None:
    g = torch.Generator().manual_seed(0)
    z = torch.randn(500, 2, 2, 2, generator=g)
    noise = 0.4 * torch.randn(500, generator=g)  # enough errors that steps of one image are small
    labels = (z[:, 0].mean((1, 2)) + noise > 0).long()
    splits = z[:300], labels[:300], z[300:], labels[300:]
    probe = class_probe(*splits, bootstrap=Bootstrap(500))
    assert probe.accuracy == semantic_gap(*splits)
    assert probe.resampled is not None
    assert 0.6 < probe.accuracy < 0.9
    error = math.sqrt(probe.accuracy * (1 - probe.accuracy) / 200)
    assert width(percentile_interval(probe.resampled)) == pytest.approx(2 * 1.96 * error, rel=0.2)
    assert class_probe(*splits).resampled is None
    (mixture,) = mixture_scores(z[:300], z[300:], [1], 8, bootstrap=Bootstrap(500)).mixtures
    assert mixture.resampled is not None
    low, high = percentile_interval(mixture.resampled)
    assert low < mixture.nll < high


def test_the_threshold_decides_what_counts_as_predicted() -> None:
    g = torch.Generator().manual_seed(0)
    z = torch.randn(300, 6, generator=g)
    y = (z[:, :3] + torch.randn(300, 3, generator=g)) > 1.0
    low, high = (
        attribute_probe(z[:200], y[:200], z[200:], y[200:], threshold=threshold)
        for threshold in (0.001, 0.999)
    )
    assert low.threshold == 0.001
    everything = f1_scores(torch.ones(100, 3, dtype=torch.bool), y[200:])[1]
    assert low.f1_micro == pytest.approx(float(everything), abs=0.05)
    assert high.f1_micro < low.f1_micro
    assert low.recall_at_5 == high.recall_at_5
    with pytest.raises(ValueError, match="threshold must be in"):
        attribute_probe(z, y, z, y, threshold=1.0)


def test_a_resample_without_an_attributes_positives_leaves_it_out() -> None:
    z = torch.tensor([[-1.0], [1.0]]).repeat(40, 2)
    y = torch.zeros(80, 2, dtype=torch.bool)
    y[:, 0] = z[:, 0] > 0  # read off perfectly
    y[1, 1] = True  # one image of the test split, which a third of the resamples lack; never predicted
    found = attribute_probe(z, y, z, y, method="ridge", bootstrap=Bootstrap(2000))
    assert found.f1_macro == 0.5
    values, counts = found.resampled["f1_macro"].unique(return_counts=True)
    assert values.tolist() == [0.5, 1.0]
    assert counts[1] / 2000 == pytest.approx(math.exp(-1), abs=0.04)
