"""Ours beside the paper's: every number in its column, figures from the same numbers, pictures where there are any."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from tests.experiments.kept_results import DISTANCE, F1, keep_result

from sendvae.experiments.paper import EXPERIMENTS
from sendvae.experiments.pictures import save_grid
from sendvae.experiments.reproduction import Reproduction, reproduce
from sendvae.experiments.scale import Place, load_scale
from sendvae.report.reproduction import reproduction_markdown, write_reproduction

WORTH = {"invae": 40.0, "vavae": 30.0, "e2e-vae": 20.0, "send-vae": 10.0}


def distance(place: Place) -> float:
    """Falls with the training, by row and seed."""
    return 100.0 + WORTH.get(place.row.variant, 15.0) / place.view.at + place.seed


@pytest.fixture
def results(tmp_path: Path) -> Path:
    scale = load_scale("tiny")
    for name in ("table7", "table8", "figure4", "figure5"):
        for place, cell in scale.cells(EXPERIMENTS[name]).items():
            f1 = 0.9 - WORTH[place.row.variant] / 100
            keep_result(tmp_path / "results", cell, {DISTANCE: distance(place), F1: f1})
    return tmp_path / "results"


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
        ("holds", "7.57 against 11.4"),
        ("holds", "7.57 against 8.96"),
    ]


def test_a_table_of_two_kinds_of_numbers(results: Path) -> None:
    one = found("table8", results)
    assert [heading.label for heading in one.headings] == ["F1 macro ↑", "FD-MobileNetV2 ↓"]
    assert one.lines[-1].entries[0] == "0.800 ± 0.000"
    correlation = next(verdict for verdict in one.verdicts if verdict.claim.startswith("Separability"))
    assert correlation.word == "holds"  # of four points on a line
    celeba = next(verdict for verdict in one.verdicts if "(celeba)" in verdict.claim)
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


def test_the_document_is_a_table_for_each(results: Path) -> None:
    text = reproduction_markdown([[found("table7", results)], [found("table2", results)]], "Title", "Lead.")
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
    assert "0 of 15 cells have a result: `sendvae reproduce table2 --scale tiny`." in text
    assert "20 of 20 cells have a result" in text


def test_what_a_scale_lacks_is_said(results: Path, tmp_path: Path) -> None:
    one = found("table6", results)
    assert one.missing == ["sdvae-b2: no sdvae at this scale", "sdvae-align-b2: no sdvae-align at this scale"]
    assert (
        "Not shown: sdvae-b2: no sdvae at this scale."
        in write_reproduction([one], tmp_path / "p.html").read_text()
    )
