"""The report: self-contained, honest, robust."""

from __future__ import annotations

import itertools
import re
import shutil
from pathlib import Path

import pytest
import torch

from sendvae.experiments.demo_texts import METHODS, METRICS, NETWORKS, PAPER
from sendvae.experiments.pictures import principal_colours, save_grid
from sendvae.experiments.summary import CorrelationResult, Curve, Difference, Run, Summary
from sendvae.report import write_report
from sendvae.report.page import verdict
from sendvae.report.plots import Series, lines, scatter, ticks

GENERATION = {"fd-mobilenetv2", "kd-mobilenetv2", "precision-mobilenetv2", "recall-mobilenetv2"}


def make_summary(folder: Path, f1: dict[str, float], fd: dict[str, float]) -> Summary:
    runs = []
    for seed in (0, 1):
        for name in METHODS:
            if name == "base" and seed:
                continue
            metrics = {m.key: 1.0 for m in METRICS if name != "base" or m.key not in GENERATION}
            metrics["f1_macro"] = f1.get(name, 0.1) + 0.01 * seed
            if name != "base":
                metrics["fd-mobilenetv2"] = fd.get(name, 99.0) + seed
            pictures = {}
            for kind in ("reconstructions", "latents", "samples"):
                if kind != "samples" or name != "base":
                    pictures[kind] = f"{name}-{seed}-{kind}.png"
                    save_grid(
                        torch.randint(0, 256, (8, 3, 16, 16), dtype=torch.uint8), folder / pictures[kind], 8
                    )
            curve = Curve(images=[1, 2], series={"alignment": [0.9, None], "velocity": [2.0, 1.0]})
            runs.append(
                Run(method=name, seed=seed, metrics=metrics, attribute_f1={"<b>hair</b>": 0.5, "face": 0.1},
                    tokenizer_curve=curve, diffusion_curve=curve, pictures=pictures)
            )  # fmt: skip
    save_grid(torch.zeros(8, 3, 16, 16, dtype=torch.uint8), folder / "originals.png", 8)
    correlations = [
        CorrelationResult(x=x, y="fd-mobilenetv2", r=-0.4567, p=0.3, interval=(-0.9, 0.4), n=8)
        for x in ("f1_macro", "f1_micro")
    ]
    return Summary(
        title="A <script>alert(1)</script> title", created="2026-01-01T00:00:00+00:00", command="sendvae demo", seeds=[0, 1],
        quick=False, environment={"device": "cpu", "commit": "abc"}, data={"train": 10}, data_licences=["CC-BY"],
        networks=NETWORKS, methods=list(METHODS.values()), metrics=METRICS, runs=runs, originals="originals.png",
        correlations=correlations, paper=PAPER, stages={"sampling": 61.0}, peak_memory_gib=1.25,
        config={"sampling": {"steps": 8, "method": "euler"}},
    )  # fmt: skip


@pytest.fixture
def summary(tmp_path: Path) -> Summary:
    return make_summary(tmp_path, {"send-vae": 0.6}, {"plain": 10.0})


def test_page_needs_nothing_else(summary: Summary, tmp_path: Path) -> None:
    text = write_report(summary, tmp_path, tmp_path / "report.html").read_text()
    assert not re.search(r"<(link|script|iframe)\b|@import|url\(|(src|href)=\"(?!data:|#)", text)
    assert text.count("data:image/png;base64,") == 5 + 5 + 4 + 1
    assert "-0.457" in text
    assert "spans zero" in text
    assert "not FID" in text


def test_hostile_text_is_escaped(summary: Summary, tmp_path: Path) -> None:
    text = write_report(summary, tmp_path, tmp_path / "report.html").read_text()
    assert "<script" not in text
    assert "&lt;b&gt;hair" in text
    assert "<b>hair" not in text


def test_verdict_follows_the_numbers(tmp_path: Path) -> None:
    split = verdict(make_summary(tmp_path, {"send-vae": 0.6}, {"plain": 10.0}))
    assert split.startswith("Send-VAE has the most separable")
    assert "but Plain the best samples" in split
    both = verdict(make_summary(tmp_path, {"direct": 0.6, "base": 0.9}, {"direct": 10.0}))
    assert both.startswith("Direct (VA-VAE) has both")


