"""The sentences on tables whose answer is known: names, counts, directions and verdicts are those of the numbers."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from sendvae.errors import UserError
from sendvae.experiments.predictor_words import (
    FREE,
    RECONSTRUCTION,
    SECONDS_FILE,
    advise,
    conclusion,
    family_of,
    load_score_costs,
    sentences,
    tells,
)
from sendvae.experiments.predictors import Analysis, Predictor, analyse
from sendvae.latents import SCORES, Correlation, LeaveOneOut

SCORED = ["channels", "psnr", "f1_macro", "f1_micro", "structure_rmsc", "spectrum_slope"]


def found(target: str, signs: tuple[float, float] = (-8.0, -8.0), count: int = 24) -> Analysis:
    """F1 goes with "fd" and "loss" by `signs`, two of its kinds nearly alike; the structure follows F1 loosely; the rest is noise."""
    rng = np.random.default_rng(1)
    table = {}
    for i in range(count):
        f1, noise, slope, psnr, error = (float(value) for value in rng.normal(size=5))
        table[f"t{i}"] = {
            "channels": float(4 + i % 3), "psnr": psnr, "f1_macro": f1, "f1_micro": f1 + 0.2 * noise, "structure_rmsc": f1 + 2.0 * noise,
            "spectrum_slope": slope, "fd": 100.0 + signs[0] * f1 + error, "loss": 1.0 + signs[1] * f1 + error,
        }  # fmt: skip
    return analyse(table, SCORED, target, ["channels", "psnr"], resamples=300)


def test_sentences_say_what_the_numbers_are() -> None:
    one = found("fd")
    going, predicting, differing, focus = sentences(one, "f1_macro")
    sure = {p.score for p in one.predictors if p.spearman.interval and np.prod(p.spearman.interval) > 0}
    assert {"f1_macro"} <= sure < set(SCORED)
    assert going.startswith(f"{len(sure)} of 6 scores go with fd")
    assert all((score in going) == (score in sure) for score in SCORED)
    best = one.predictors[0]
    assert best.score == "f1_macro"
    assert best.left_out is not None
    assert f"f1_macro ({best.left_out.error / best.left_out.of_mean:.0%} of its error)" in predicting
    helping = {p.score for p in one.predictors if p.left_out and p.left_out.error < p.left_out.of_mean}
    assert predicting.startswith(f"{len(helping)} predict the fd of a tokenizer left out")
    assert all((score in predicting) == (score in helping) for score in SCORED)
    assert differing.startswith("By ranks f1_macro, whose error is smallest, goes more closely with it than ")
    assert "spectrum_slope" in differing
    assert "f1_micro" not in differing  # nearly the same, so that no difference is real
    assert f"place 1 of 6 by its error, with a rank correlation of {best.spearman.r:+.2f}" in focus
    assert focus.endswith("the interval excludes zero.")


def test_scores_of_few_tokenizers_are_not_judged() -> None:
    table = {f"t{i}": {"fd": float(i), "f1_macro": float(-i), "psnr": float(i % 3)} for i in range(12)}
    for i in range(4):
        table[f"t{i}"]["ifid"] = float(i)  # perfect, of four
    one = analyse(table, ["f1_macro", "ifid", "gap_mean"], "fd", resamples=200)
    assert [p.score for p in one.predictors] == ["f1_macro"]
    assert one.few == {"ifid": 4, "gap_mean": 0}
    assert sentences(one, "f1_macro")[-1] == "Not judged, since fewer than 10 tokenizers have them: ifid (4)."


def test_a_score_of_noise_is_said_to_span_zero() -> None:
    focus = sentences(found("fd"), "spectrum_slope")[-1]
    assert focus.endswith("the interval spans zero.")
    assert sentences(found("fd"), "ifid")[-1] == "ifid was not measured, or does not vary."


def test_too_few_tokenizers_are_said_to_be() -> None:
    (only,) = sentences(analyse({}, SCORED, "fd"), "f1_macro")
    assert only == "Nothing can be said about fd: too few tokenizers have been measured."


def test_what_to_compute_first_goes_with_every_target_in_one_direction() -> None:
    alike = conclusion([found("fd"), found("loss")])
    assert alike.startswith("Compute first: f1_macro")
    assert "spectrum_slope" not in alike
    opposed = conclusion([found("fd", (-8.0, 8.0)), found("loss", (-8.0, 8.0))])
    assert opposed.startswith("No score predicts all of fd and loss")


@pytest.mark.parametrize(
    ("interval", "error", "told"),
    [((0.1, 0.8), 0.9, True), ((-0.8, -0.1), 0.9, True), ((-0.1, 0.8), 0.9, False), ((0.1, 0.8), 1.1, False)],
)
def test_a_score_tells_something(interval: tuple[float, float], error: float, told: bool) -> None:
    sure = Correlation(0.5, 0.01, interval, 20)
    assert tells(Predictor("s", sure, sure, sure, LeaveOneOut(error, 1.0))) is told
    assert not tells(Predictor("s", sure, sure, sure, None))


def test_advice_has_the_best_number_of_each_family_and_the_cheapest_first() -> None:
    analyses = [found("fd"), found("loss")]
    advice = advise(analyses, {"spectrum": 2.0, "attributes": 9.0})
    assert [one.family for one in advice] == ["spectrum", "attributes", FREE, RECONSTRUCTION, "structure"]
    attributes = advice[1]
    assert attributes.cost == SCORES["attributes"].cost
    left_out = analyses[1].predictors[0].left_out
    assert left_out is not None
    assert attributes.best["loss"] == ("f1_macro", left_out.error / left_out.of_mean)


@pytest.mark.parametrize(
    ("score", "family"),
    [
        ("f1_micro_tuned", "attributes"), ("gap_mean", "gap"), ("uniformity_gini", "uniformity"), ("velocity_floor", "velocity_floor"),
        ("ifid-mobilenet-v2", "ifid"), ("psnr", RECONSTRUCTION), ("channels", FREE),
    ],
)  # fmt: skip
def test_every_number_belongs_to_a_family(score: str, family: str) -> None:
    assert family_of(score) == family


def test_costs_are_read_or_refused(tmp_path: Path) -> None:
    assert load_score_costs(tmp_path) is None
    path = tmp_path / SECONDS_FILE
    path.write_text(json.dumps({"machine": "m", "data": "d", "seconds": {"encoding": 1.5}}))
    costs = load_score_costs(tmp_path)
    assert costs is not None
    assert costs.seconds == {"encoding": 1.5}
    path.write_text('{"machine": "m"}')
    with pytest.raises(UserError, match="damaged"):
        load_score_costs(tmp_path)
