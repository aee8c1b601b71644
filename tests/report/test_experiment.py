"""The page of an experiment, here the demo's: self-contained, honest, robust."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from playwright.sync_api import Browser
from tests.report.browser import LOOKS, check_in_browser, opened, seconds_to_open, without_script

from sendvae.config import DemoConfig, Expected, load_config
from sendvae.evaluation.measuring import choose
from sendvae.evaluation.networks import FeatureNetwork
from sendvae.evaluation.results import Number
from sendvae.experiments.about import About
from sendvae.experiments.curves import load_curves
from sendvae.experiments.demo import about_demo
from sendvae.experiments.demo_texts import COLUMNS
from sendvae.experiments.pictures import principal_colours, save_grid
from sendvae.experiments.record import CellRecord, CellResult, Record, TrainingCurve
from sendvae.latents import SCORES
from sendvae.quantities import Quantity
from sendvae.report.cells import Experiment
from sendvae.report.experiment import PICTURE_BYTES, draw
from sendvae.report.page import RELOAD_SECONDS
from sendvae.report.verdict import verdict

NAMES = ("base", "demo-plain", "demo-direct", "demo-mapper", "demo-send-vae")
GENERATION = {"fd-mobilenet-v2", "kd-mobilenet-v2", "precision-mobilenet-v2", "recall-mobilenet-v2"} | {
    "class_accuracy-mobilenet-v2"
}


def quantities() -> dict[str, Quantity]:
    """How the demo's columns are read, from the tables of metrics and scores."""
    network = FeatureNetwork("mobilenet-v2", torch.nn.Identity(), lambda x: x)  # type: ignore[arg-type]
    rows = {}
    for chosen in (
        choose(["fd", "psnr", "ssim", "perceptual"], network, "effnet-lite1-perceptual"),
        choose(["fd", "kd", "precision", "recall", "class"], network),
    ):
        rows |= {chosen.name(key): chosen.quantity(key) for key in chosen.order}
    rows |= {name: quantity for score in SCORES.values() for name, quantity in score.quantities.items()}
    return {name: rows[name] for name in COLUMNS}


STATES = {"tokenizer": "finished", "diffusion": "finished", "samples": "finished", "scores": "finished"}


def make_cell(folder: Path, method: str, seed: int, f1: float, distance: float) -> CellResult:
    names = [key for key in COLUMNS if method != "base" or key not in GENERATION]
    values = dict.fromkeys(names, 1.0) | {"f1_macro": f1 + 0.01 * seed}
    if method != "base":
        values["fd-mobilenet-v2"] = distance + seed
    pictures = {}
    for kind in ("originals", "reconstructions", "latents", "samples"):
        if kind != "samples" or method != "base":
            pictures[kind] = folder / f"{method}-{seed}-{kind}.png"
            save_grid(torch.randint(0, 256, (8, 3, 16, 16), dtype=torch.uint8), pictures[kind], 8)
    curves = {
        "tokenizer": TrainingCurve([1, 2], {"alignment": [0.9, None]}),
        "diffusion": TrainingCurve([1, 2], {"velocity": [2.0, 1.0]}),
    }
    return CellResult(
        name=f"{method}-{seed}", method=method, seed=seed, expected=[], states=dict(STATES),
        metrics={key: Number(value=value) for key, value in values.items()}, quantities=quantities(), curves=curves,
        pictures=pictures, attribute_f1={"<b>hair</b>": 0.5, "face": 0.1}, peak_memory_gib=1.25,
    )  # fmt: skip


def make_experiment(
    folder: Path, f1: dict[str, float], fd: dict[str, float], **changes: object
) -> Experiment:
    cells = [
        make_cell(folder, method, seed, f1.get(method, 0.1), fd.get(method, 99.0))
        for seed in (0, 1)
        for method in NAMES
        if method != "base" or seed == 0
    ]
    about = about_demo(load_config(DemoConfig, "demo/quick"), "sendvae demo --quick")
    about = about.model_copy(update={"title": "A <script>alert(1)</script> title", **changes})
    return of(cells, about)


