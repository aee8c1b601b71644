from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from rich.console import Console

from sendvae.errors import UserError
from sendvae.evaluation import wording
from sendvae.evaluation.findings import correlate_and_predict, differences_from_first, draw_scatter
from sendvae.evaluation.results import Input, Number, Subject
from sendvae.evaluation.tables import print_differences
from sendvae.metrics import jackknife_interval

# The paper's Table 8: F1 on AwA and gFID of IN-VAE, VA-VAE, E2E-VAE, Send-VAE.
F1, GFID = [0.5567, 0.5948, 0.6441, 0.6623], [17.43, 11.40, 8.96, 7.57]


def subjects(values: list[float]) -> list[Subject]:
    return [
        Subject(name=f"vae{i}", input=Input(source="", digest=""), numbers={"f1_micro": Number(value=value)})
        for i, value in enumerate(values)
    ]


def test_the_papers_row(tmp_path: Path) -> None:
    found = correlate_and_predict(subjects(F1), GFID, ["f1_micro", "f1_macro"], "f1_micro")
    assert list(found["correlations"]) == ["f1_micro"]  # what was not computed is left out
    assert found["correlations"]["f1_micro"]["r"] == pytest.approx(-0.96382, abs=5e-6)
    assert found["correlations"]["f1_micro"]["n"] == 4
    assert found["correlations"]["f1_micro"]["spearman"]["r"] == pytest.approx(-1.0)
    left_out = found["correlations"]["f1_micro"]["leave_one_out"]
    assert left_out["error"] < left_out["of_mean"]
    words = wording.correlation(found["correlations"]["f1_micro"])
    assert "ranks: -1.000" in words
    assert f"left out: off by {left_out['error']:.2f} ({left_out['of_mean']:.2f} by the mean alone)" in words
    assert "predictions" not in found
    every = correlate_and_predict(subjects(F1), GFID, None, "f1_micro")
    assert every == found  # all that was computed
    draw_scatter(subjects(F1), GFID, found, tmp_path / "deep/scatter.png")
    assert np.array(Image.open(tmp_path / "deep/scatter.png").convert("L")).std() > 5


@pytest.mark.parametrize("prefix", ["/" + "a-long-folder/" * 12, "a" * 200])
def test_long_names_leave_room_for_the_points(prefix: str, tmp_path: Path) -> None:
    """matplotlib warns where a label squeezes a panel to nothing, and warnings are errors here."""
    named = [s.model_copy(update={"name": prefix + s.name}) for s in subjects(F1)]
    found = correlate_and_predict(named, GFID, ["f1_micro"], "f1_micro")
    draw_scatter(named, GFID, found, tmp_path / "scatter.png")
    assert np.array(Image.open(tmp_path / "scatter.png").convert("L")).std() > 5


def test_an_unknown_gfid_is_predicted_with_its_uncertainty() -> None:
    found = correlate_and_predict(subjects([*F1, 0.60]), [*GFID, None], ["f1_micro"], "f1_micro")
    prediction = found["predictions"]["vae4"]
    slope, intercept = np.polyfit(F1, GFID, 1)
    assert prediction["value"] == pytest.approx(slope * 0.60 + intercept)
    low, high = prediction["interval"]
    assert low < prediction["value"] < high
    assert found["known_gfid"] == dict(zip(("vae0", "vae1", "vae2", "vae3"), GFID, strict=True))


def test_too_little_is_known() -> None:
    assert correlate_and_predict(subjects([0.5]), [None], ["f1_micro"], "f1_micro") == {}
    one = correlate_and_predict(subjects([0.5, 0.6]), [3.0, None], ["f1_micro"], "f1_micro")
    assert one["predictions"]["vae1"]["value"] is None
    assert one["correlations"]["f1_micro"]["reason"] == "1 points are too few"
    with pytest.raises(UserError, match="1 for 2 tokenizers"):
        correlate_and_predict(subjects([0.5, 0.6]), [3.0], [], "f1_micro")
    missing = correlate_and_predict(subjects([0.5, 0.6]), [3.0, None], [], "recall_at_5")
    assert missing["predictions"]["vae1"]["value"] is None
    assert "not computed" in missing["predictions"]["vae1"]["reason"]


