"""Ours beside the paper's: every number in its column, figures from the same numbers, pictures where there are any."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.experiments.kept_results import DISTANCE, F1, GAP, keep_result

from sendvae.experiments.paper import EXPERIMENTS
from sendvae.experiments.pictures import save_grid
from sendvae.experiments.predictor_words import ScoreCosts
from sendvae.experiments.reproduction import Reproduction, reproduce
from sendvae.experiments.scale import Place, load_scale
from sendvae.report.figures import draw_figures
from sendvae.report.reproduction import overview, reproduction_markdown, write_markdown, write_reproduction

WORTH = {"invae": 40.0, "vavae": 30.0, "e2e-vae": 20.0, "send-vae": 10.0}


def distance(place: Place) -> float:
    """Falls with the training, by row and seed."""
    return 100.0 + WORTH.get(place.row.variant, 15.0) / place.view.at + place.seed


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, scale = tmp_path_factory.mktemp("kept"), load_scale("tiny")
    for name in ("table7", "table8", "figure4", "figure5"):
        for place, cell in scale.cells(EXPERIMENTS[name]).items():
            f1 = 0.9 - WORTH[place.row.variant] / 100
            keep_result(folder, cell, {DISTANCE: distance(place), F1: f1})
    return folder


def found(name: str, results: Path, pictures: dict[str, Path] | None = None) -> Reproduction:
    return reproduce(EXPERIMENTS[name], load_scale("tiny"), [results], pictures=pictures)


def test_numbers_stand_in_their_columns(results: Path) -> None:
    one = found("table7", results)
    labels = [heading.label for heading in one.headings]
    assert labels == ["FD-MobileNetV2 ↓"]  # what the results do not have is no column
    lines = {line.label: line for line in one.lines}
    assert lines["Send-VAE (send-vae)"].entries == ["112.0 ± 1.6"]  # seeds 0 to 4
    assert lines["Naive VAE (invae)"].entries == ["142.0 ± 1.6"]
    assert [(verdict.word, verdict.paper) for verdict in one.verdicts] == [
        ("undecided", "0.26 against 0.31"),
        ("holds", "7.57 against 17.43"),
        ("holds", "7.57 against 11.40"),
        ("holds", "7.57 against 8.96"),
    ]


def test_a_table_of_two_kinds_of_numbers(results: Path) -> None:
    one = found("table8", results)
    assert [heading.label for heading in one.headings] == ["F1 macro ↑", "FD-MobileNetV2 ↓"]
    assert one.lines[-1].entries[0] == "0.800 ± 0.000"
    correlation = next(verdict for verdict in one.verdicts if verdict.claim.startswith("Separability"))
    assert correlation.word == "holds"  # of four points on a line
    celeba = next(verdict for verdict in one.verdicts if "(CelebA)" in verdict.claim)
    assert celeba.word == "undecided"
    assert one.printed is not None
    assert one.printed.rows[0] == ("IN-VAE", ["0.6222", "0.0786", "0.5567", "17.43"])


def test_curves_over_the_training(results: Path, tmp_path: Path) -> None:
    one = found("figure4", results)
    curve = next(curve for curve in one.curves if curve.label == "send-vae")
    assert curve.shares == [0.125, 0.25, 0.5, 1.0]
    assert curve.means == pytest.approx([182.0, 142.0, 122.0, 112.0])
    page = write_reproduction([one], tmp_path / "page.html").read_text()
    assert page.count("<polyline") == 4
    assert "% of the training" in page
    assert "<td>holds</td>" in page


def test_points_and_pictures(results: Path, tmp_path: Path) -> None:
    scatter = found("figure2", results)
    assert [name for name, _ in scatter.points] == ["invae", "vavae", "e2e-vae", "send-vae"]
    picture = tmp_path / "samples.png"
    save_grid(torch.zeros(4, 3, 8, 8, dtype=torch.uint8), picture, 2)
    samples = found("figure5", results, {"send-vae-grid-at25-0": picture, "send-vae-grid-at25-1": picture})
    assert [one.label for one in samples.pictures] == ["send-vae (grid, after 25.0%)"]
    page = write_reproduction([scatter, samples], tmp_path / "page.html").read_text()
    assert page.count("data:image/png;base64") == 1
    assert "samples of send-vae (grid, after 25.0%)" in page
    document = write_markdown([[samples]], tmp_path / "docs/page.md", "Title", "Lead.").read_text()
    assert "![Samples of send-vae (grid, after 25.0%)](../samples.png)" in document


def test_the_document_is_a_table_for_each(results: Path) -> None:
    names = ["table7", "table2", "figure2", "table3"]
    text = reproduction_markdown([[found(name, results)] for name in names], "Title", "Lead.")
    rows = [line for line in text.splitlines() if line.startswith("|")]
    widths = [len(re.findall(r"(?<!\\)\|", row)) for row in rows]
    tables: list[list[int]] = [[]]
    for line in text.splitlines():
        if line.startswith("|"):
            tables[-1].append(len(re.findall(r"\|", line)))
        elif tables[-1]:
            tables.append([])
    assert len(widths) > 10
    assert all(len(set(table)) == 1 for table in tables if table)
    assert "| | rFID ↓ | PSNR (dB) ↑ | LPIPS ↓ | SSIM ↑ | gFID ↓ |" in rows
    assert "| Naive VAE | 0.26 | 28.59 | 0.089 | 0.80 | 17.43 |" in rows  # as printed, with its last zero
    assert text.count("Emoji of 64 pixels") == 1  # said once, however many sections
    assert text.index("claims") < text.index("Lead.") < text.index("## Table 7: What does")
    assert "| Table 3 | Does noise injection help? | 0 | 0 | 1 | 5 of 10 |" in rows
    assert "0 of 15 cells have a result: `sendvae reproduce table2 --scale tiny`." in text
    assert "20 of 20 cells have a result" in text
    assert "Cells computed: 20 on " in text
    assert replace(found("table7", results), devices={"cpu": 3, "H100": 2}).machines == (
        "Cells computed: 3 on cpu, 2 on H100; equal seeds draw equal noise on one kind of device only."
    )


def test_the_document_of_experiments_without_claims_counts_none(results: Path) -> None:
    text = "\n".join(overview([[found(name, results)] for name in ("figure5", "figure6")]))
    assert text.startswith("**There are no claims at scale tiny.**")
    assert "| Figure 5 | " in text
    assert "| Figure 6 | " in text
    assert "Of 0 claims" not in text


def test_what_a_scale_lacks_is_said(results: Path, tmp_path: Path) -> None:
    one = found("table6", results)
    assert one.missing == ["sdvae-b2: no sdvae at this scale", "sdvae-align-b2: no sdvae-align at this scale"]
    assert (
        "Not shown: sdvae-b2: no sdvae at this scale."
        in write_reproduction([one], tmp_path / "p.html").read_text()
    )


def predicted(results: Path, sign: float) -> Reproduction:
    """Keep what every tokenizer of the study might have had: F1 goes with the distance by `sign`, the gap with nothing."""
    scale, rng = load_scale("tiny"), np.random.default_rng(3)
    worth = {row.name: float(rng.normal()) for row in EXPERIMENTS["predictors"].rows}
    for place, one in scale.cells(EXPERIMENTS["predictors"]).items():
        f1 = 0.5 + 0.02 * worth[place.row.name] + 0.002 * place.seed
        far = (
            500.0
            + sign * 40.0 * worth[place.row.name]
            + (4.0 if place.view.sampling == "plain" else 12.0) * float(rng.normal())
        )
        numbers = {F1: f1, GAP: float(rng.normal()), DISTANCE: far, "psnr": 27.0 + float(rng.normal())}
        keep_result(results, one, numbers)
    return reproduce(EXPERIMENTS["predictors"], scale, [results])


@pytest.mark.parametrize(
    ("sign", "word"), [pytest.param(-1.0, "holds", marks=pytest.mark.slow), (1.0, "does not hold")]
)
def test_the_document_of_predictors_judges_in_words(tmp_path: Path, sign: float, word: str) -> None:
    one = predicted(tmp_path / "results", sign)
    costs = ScoreCosts(machine="a machine", data="9 images", seconds={"encoding": 3.0, "attributes": 7.5})
    path = write_markdown([[one]], tmp_path / "doc/page.md", "T", "L", costs)
    text = path.read_text()
    assert f"| Attribute separability goes with a lower distance of samples | **{word}** |" in text
    verdict = "hold" if sign < 0 else "do not hold"
    assert f"Both claims {verdict} at this scale." in text
    assert f"{F1}, the paper's, stands at place 1 of 4" in text
    assert text.index(f"Compute first: {F1}.") < text.index(
        "\nL\n"
    )  # the answer stands before how to read it
    errors = [analysis.predictors[0].left_out for analysis in one.analyses]
    shares = [f"{F1} ({error.error / error.of_mean:.0%})" for error in errors if error]
    assert len(set(shares)) == 2
    assert re.search(rf"\| attributes \| [^|]+ \| 7\.5 \| {re.escape(' | '.join(shares))} \|", text)
    assert "on a machine; encoding alone took 3." in text
    figures = re.findall(r"!\[[^]]+\]\(([^)]+)\)", text)
    assert len(figures) == 3  # points, and the ranks of two distances
    drawn = (path.parent / figures[0]).read_bytes()
    assert b">kl-higher<" in drawn
    assert b">gap_mean<" in (path.parent / figures[1]).read_bytes()
    write_markdown([[one]], path, "T", "L", costs)
    assert (path.parent / figures[0]).read_bytes() == drawn  # the same each time
    page = write_reproduction([one], tmp_path / "page.html").read_text()
    assert f"Compute first: {F1}." in page


def test_a_figure_has_every_curve(results: Path, tmp_path: Path) -> None:
    one = found("figure4", results)
    ((_, path),) = draw_figures(one, tmp_path)
    drawn = (tmp_path / path).read_text()
    assert path == "figures/figure4-tiny-curves.svg"
    assert all(f">{curve.label}<" in drawn for curve in one.curves)