def of(cells: list[CellResult], about: About) -> Experiment:
    record = Record(
        created="2026-01-01T00:00:00+00:00", environment={"device": "cpu", "commit": "abc"}, about=about,
        cells=[CellRecord(name=c.name, method=c.method, seed=c.seed, stages={}) for c in cells],
    )  # fmt: skip
    return Experiment(record, cells, {"samples": 61.0})


@pytest.fixture
def experiment(tmp_path: Path) -> Experiment:
    return make_experiment(tmp_path, {"demo-send-vae": 0.6}, {"demo-plain": 10.0})


def page_of(experiment: Experiment, tmp_path: Path) -> str:
    return draw(experiment, tmp_path / "report.html").read_text()


def test_page_needs_nothing_else(experiment: Experiment, tmp_path: Path) -> None:
    text = without_script(page_of(experiment, tmp_path))
    assert not re.search(r"<(link|iframe)\b|@import|url\(|(src|href)=\"(?!data:|#)", text)
    assert (
        text.count("data:image/png;base64,") == 5 + 5 + 4 + 1 + 1
    )  # originals and the picture beside the curves last
    assert "not FID" in text
    assert "Not finished" not in text
    assert "1.2 GiB" in text
    assert "1.0 minutes of work on cpu" in text


def test_charts_say_their_values_to_the_pointer_and_to_the_keyboard(
    chromium: Browser, experiment: Experiment, tmp_path: Path
) -> None:
    with opened(chromium, draw(experiment, tmp_path / "report.html")) as page:
        figure = page.locator("figure:has(svg[role=img])").first
        chart, said = figure.locator("svg[role=img]"), figure.locator("output")
        titles = [title.strip() for title in figure.locator(".shown title").all_text_contents()]
        assert len(titles) > 3
        assert not said.is_visible()
        assert chart.get_attribute("tabindex") == "0"
        chart.focus()
        for press, expected in (("ArrowRight", 0), ("ArrowRight", 1), ("ArrowLeft", 0), ("ArrowLeft", -1)):
            page.keyboard.press(press)
            assert said.inner_text() == titles[expected]
            assert figure.locator(".on").count() == 1
        page.keyboard.press("Tab")
        assert not said.is_visible()
        figure.locator(".shown").last.hover(force=True)  # the one on top
        assert said.inner_text() == titles[-1]
        page.mouse.move(0, 0)
        assert not said.is_visible()


def test_without_javascript_the_page_reads(chromium: Browser, experiment: Experiment, tmp_path: Path) -> None:
    with opened(chromium, draw(experiment, tmp_path / "report.html"), javascript=False) as page:
        assert page.locator("h1").is_visible()
        assert page.locator("output").count() == 0
        chart = page.locator("svg[role=img]").first
        assert chart.bounding_box()["width"] > 100  # type: ignore[index]
        assert ": " in str(page.locator(".shown title").first.text_content())  # browsers show it on hover
        sizes = page.locator("figure img").evaluate_all("all => all.map(i => i.naturalWidth)")
        assert sizes
        assert all(sizes)


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning")
@pytest.mark.parametrize(("width", "scheme"), LOOKS)
def test_page_in_a_browser(
    chromium: Browser, experiment: Experiment, tmp_path: Path, scheme: str, width: int
) -> None:
    check_in_browser(chromium, draw(experiment, tmp_path / "report.html"), scheme, width)


