"""The demo's page: self-contained, honest, robust."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from tests.report.browser import CHROMIUM, check_in_browser, without_script

from sendvae.evaluation.measuring import choose
from sendvae.evaluation.networks import FeatureNetwork
from sendvae.experiments.demo_texts import COLUMNS, METHODS, NETWORKS, PAPER
from sendvae.experiments.pictures import principal_colours, save_grid
from sendvae.experiments.summary import CorrelationResult, Curve, Difference, Run, Summary
from sendvae.latents import SCORES
from sendvae.quantities import Quantity
from sendvae.report.demo import verdict, write_demo

GENERATION = {"fd-mobilenet-v2", "kd-mobilenet-v2", "precision-mobilenet-v2", "recall-mobilenet-v2"}


def quantities() -> dict[str, Quantity]:
    """How the demo's columns are read, from the tables of metrics and scores."""
    network = FeatureNetwork("mobilenet-v2", torch.nn.Identity(), lambda x: x)  # type: ignore[arg-type]
    rows = {}
    for chosen in (
        choose(["fd", "psnr", "ssim", "perceptual"], network, "effnet-lite1-perceptual"),
        choose(["fd", "kd", "precision", "recall"], network),
    ):
        rows |= {chosen.name(key): chosen.quantity(key) for key in chosen.order}
    rows |= {name: quantity for score in SCORES.values() for name, quantity in score.quantities.items()}
    return {name: rows[name] for name in COLUMNS}


def make_summary(folder: Path, f1: dict[str, float], fd: dict[str, float]) -> Summary:
    runs = []
    for seed in (0, 1):
        for name in METHODS:
            if name == "base" and seed:
                continue
            metrics = {key: 1.0 for key in COLUMNS if name != "base" or key not in GENERATION}
            metrics["f1_macro"] = f1.get(name, 0.1) + 0.01 * seed
            if name != "base":
                metrics["fd-mobilenet-v2"] = fd.get(name, 99.0) + seed
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
        CorrelationResult(x=x, y="fd-mobilenet-v2", r=-0.4567, p=0.3, interval=(-0.9, 0.4), n=8)
        for x in ("f1_macro", "f1_micro")
    ]
    return Summary(
        title="A <script>alert(1)</script> title", created="2026-01-01T00:00:00+00:00", command="sendvae demo", seeds=[0, 1],
        quick=False, environment={"device": "cpu", "commit": "abc"}, data={"train": 10}, data_licences=["CC-BY"],
        networks=NETWORKS, methods=list(METHODS.values()), metrics=quantities(), runs=runs, originals="originals.png",
        correlations=correlations, paper=PAPER, stages={"sampling": 61.0}, peak_memory_gib=1.25,
        config={"sampling": {"steps": 8, "method": "euler"}},
    )  # fmt: skip


@pytest.fixture
def summary(tmp_path: Path) -> Summary:
    return make_summary(tmp_path, {"send-vae": 0.6}, {"plain": 10.0})


def test_page_needs_nothing_else(summary: Summary, tmp_path: Path) -> None:
    text = without_script(write_demo(summary, tmp_path, tmp_path / "report.html").read_text())
    assert not re.search(r"<(link|script|iframe)\b|@import|url\(|(src|href)=\"(?!data:|#)", text)
    assert text.count("data:image/png;base64,") == 5 + 5 + 4 + 1
    assert "-0.457" in text
    assert "spans zero" in text
    assert "not FID" in text


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning")
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1200, 400])
def test_page_in_a_browser(summary: Summary, tmp_path: Path, scheme: str, width: int) -> None:
    check_in_browser(write_demo(summary, tmp_path, tmp_path / "report.html"), scheme, width)


def test_hostile_text_is_escaped(summary: Summary, tmp_path: Path) -> None:
    text = without_script(write_demo(summary, tmp_path, tmp_path / "report.html").read_text())
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
    text = write_demo(summary.model_copy(update={"runs": runs}), tmp_path, tmp_path / "r.html").read_text()
    assert "<td>–</td>" in text


def test_summary_round_trip(summary: Summary, tmp_path: Path) -> None:
    summary.save(tmp_path / "summary.json")
    assert Summary.load(tmp_path / "summary.json") == summary


def test_principal_colours_find_the_leading_axis() -> None:
    z = torch.zeros(4, 3, 2, 2)
    z[:, 1] = torch.linspace(-1, 1, 16).view(4, 2, 2)
    z += 0.001 * torch.randn(z.shape)
    picture = principal_colours(z, z, 8)
    assert picture.shape == (4, 3, 8, 8)
    red = picture[:, 0, ::4, ::4].flatten().double()
    assert abs(torch.corrcoef(torch.stack([red, z[:, 1].flatten().double()]))[0, 1]) > 0.99


def test_a_lead_that_the_test_images_could_explain_is_called_one(tmp_path: Path) -> None:
    summary = make_summary(tmp_path, {"send-vae": 0.9}, {"send-vae": 10.0})
    for low, doubted in ((-0.01, True), (0.01, False)):
        lead = Difference(method="send-vae", metric="f1_macro", value=0.02, interval=(low, 0.04))
        other = Difference(method="mapper", metric="f1_macro", value=-0.02, interval=(-0.04, -0.01))
        told = summary.model_copy(update={"differences": [lead, other]})
        assert ("could explain its lead in Attribute F1" in verdict(told)) is doubted
        page = write_demo(told, tmp_path, tmp_path / "report.html").read_text()
        assert f"Send-VAE +0.020 [{low:+.3f}, +0.040], Mapper, no noise -0.020 [-0.040, -0.010]." in page
        assert "Attribute F1 minus that of Plain" in page
    assert "minus that of" not in write_demo(summary, tmp_path, tmp_path / "bare.html").read_text()
