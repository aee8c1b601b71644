"""The analysis of predictors on tables whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest

from sendvae.experiments.predictors import EXPERIMENT, TOKENIZERS, analyse
from sendvae.experiments.scale import load_scale
from sendvae.latents import leave_one_out, pearson, spearman


def table(count: int = 26) -> dict[str, dict[str, float]]:
    """`close` falls with the distance; `shared` only through the channels; `noise` does not."""
    rng = np.random.default_rng(0)
    found = {}
    for i in range(count):
        channels, psnr, close, noise = float(2 ** (2 + i % 4)), *rng.normal(size=3)
        distance = 100.0 - 8.0 * close + 0.5 * channels + float(rng.normal())
        found[f"t{i}"] = {
            "channels": channels, "psnr": float(psnr), "close": float(close), "noise": float(noise),
            "shared": channels + float(rng.normal()), "fd": distance,
        }  # fmt: skip
    return found


def test_the_list_is_long_and_varied() -> None:
    assert len(set(TOKENIZERS)) == len(TOKENIZERS) >= 24
    scale = load_scale("tiny")
    assert [row.name for row in EXPERIMENT.rows if scale.lacks(row)] == []
    seeds: dict[str, set[int]] = {}
    for place in scale.cells(EXPERIMENT):
        seeds.setdefault(place.row.variant, set()).add(place.seed)
    assert seeds.keys() == set(TOKENIZERS)
    assert min(len(found) for found in seeds.values()) >= 2


def test_every_number_is_that_of_its_score() -> None:
    known = table()
    found = analyse(known, ["noise", "close", "shared"], "fd", ["channels", "psnr"], resamples=300)
    assert found.predictors[0].score == "close"  # the smallest error first
    by_name = {one.score: one for one in found.predictors}
    y = [row["fd"] for row in known.values()]
    for name, one in by_name.items():
        x = [row[name] for row in known.values()]
        assert one.pearson == pearson(x, y, 300)
        assert one.spearman == spearman(x, y, 300)
        assert one.left_out == leave_one_out(x, y)
    close, shared = by_name["close"], by_name["shared"]
    assert close.partial.interval is not None
    assert close.partial.interval[1] < -0.9
    assert shared.pearson.r is not None
    assert shared.partial.r is not None
    assert abs(shared.partial.r) < abs(shared.pearson.r)  # what it says is said by the channels
    assert {(one.first, one.second) for one in found.comparisons} == {("close", "noise"), ("close", "shared")}
    (against_noise,) = (one.difference for one in found.comparisons if one.second == "noise")
    assert against_noise.interval is not None
    assert against_noise.interval[0] > 0


def test_scores_that_some_lack_are_taken_over_the_others() -> None:
    known = table()
    for name in list(known)[:5]:
        del known[name]["noise"]
    del known["t9"]["fd"]
    found = {one.score: one for one in analyse(known, ["close", "noise", "psnr"], "fd", ["psnr"]).predictors}
    assert (found["close"].pearson.n, found["noise"].pearson.n) == (25, 20)
    assert found["psnr"].partial.r is None  # given itself


@pytest.mark.parametrize("count", [0, 1, 2])
def test_too_few_tokenizers_say_nothing(count: int) -> None:
    found = analyse(table(count), ["close"], "fd")
    assert (found.predictors, found.comparisons) == ([], [])


def test_a_score_that_does_not_vary_is_left_out() -> None:
    known = {name: row | {"flat": 1.0} for name, row in table().items()}
    assert [one.score for one in analyse(known, ["flat", "close"], "fd").predictors] == ["close"]