def test_a_page_of_a_hundred_cells_is_small_and_opens_at_once(chromium: Browser, tmp_path: Path) -> None:
    """Pictures of a real size, and long curves; those without room are named."""
    picture = tmp_path / "noise.png"  # which nothing compresses
    save_grid(torch.randint(0, 256, (32, 3, 64, 64), dtype=torch.uint8), picture, 8)
    images = list(range(0, 400_000, 400))
    curve = TrainingCurve(
        images, {"velocity": [1 / (1 + i / 1e5) for i in images], "repa": [-i / 1e6 for i in images]}
    )
    cells = [
        replace(
            make_cell(tmp_path, "demo-plain", 0, 0.1, 10.0 + i),
            name=f"cell-{i}",
            method=f"cell {i}",
            curves={"diffusion": curve},
            pictures={"samples": picture, "latents": picture},
        )
        for i in range(100)
    ]
    experiment = of(cells, About(headline=("f1_macro", "fd-mobilenet-v2")))
    page = draw(experiment, tmp_path / "report.html")
    text = page.read_text()
    assert page.stat().st_size < 10_000_000
    shown = text.count('alt="samples of')
    assert 3 <= shown == text.count('alt="latents of') < 100
    assert shown == PICTURE_BYTES // (2 * picture.stat().st_size)
    assert f"For the pictures of {100 - shown} more there is no room" in text
    assert text.count('<th scope="row"><svg class="key mark"') == 100
    assert seconds_to_open(chromium, page) < 1.0


