"""Verdicts on numbers whose verdict is known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import t

from sendvae.experiments.declaration import Better, Column, Correlates, Experiment, Row, Strongest
from sendvae.experiments.verdicts import RESAMPLES, Values, Verdict, judge
from sendvae.latents import pearson

GFID = Column("fid", protocol="send-vae-sit-b1-80")
SCORE, OTHER = Column("f1", protocol="send-vae-f1-awa"), Column("gap")
A, B = Row("send-vae"), Row("no-noise")
PAIR = Experiment("e", "?", [A, B], [GFID], [])


def better(own: dict[int, float], other: dict[int, float], lower: bool = True) -> Verdict:
    claim = Better("noise helps", "send-vae", "no-noise", GFID, lower)
    return judge(claim, PAIR, {(A, GFID): own, (B, GFID): other})


def test_a_difference_of_pairs_decides() -> None:
    other = {0: 100.0, 1: 200.0, 2: 300.0}  # seeds differ far more than methods
    own = {seed: value - 5.0 - 0.1 * seed for seed, value in other.items()}
    found = better(own, other)
    differences = [-5.0, -5.1, -5.2]
    half = t.ppf(0.975, 2) * np.std(differences, ddof=1) / np.sqrt(3)
    assert found.word == "holds"
    assert found.ours == f"send-vae minus no-noise: -5.1 [{-5.1 - half:+.4g}, {-5.1 + half:+.4g}], 3 pairs"
    assert found.paper == "7.57 against 8.42"
    assert better(other, own).word == "does not hold"
    assert better(own, other, lower=False).word == "does not hold"
    assert better(other, own, lower=False).word == "holds"


def test_pairs_are_of_equal_seeds() -> None:
    found = better({1: 1.0, 2: 2.0, 5: 0.0}, {2: 3.1, 1: 2.0, 7: 50.0})
    assert "2 pairs" in found.ours
    assert found.ours.startswith("send-vae minus no-noise: -1.05 ")


def test_too_little_is_undecided() -> None:
    assert better({0: 1.0}, {0: 9.0}).word == "undecided"
    assert "a single pair" in better({0: 1.0}, {0: 9.0}).ours
    assert better({}, {0: 9.0}).ours == "no pair has been measured"
    assert better({0: 1.0, 1: 9.0, 2: 3.0}, {0: 2.0, 1: 5.0, 2: 7.0}).word == "undecided"


def points(
    score: list[float], against: list[float], other: list[float] | None = None
) -> tuple[Experiment, Values]:
    rows = [Row(f"r{i}") for i in range(len(score))]
    values = {}
    for i, row in enumerate(rows):
        values[row, SCORE] = {0: score[i] - 1.0, 1: score[i] + 1.0}  # the mean counts
        values[row, GFID] = {0: against[i]}
        if other is not None:
            values[row, OTHER] = {0: other[i]}
    return Experiment("e", "?", rows, [SCORE, OTHER, GFID], []), values


def test_correlations_have_a_direction() -> None:
    rng = np.random.default_rng(0)
    x = list(rng.normal(size=8))
    experiment, values = points(x, [-3.0 * v + 0.1 * float(rng.normal()) for v in x])
    down = Correlates("down", SCORE, GFID, -1, -0.9572)
    found = judge(down, experiment, values)
    assert found.word == "holds"
    assert found.ours.startswith("r = -0.99")
    assert "over 8 tokenizers" in found.ours
    assert found.paper == "r = -0.9572"
    assert judge(Correlates("up", SCORE, GFID, 1), experiment, values).word == "does not hold"
    few, some = points(x[:3], x[:3])
    assert judge(down, few, some).word == "undecided"
    noise, known = points(x, list(rng.normal(size=8)))
    assert judge(down, noise, known).word == "undecided"


@pytest.mark.parametrize(("count", "resamples"), [(9, 0), (10, RESAMPLES)])
def test_many_rows_are_resampled(count: int, resamples: int) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, count)).tolist()
    experiment, values = points(x, y)
    found = judge(Correlates("c", SCORE, GFID, -1), experiment, values)
    interval = pearson(x, y, resamples).interval
    assert interval is not None
    assert found.ours.endswith(f"over {count} tokenizers [{interval[0]:+.2f}, {interval[1]:+.2f}]")
    assert interval != pearson(x, y, RESAMPLES - resamples).interval


def test_the_papers_correlation_is_that_of_its_printed_numbers() -> None:
    rows = [Row(name) for name in ("invae", "vavae", "e2e-vae", "send-vae")]
    experiment = Experiment("e", "?", rows, [SCORE, GFID], [])
    found = judge(Correlates("down", SCORE, GFID, -1), experiment, {})
    assert found.paper == "r = -0.964 over 4 tokenizers, of its printed numbers"
    assert found.word == "undecided"


def test_the_strongest_score() -> None:
    rng = np.random.default_rng(1)
    x = list(rng.normal(size=12))
    noise = list(rng.normal(size=12))
    experiment, values = points(x, [-v for v in x], noise)
    claim = Strongest("closest", SCORE, [OTHER], GFID)
    found = judge(claim, experiment, values)
    assert found.word == "holds"
    assert found.ours.startswith("size of r minus that of gap: +")
    assert judge(Strongest("other way", OTHER, [SCORE], GFID), experiment, values).word == "does not hold"
    few, some = points(x[:4], x[:4], noise[:4])
    assert judge(claim, few, some).word == "undecided"


@pytest.mark.parametrize("missing", [(A, GFID), (B, GFID)])
def test_a_row_that_is_not_there_is_undecided(missing: tuple[Row, Column]) -> None:
    values = {(A, GFID): {0: 1.0, 1: 1.0}, (B, GFID): {0: 2.0, 1: 2.0}}
    del values[missing]
    assert judge(Better("x", "send-vae", "no-noise", GFID), PAIR, values).word == "undecided"
