"""`sendvae report` draws runs, results and demos, and says what it cannot draw."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest
import torch
from playwright.sync_api import Browser
from tests.report.browser import LOOKS, check_in_browser, without_script

from sendvae.cli.main import main
from sendvae.errors import UserError
from sendvae.evaluation.results import Input, Number, Result, Subject
from sendvae.experiments.pictures import save_grid
from sendvae.latents import SCORES
from sendvae.report import write_report

F1 = SCORES["attributes"].quantities
GINI = SCORES["uniformity"].quantities["uniformity_gini"]


def make_result(folder: Path) -> Path:
    """Two tokenizers: the first has the better F1, the second the better (lower) Gini."""
    subjects = []
    for name, f1, gini in (("vae<0>", 0.6123, 0.51), ("vae1", 0.5001, 0.42)):
        numbers = {
            "f1_macro": Number(
                value=f1, interval=(f1 - 0.01, f1 + 0.02), method="bootstrap over test images"
            ),
            "uniformity_gini": Number(value=gini),
        }
        details = {"no gap": "one class only", "f1": {"hair": f1, "<i>hat": 0.3}}
        given = Input(source=f"runs/{name}", digest="tensors:ab")
        subjects.append(Subject(name=name, input=given, numbers=numbers, details=details))
    result = Result(
        kind="latents",
        protocol={"seed": 3, "uniformity": {"flips": False}, "scores": ["attributes"]},
        inputs={"data": Input(source="embedded:emoji", images=40, digest="d1g35t")},
        subjects=subjects,
        quantities={"f1_macro": F1["f1_macro"], "uniformity_gini": GINI},
        findings={
            "differences": {"vae1": {"f1_macro": {"value": -0.1122, "interval": (-0.13, -0.1)}}},
            "known_gfid": {"vae<0>": 9.0, "vae1": 12.0},
            "correlations": {
                "f1_macro": {"r": -0.5, "n": 2, "p": 0.5, "interval": None, "reason": None},
            },
            "predictions": {"vae2": {"from": "f1_macro", "value": None, "reason": "too few"}},
        },
    )
    save_grid(torch.zeros(2, 3, 8, 8, dtype=torch.uint8), folder / "worst.png", 2)
    return result.save(folder)


def make_run(folder: Path, lines: int = 3) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.yaml").write_text("kind: diffusion\nloop: {images: 300}\nmodel: SiT-Tiny/2\n")
    (folder / "environment.json").write_text(json.dumps({"torch": "2.x", "device": "cpu"}))
    rows = [
        {"images": 100 * (i + 1), "step": i, "velocity": 2.0 - i, "lr": 1e-4, "grad_norm": float("nan")}
        for i in range(lines)
    ]
    if lines:
        rows[-1]["fd-mobilenet-v2-64"] = 321.5
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / "metrics.jsonl").write_text(text + '{"images": 4')  # killed while writing
    for images in range(100, 1000, 100):
        save_grid(torch.zeros(1, 3, 8, 8, dtype=torch.uint8), folder / f"samples/{images:010d}.png", 1)
    (folder / "checkpoints/step-000000002").mkdir(parents=True)
    return folder


def text_of(page: Path) -> str:
    text = without_script(page.read_text())
    assert not re.search(r"<(link|script|iframe)\b|@import|url\(|(src|href)=\"(?!data:|#)", text)
    return text


def test_a_result_with_directions_intervals_protocol_and_provenance(tmp_path: Path) -> None:
    file = make_result(tmp_path)
    text = text_of(write_report(file))
    assert write_report(tmp_path) == tmp_path / "report.html"
    for word in (
        "Attribute F1 ↑", "Gini ↓", "0.612", "[0.602, 0.632]", "bootstrap over test images",
        "uniformity.flips", "embedded:emoji", "d1g35t", "runs/vae1", "-0.1122", "[-0.1300, -0.1000]",
        "no gap: one class only", "Predicted gFID of vae2: none (too few)", "data:image/png",
        F1["f1_macro"].explanation.replace("'", "&#39;"),
    ):  # fmt: skip
        assert word in text, word
    assert "vae<0>" not in text
    assert "<i>hat" not in text
    best = re.findall(r'<td class="best">([\d.]+)', text)
    assert best == ["0.612", "0.420"]  # the highest F1, the lowest Gini


def test_results_of_before_say_only_their_names(tmp_path: Path) -> None:
    file = make_result(tmp_path)
    document = json.loads(file.read_text())
    del document["quantities"]
    file.write_text(json.dumps(document))
    text = text_of(write_report(tmp_path))
    assert "uniformity_gini" in text
    assert 'class="best"' not in text


def test_a_run_with_curves_previews_and_settings(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run")
    text = text_of(write_report(folder))
    assert "300 of 300 images" in text
    assert "velocity: 0 at the end" in text
    assert text.count("<svg") == 3  # velocity, rate, distance; a norm that is never finite has no curve
    assert text.count("data:image/png;base64,") == 6
    for word in ("100 images", "900 images", "SiT-Tiny/2", "step-000000002", "321.5", "<dt>torch</dt>"):
        assert word in text, word
    assert "300 images" not in text.replace(
        "300 of 300 images", ""
    )  # of nine previews the first and the newest five


def test_what_cannot_be_drawn_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(UserError, match="no such file or folder"):
        write_report(tmp_path / "absent")
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(UserError, match="nothing to report"):
        write_report(tmp_path / "notes.txt")
    (tmp_path / "other.json").write_text("{}")
    with pytest.raises(UserError, match="is no result of sendvae evaluate"):
        write_report(tmp_path / "other.json")
    with pytest.raises(UserError, match="nothing to draw yet"):
        write_report(make_run(tmp_path / "young", lines=0))
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo/cells.json").write_text('{"format": 1, "cells": [')
    with pytest.raises(UserError, match=r"cells.json is damaged(?s:.*)run the experiment's command again"):
        write_report(tmp_path / "demo")
    stage = {"kind": "scores", "folder": "stages/scores-a"}
    cell = {"name": "a", "method": "a", "seed": 0, "stages": {"scores": stage}}
    record = {"created": "2026-01-01", "environment": {}, "about": {}, "cells": [cell]}
    (tmp_path / "demo/cells.json").write_text(json.dumps(record))
    for name in ("failed.json", "done.json"):
        (tmp_path / "demo/stages/scores-a").mkdir(parents=True, exist_ok=True)
        (tmp_path / "demo/stages/scores-a" / name).write_text('{"seconds": 1')
        with pytest.raises(UserError, match=rf"{name} is damaged(?s:.*)remove its folder"):
            write_report(tmp_path / "demo")
    (tmp_path / "half.json").write_text("")
    with pytest.raises(UserError, match=r"half.json is no result(?s:.*)given: +Invalid JSON"):
        write_report(tmp_path / "half.json")
    make_result(tmp_path / "outer/inner")
    monkeypatch.setattr(sys, "argv", ["sendvae", "report", str(tmp_path / "outer")])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 2
    message = capsys.readouterr().err
    assert "nothing to report" in message
    assert str(Path("outer/inner")) in message


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning")
@pytest.mark.parametrize(("width", "scheme"), LOOKS)
@pytest.mark.parametrize("kind", ["run", "result"])
def test_pages_in_a_browser(chromium: Browser, kind: str, width: int, scheme: str, tmp_path: Path) -> None:
    source = make_run(tmp_path / "run") if kind == "run" else make_result(tmp_path / "result").parent
    check_in_browser(chromium, write_report(source), scheme, width)
