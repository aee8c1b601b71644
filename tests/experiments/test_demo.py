"""The demo's chain: which tokenizer each training starts from, with which seed, on how many images."""

from __future__ import annotations

import pytest

from sendvae.config import (
    DemoConfig,
    DiffusionConfig,
    SamplesConfig,
    TokenizerConfig,
    TokenizerScoresConfig,
    load_config,
)
from sendvae.diffusion import DIFFUSION_MODELS
from sendvae.experiments.cell import Cell, Stage
from sendvae.experiments.curves import load_curves
from sendvae.experiments.demo import about_demo, demo_cells
from sendvae.published import PUBLISHED

BUDGETS = ["base_images=32", "tokenizer_images=64", "diffusion_images=96", "limit=20"]


@pytest.fixture
def config() -> DemoConfig:
    return load_config(DemoConfig, "demo/quick", BUDGETS)


def by_name(cells: list[Cell]) -> dict[str, Cell]:
    return {cell.name: cell for cell in cells}


@pytest.mark.parametrize("from_scratch", [False, True])
def test_a_method_is_trained_on_the_base(from_scratch: bool, config: DemoConfig) -> None:
    config = config.model_copy(update={"base": "demo-plain"})
    cells = by_name(demo_cells(config, [5], from_scratch))
    base, cell = cells["base"], cells["send-vae-5"]
    assert (cell.method, cell.seed) == ("send-vae", 5)
    start = base.stages["scores"].inputs["tokenizer"]
    assert list(base.stages) == (["tokenizer", "scores"] if from_scratch else ["scores"])
    if from_scratch:
        assert isinstance(start, Stage)
        trained = start.config
        assert isinstance(trained, TokenizerConfig)
        fresh = load_config(TokenizerConfig, "demo/base").init
        assert (start.inputs, trained.seed, trained.loop.images) == ({"init": fresh}, 0, 32)
        assert trained.data.limit == 20
        assert base.stages["tokenizer"] is start
    else:
        assert start == "demo-plain"
    tokenizer = cell.stages["tokenizer"]
    assert list(cell.stages) == ["tokenizer", "scores"]
    assert tokenizer.inputs == {"init": start}
    assert isinstance(tokenizer.config, TokenizerConfig)
    assert (tokenizer.config.seed, tokenizer.config.loop.images, tokenizer.config.data.limit) == (5, 64, 20)
    assert tokenizer.config.alignment is not None
    assert cell.stages["scores"].inputs == {"tokenizer": tokenizer}


def test_generators_are_trained_and_sampled_on_latents_that_ship(config: DemoConfig) -> None:
    cells = by_name(demo_cells(config, [5]))
    for name in config.latents:
        cell = cells[f"sit-{name}-5"]
        assert (cell.method, cell.seed, list(cell.stages)) == (f"sit-{name}", 5, ["diffusion", "samples"])
        sit = cell.stages["diffusion"]
        assert sit.inputs == {"tokenizer": name}
        assert isinstance(sit.config, DiffusionConfig)
        assert (sit.config.seed, sit.config.loop.images, sit.config.data.limit) == (5, 96, 20)
        assert cell.stages["samples"].inputs == {"run": sit, "tokenizer": name}


def test_what_ships_is_scored_and_sampled_as_it_is(config: DemoConfig) -> None:
    cells = by_name(demo_cells(config, [5]))
    for model in config.models:
        tokenizer = DIFFUSION_MODELS[model].tokenizer
        cell = cells[tokenizer]
        assert cell.seed == 0
        assert list(cell.stages) == ["samples", "scores"]
        assert cell.stages["samples"].inputs == {"run": model, "tokenizer": tokenizer}
        assert cell.stages["scores"].inputs == {"tokenizer": tokenizer}
    alone = by_name(demo_cells(config.model_copy(update={"models": []}), []))
    assert [list(cell.stages) for cell in alone.values()] == [["scores"]] * (1 + len(config.tokenizers))


def test_measurements_are_of_the_images_that_were_trained_on(config: DemoConfig) -> None:
    cells = by_name(demo_cells(config, [5]))
    scores = {name: cell.stages["scores"].config for name, cell in cells.items() if "scores" in cell.stages}
    first = scores["base"]
    assert isinstance(first, TokenizerScoresConfig)
    assert all(one == first for one in scores.values())
    assert first.latents.limit == 20
    assert first.reconstruction == config.evaluation.reconstruction
    for name, seed in (("demo-plain", 0), ("sit-demo-plain-5", 5)):
        samples = cells[name].stages["samples"].config
        assert isinstance(samples, SamplesConfig)
        assert samples.generation.reference_limit == 20
        assert samples.sampling.model_dump(exclude={"kind", "seed"}) == config.sampling.model_dump()
        assert samples.sampling.seed == seed
    whole = load_config(DemoConfig, "demo/full")
    cell = demo_cells(whole, [0])[0]
    assert isinstance(cell.stages["scores"].config, TokenizerScoresConfig)
    assert cell.stages["scores"].config.latents == whole.evaluation.latents


def test_the_page_opens_with_what_ships_and_knows_every_method() -> None:
    config = load_config(DemoConfig, "demo/full")
    cells = demo_cells(config, [0, 1])
    shipped, trained = list(config.tokenizers), ["send-vae", *(f"sit-{name}" for name in config.latents)]
    names = [f"{name}-{seed}" for seed in (0, 1) for name in trained]
    assert [cell.name for cell in cells] == [*shipped, "base", *names]
    about = about_demo(config, "sendvae demo")
    assert {cell.method for cell in cells} <= {method.name for method in about.methods}
    assert {about.control, about.contender} <= set(shipped)
    assert (about.data["train"], about.data["test"], about.warning) == (6601, 2161, "")
    assert about_demo(config, "", quick=True).warning


def test_sentences_of_study_and_paper_hold_the_stored_numbers() -> None:
    study, paper = about_demo(load_config(DemoConfig, "demo/full"), "").conclusions
    curves = load_curves()
    (*_, last) = curves.telling("fd-mobilenet-v2", 1.0)
    assert f"{last.value:+.0f} after {last.images:,} images (one seed)" in study
    for row in ("send-vae", "vavae", "invae"):
        assert f"{PUBLISHED['send-vae-sit-b1-80'].rows[row].values['fid']:.2f}" in paper
