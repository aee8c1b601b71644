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
from sendvae.experiments.cell import Stage
from sendvae.experiments.demo import about_demo, demo_cells

BUDGETS = ["base_images=32", "tokenizer_images=64", "diffusion_images=96", "limit=20", "base=another"]


@pytest.fixture
def config() -> DemoConfig:
    return load_config(DemoConfig, "demo/quick", ["methods=[demo/send-vae]", *BUDGETS])


@pytest.mark.parametrize("from_scratch", [False, True])
def test_every_network_is_trained_on_the_one_before_it(from_scratch: bool, config: DemoConfig) -> None:
    base, cell = demo_cells(config, [5], from_scratch)
    assert (cell.name, cell.method, cell.seed) == ("send-vae-5", "send-vae", 5)
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
        assert start == "another"
    tokenizer, sit = cell.stages["tokenizer"], cell.stages["diffusion"]
    assert tokenizer.inputs == {"init": start}
    assert isinstance(tokenizer.config, TokenizerConfig)
    assert (tokenizer.config.seed, tokenizer.config.loop.images, tokenizer.config.data.limit) == (5, 64, 20)
    assert tokenizer.config.alignment is not None
    assert sit.inputs == {"tokenizer": tokenizer}
    assert isinstance(sit.config, DiffusionConfig)
    assert (sit.config.seed, sit.config.loop.images, sit.config.data.limit) == (5, 96, 20)
    assert cell.stages["samples"].inputs == {"run": sit, "tokenizer": tokenizer}
    assert cell.stages["scores"].inputs == {"tokenizer": tokenizer}


def test_measurements_are_of_the_images_that_were_trained_on(config: DemoConfig) -> None:
    base, cell = demo_cells(config, [5])
    scores, samples = cell.stages["scores"].config, cell.stages["samples"].config
    assert base.stages["scores"].config == scores
    assert isinstance(scores, TokenizerScoresConfig)
    assert isinstance(samples, SamplesConfig)
    assert (scores.latents.limit, samples.generation.reference_limit) == (20, 20)
    assert scores.reconstruction == config.evaluation.reconstruction
    assert samples.sampling.model_dump(exclude={"kind", "seed"}) == config.sampling.model_dump()
    assert samples.sampling.seed == 5
    whole = load_config(DemoConfig, "demo/full")
    _, cell = demo_cells(whole, [0])[:2]
    assert isinstance(cell.stages["scores"].config, TokenizerScoresConfig)
    assert cell.stages["scores"].config.latents == whole.evaluation.latents


def test_every_method_of_every_seed_is_a_cell() -> None:
    config = load_config(DemoConfig, "demo/full")
    cells = demo_cells(config, [0, 1])
    names = ["plain", "direct", "mapper", "send-vae"]
    assert [cell.name for cell in cells] == ["base", *(f"{name}-{seed}" for seed in (0, 1) for name in names)]
    about = about_demo(config, "sendvae demo")
    assert [method.name for method in about.methods] == ["base", *names]
    assert (about.data["train"], about.data["test"], about.warning) == (6601, 2161, "")
    assert about_demo(config, "", quick=True).warning