def test_differences_are_taken_resample_by_resample() -> None:
    g = torch.Generator().manual_seed(0)
    shared = 0.1 * torch.randn(1000, generator=g, dtype=torch.float64)  # how hard the drawn images are
    own = [0.01 * torch.randn(1000, generator=g, dtype=torch.float64) for _ in range(2)]
    first, second = subjects([0.50, 0.55])

    def with_resamples(subject: Subject, values: torch.Tensor) -> Subject:
        return subject.model_copy(update={"resampled": {"f1_micro": values.tolist()}})

    found = differences_from_first(
        [
            with_resamples(first, 0.50 + shared + own[0]),
            with_resamples(second, 0.55 + shared + own[1]),
        ]
    )
    difference = found["vae1"]["f1_micro"]
    assert difference["value"] == pytest.approx(0.05)
    low, high = difference["interval"]
    assert high - low == pytest.approx(2 * 1.96 * 0.01 * 2**0.5, rel=0.1)  # without the shared part
    assert differences_from_first([first]) == {}
    assert differences_from_first([first, with_resamples(second, own[0])]) == {}


def test_differences_are_taken_without_the_same_parts() -> None:
    first, second = (
        subject.model_copy(update={"without": {"f1_micro": values}})
        for subject, values in zip(subjects([0.5, 0.7]), ([0.4, 0.5, 0.9], [0.6, 0.7, 1.0]), strict=True)
    )
    difference = differences_from_first([first, second])["vae1"]["f1_micro"]
    assert difference["value"] == pytest.approx(0.2)
    assert difference["interval"] == pytest.approx(jackknife_interval(0.2, [0.2, 0.2, 0.1]))
    assert differences_from_first([first, second.model_copy(update={"without": {}})]) == {}


def test_differences_of_repeats_are_of_pairs() -> None:
    """What a draw does to both cancels: 1 +- t s / sqrt(n) of the pairs .9, 1 and 1.1."""
    first, second = (
        subject.model_copy(update={"repeats": {"f1_micro": values}})
        for subject, values in zip(subjects([4.0, 5.0]), ([1.0, 4.0, 7.0], [1.9, 5.0, 8.1]), strict=True)
    )
    difference = differences_from_first([first, second])["vae1"]["f1_micro"]
    assert difference["value"] == pytest.approx(1.0)
    half = 4.302653 * 0.1 / 3**0.5  # Student's with two degrees of freedom
    assert difference["interval"] == pytest.approx((1.0 - half, 1.0 + half), rel=1e-5)
    assert differences_from_first([first, second.model_copy(update={"repeats": {}})]) == {}


def test_tokenizers_for_which_there_is_no_room_stand_below(capsys: pytest.CaptureFixture[str]) -> None:
    """Seven on 80 columns: every figure is whole, and each tokenizer stands once."""
    number = {"value": 0.123456, "interval": (-0.111111, 0.222222)}
    differences = {f"vae{i}": {"f1_micro": number, "gap_mean": number} for i in range(7)}
    print_differences("first", differences, {}, Console(width=80))
    output = capsys.readouterr().out
    assert "…" not in output
    assert output.count("+0.1235") == output.count("[-0.1111, +0.2222]") == 14
    assert [output.count(name) for name in differences] == [1] * 7
    assert output.count("minus first") == output.count("gap_mean") > 1
    assert all(len(line) <= 80 for line in output.splitlines())


def test_a_score_that_some_tokenizers_lack_is_a_dash_in_the_differences(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Tokens without a grid have no score of one."""
    number = {"value": 0.25, "interval": (0.125, 0.375)}
    differences = {"tokens": {"a": number}, "grid": {"a": number, "b": number}}
    print_differences("first", differences, {}, Console(width=100))
    lines = capsys.readouterr().out.splitlines()
    (line,) = (line.split() for line in lines if line.strip().startswith("b "))
    assert line[-2:] == ["-", "+0.2500"]
