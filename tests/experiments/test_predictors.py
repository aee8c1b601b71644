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


def test_an_infinite_number_is_left_out_and_the_rest_of_its_row_is_kept() -> None:
    known = table()
    whole = analyse(known, ["close", "psnr"], "fd", ["channels", "psnr"], resamples=300)
    pixels = known["t3"] | {"psnr": float("inf")}
    found = analyse(known | {"t3": pixels}, ["close", "psnr"], "fd", ["channels", "psnr"], resamples=300)
    without = analyse(
        {name: row for name, row in known.items() if name != "t3"},
        ["close", "psnr"], "fd", ["channels", "psnr"], resamples=300,
    )  # fmt: skip
    one, as_whole, as_without = ({p.score: p for p in a.predictors} for a in (found, whole, without))
    assert one["close"].pearson == as_whole["close"].pearson
    assert one["close"].left_out == as_whole["close"].left_out
    assert one["close"].partial == as_without["close"].partial
    assert one["psnr"].spearman == as_without["psnr"].spearman
    assert found.comparisons == without.comparisons


def test_errors_of_different_tokenizers_are_compared_as_shares() -> None:
    known = table()
    known["far"] = known["t0"] | {"close": -9.0, "fd": 400.0}  # nobody is far off there who does not know it
    known["far"].pop("noise")
    found = analyse(known, ["noise", "close"], "fd", [], resamples=300)
    noise, close = (next(p.left_out for p in found.predictors if p.score == s) for s in ("noise", "close"))
    assert noise is not None
    assert close is not None
    assert noise.error < close.error
    assert [one.score for one in found.predictors] == ["close", "noise"]