def test_a_live_page_follows_its_run(experiment: Experiment, tmp_path: Path) -> None:
    waiting = replace(experiment.cells[1], states={**STATES, "samples": "missing"})
    running = of([waiting], experiment.about)
    live = draw(running, tmp_path / "report.html", live=True).read_text()
    assert f'<body data-reload="{RELOAD_SECONDS}">' in live
    assert f'<noscript><meta http-equiv="refresh" content="{RELOAD_SECONDS}"></noscript>' in live
    assert "Still running" in live
    assert "go on with" not in live
    still = draw(running, tmp_path / "report.html").read_text()
    assert "data-reload=" not in without_script(still)
    assert "http-equiv" not in still
    assert "go on with <code>sendvae demo --quick</code>" in still


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning")
def test_a_live_page_loads_itself_again(
    chromium: Browser, experiment: Experiment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sendvae.report.page.RELOAD_SECONDS", 0.3)
    page = draw(experiment, tmp_path / "report.html", live=True)
    assert "A changed title" not in page.read_text()
    with opened(chromium, page) as tab:
        for _ in range(
            20
        ):  # nobody who looks at a picture is interrupted; a click while the page loads is lost
            tab.locator("figure img").first.click()
            tab.wait_for_timeout(500)
            if tab.locator("dialog[open]").count():
                break
        changed = experiment.about.model_copy(update={"title": "A changed title"})
        draw(of(list(experiment.cells), changed), page)
        tab.wait_for_timeout(1000)
        assert tab.get_by_role("heading", name="A changed title").count() == 0
        tab.keyboard.press("Escape")
        tab.get_by_role("heading", name="A changed title").wait_for(timeout=5000)


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning")
def test_a_printed_page_is_whole(chromium: Browser, experiment: Experiment, tmp_path: Path) -> None:
    """On paper nothing is dark, cut at the right, or there to be clicked."""
    with opened(chromium, draw(experiment, tmp_path / "report.html")) as tab:
        tab.emulate_media(media="print", color_scheme="dark")
        tab.set_viewport_size({"width": 718, "height": 1000})  # A4 less its margins
        assert tab.evaluate("document.documentElement.scrollWidth") <= 718
        for table in tab.locator(".wide").all():
            assert table.evaluate("e => e.scrollWidth <= e.clientWidth")
        assert not tab.locator("label.toggle").is_visible()
        assert tab.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(252, 252, 251)"
        assert tab.pdf()[:4] == b"%PDF"


def test_hostile_text_is_escaped(experiment: Experiment, tmp_path: Path) -> None:
    text = without_script(draw(experiment, tmp_path / "report.html").read_text())
    assert "&lt;b&gt;hair" in text
    assert "<b>hair" not in text


def resample(experiment: Experiment, leads: dict[str, float], spread: float) -> Experiment:
    """Give every cell resamples of F1, around what it leads by."""
    for cell in experiment.cells:
        lead = leads.get(cell.method, 0.0)
        cell.metrics["f1_macro"] = Number(value=0.5 + lead)
        cell.resampled["f1_macro"] = [0.5 + lead + (spread * k if lead else 0.0) for k in (-1, 0, 1)]
    return experiment


@pytest.mark.parametrize(
    ("lead", "spread", "said"),
    [
        (0.065, 0.02, "is more separable than that of Plain (Attribute F1 +0.065 [+0.046, +0.084])"),
        (-0.065, 0.02, "is less separable than that of Plain (Attribute F1 -0.065 [-0.084, -0.046])"),
        (0.065, 0.1, "separates like that of Plain (Attribute F1 +0.065 [-0.030, +0.160])"),
    ],
)
def test_the_verdict_on_a_latent_space_follows_its_interval(
    tmp_path: Path, lead: float, spread: float, said: str
) -> None:
    experiment = resample(make_experiment(tmp_path, {}, {}), {"demo-send-vae": lead}, spread)
    assert f"This run: the latent space of Send-VAE {said}" in verdict(experiment)


def test_the_verdict_on_samples_follows_the_distance(tmp_path: Path) -> None:
    near = verdict(make_experiment(tmp_path, {}, {"demo-plain": 20.0, "demo-send-vae": 10.0}))
    far = verdict(make_experiment(tmp_path, {}, {"demo-plain": 10.0, "demo-send-vae": 20.0}))
    assert "lie nearer to real images (FD-MobileNetV2 10.50 against 20.50" in near
    assert "lie farther from real images (FD-MobileNetV2 20.50 against 10.50" in far


def test_the_verdict_compares_a_short_training_with_its_start(tmp_path: Path) -> None:
    experiment = resample(
        make_experiment(tmp_path, {}, {}, trained=("base", "demo-mapper")), {"demo-mapper": 0.05}, 0.02
    )
    assert "a short training raised separability (Attribute F1 +0.050 [+0.031, +0.069])" in verdict(
        experiment
    )
    nothing = resample(make_experiment(tmp_path, {}, {}, trained=("base", "demo-mapper")), {}, 0.0)
    assert "a short training did not move separability" in verdict(nothing)


def test_nothing_is_said_of_what_is_not_measured(tmp_path: Path) -> None:
    experiment = make_experiment(tmp_path, {}, {})
    for cell in experiment.cells:
        cell.metrics.pop("fd-mobilenet-v2", None)
    assert verdict(experiment) == ""
    assert verdict(of(list(experiment.cells), About())) == ""


def test_rows_of_another_part_do_not_compete(tmp_path: Path) -> None:
    """What was trained in a minute is neither marked as best nor held against the control."""
    experiment = resample(
        make_experiment(tmp_path, {}, {}), {"demo-mapper": 0.05, "demo-send-vae": 0.02}, 0.0
    )
    moved = [
        method.model_copy(update={"part": "trained in this run"}) if method.name == "demo-mapper" else method
        for method in experiment.about.methods
    ]
    other = of(list(experiment.cells), experiment.about.model_copy(update={"methods": moved}))
    assert experiment.best("f1_macro") == "demo-mapper"
    assert other.best("f1_macro") == "demo-send-vae"
    assert {d.method for d in other.differences("f1_macro")} == {"demo-direct", "demo-send-vae"}
    text = page_of(other, tmp_path)
    parts = re.findall(r'<tbody class="part"><tr><th[^>]*>([^<]*)</th>', text)
    assert parts == ["what ships", "trained in this run"]


def test_the_page_opens_with_the_learning_curves_that_ship(experiment: Experiment, tmp_path: Path) -> None:
    text = page_of(experiment, tmp_path)
    assert text.index("How two generators learn") < text.index("The comparison")
    curves = load_curves()
    for scale in curves.guidances:
        for one in curves.contrasts("fd-mobilenet-v2", scale):
            assert f"<td>{one.images:,}</td><td>{one.value:+.2f}" in text
    assert "How two generators learn" not in page_of(of(list(experiment.cells), About()), tmp_path)


def test_missing_metrics_are_dashes(experiment: Experiment, tmp_path: Path) -> None:
    for cell in experiment.cells[1:]:
        del cell.metrics["psnr"]
    assert "<td>–</td>" in page_of(experiment, tmp_path)


def test_an_unfinished_experiment_says_what_is_missing(experiment: Experiment, tmp_path: Path) -> None:
    empty = CellResult("demo-direct-0", "demo-direct", 0, [], states=dict.fromkeys(STATES, "missing"))
    begun = replace(
        experiment.cells[1],
        states={**STATES, "samples": "failed", "diffusion": "missing"},
        errors={"samples": "ValueError: <b>no"},
        metrics={"psnr": Number(value=26.5)},
        pictures={},
    )
    text = page_of(of([begun, empty], experiment.about), tmp_path)
    assert "go on with <code>sendvae demo --quick</code>" in text
    assert "demo-plain-0: samples failed (ValueError: &lt;b&gt;no); diffusion not done yet" in text
    assert "demo-direct-0: tokenizer, diffusion, samples, scores not done yet" in text
    assert "26.5" in text
    nothing = page_of(of([empty], experiment.about), tmp_path)
    assert "Not finished" in nothing
    assert "<table" in nothing


def test_a_page_without_any_texts(experiment: Experiment, tmp_path: Path) -> None:
    text = page_of(of(list(experiment.cells), About()), tmp_path)
    assert "<h1>Experiment</h1>" in text
    assert "demo-send-vae" in text
    assert "What the paper reports" not in text
    assert "verdict" not in text.split("</style>")[1]


def test_expected_numbers_stand_beside_what_was_found(experiment: Experiment, tmp_path: Path) -> None:
    expected = [
        Expected(metric="psnr", value=27.25, source="Table <7>"),
        Expected(metric="fid", value=3.0, source="Table 8"),
    ]
    cells = [replace(experiment.cells[2], expected=expected), *experiment.cells[3:]]
    text = page_of(of(cells, experiment.about), tmp_path)
    row = re.search(r'<th scope="row">demo-direct-0</th>(.*?)</tr>', text)
    assert row is not None
    assert re.findall(r"<td>(.*?)</td>", row[1]) == ["PSNR ↑", "27.25", "1.00", "Table &lt;7&gt;"]
    assert "<td>–</td><td>Table 8</td>" in text


def test_principal_colours_find_the_leading_axis() -> None:
    z = torch.zeros(4, 3, 2, 2)
    z[:, 1] = torch.linspace(-1, 1, 16).view(4, 2, 2)
    z += 0.001 * torch.randn(z.shape)
    picture = principal_colours(z, z, 8)
    assert picture.shape == (4, 3, 8, 8)
    red = picture[:, 0, ::4, ::4].flatten().double()
    assert abs(torch.corrcoef(torch.stack([red, z[:, 1].flatten().double()]))[0, 1]) > 0.99


def test_differences_from_the_control_stand_under_the_table(tmp_path: Path) -> None:
    leads = {"demo-send-vae": 0.02, "demo-mapper": -0.02}
    text = page_of(resample(make_experiment(tmp_path, {}, {}), leads, 0.04), tmp_path)
    assert "Send-VAE +0.020 [-0.018, +0.058]" in text
    assert "Mapper, no noise -0.020 [-0.058, +0.018]" in text
    assert "Attribute F1 minus that of Plain" in text
    assert "Base" not in text.split("minus that of Plain")[1].split("<")[0]
    assert "minus that of" not in page_of(
        make_experiment(tmp_path, {}, {}, curves=False, conclusions=[]), tmp_path
    )