def test_missing_metrics_are_dashes(summary: Summary, tmp_path: Path) -> None:
    runs = [
        r.model_copy(update={"metrics": {k: v for k, v in r.metrics.items() if k != "psnr"}})
        for r in summary.runs
    ]
    text = write_report(summary.model_copy(update={"runs": runs}), tmp_path, tmp_path / "r.html").read_text()
    assert "<td>–</td>" in text


def test_summary_round_trip(summary: Summary, tmp_path: Path) -> None:
    summary.save(tmp_path / "summary.json")
    assert Summary.load(tmp_path / "summary.json") == summary


@pytest.mark.parametrize("values", [[0.1, 0.9], [3.0, 3.0], [-5.0, 12345.0], [1e-7, 2e-7], [0.0]])
def test_ticks_enclose_the_values_evenly(values: list[float]) -> None:
    marks = ticks(values)
    assert marks[0] <= min(values) <= max(values) <= marks[-1]
    steps = [b - a for a, b in itertools.pairwise(marks)]
    assert max(steps) == pytest.approx(min(steps))
    assert 2 <= len(marks) <= 12


def test_charts_draw_every_point_once() -> None:
    chart = scatter([Series("a&b", "red", [1, 2], [3, 4]), Series("c", "blue", [0], [1])], "x", "y")
    assert chart.count("<circle") == 3
    assert "a&amp;b" in chart
    assert lines([Series("a", "red", [1, 2, 3], [1.0, float("nan"), 2.0])], "x", "y").count(",") == 2


def test_principal_colours_find_the_leading_axis() -> None:
    z = torch.zeros(4, 3, 2, 2)
    z[:, 1] = torch.linspace(-1, 1, 16).view(4, 2, 2)
    z += 0.001 * torch.randn(z.shape)
    picture = principal_colours(z, z, 8)
    assert picture.shape == (4, 3, 8, 8)
    red = picture[:, 0, ::4, ::4].flatten().double()
    assert abs(torch.corrcoef(torch.stack([red, z[:, 1].flatten().double()]))[0, 1]) > 0.99


CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning")
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 420])
def test_page_in_a_browser(summary: Summary, tmp_path: Path, scheme: str, width: int) -> None:
    from playwright.sync_api import sync_playwright

    page_file = write_report(summary, tmp_path, tmp_path / "report.html")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)  # type: ignore[arg-type]
        faults: list[str] = []
        page.on("console", lambda message: faults.append(message.text))
        page.on(
            "request", lambda request: faults.append(request.url) if request.url.startswith("http") else None
        )
        page.goto(page_file.as_uri())
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        brightness = "getComputedStyle(document.body).backgroundColor.match(/\\d+/g).slice(0, 3).reduce((a, b) => a + +b, 0)"
        assert (page.evaluate(brightness) > 384) == (scheme == "light")
        page.locator("label.toggle").click()
        assert (page.evaluate(brightness) > 384) == (scheme == "dark")
        assert page.evaluate("[...document.images].every(i => i.naturalWidth > 0)")
        browser.close()
    assert faults == []


def test_a_lead_that_the_test_images_could_explain_is_called_one(tmp_path: Path) -> None:
    summary = make_summary(tmp_path, {"send-vae": 0.9}, {"send-vae": 10.0})
    for low, doubted in ((-0.01, True), (0.01, False)):
        lead = Difference(method="send-vae", metric="f1_macro", value=0.02, interval=(low, 0.04))
        other = Difference(method="mapper", metric="f1_macro", value=-0.02, interval=(-0.04, -0.01))
        told = summary.model_copy(update={"differences": [lead, other]})
        assert ("could explain its lead in Attribute F1" in verdict(told)) is doubted
        page = write_report(told, tmp_path, tmp_path / "report.html").read_text()
        assert f"Send-VAE +0.020 [{low:+.3f}, +0.040], Mapper, no noise -0.020 [-0.040, -0.010]." in page
        assert "Attribute F1 minus that of Plain" in page
    assert "minus that of" not in write_report(summary, tmp_path, tmp_path / "bare.html").read_text()
