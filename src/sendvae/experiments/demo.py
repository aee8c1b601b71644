"""The paper's experiment in small, as cells: one base tokenizer, four ways of fine-tuning it, one SiT on each."""

from __future__ import annotations

from collections.abc import Sequence

from sendvae.config import (
    DemoConfig,
    DiffusionConfig,
    EvaluationConfig,
    TokenizerConfig,
    load_config,
    load_expected,
)
from sendvae.data import open_embedded
from sendvae.experiments import demo_texts as texts
from sendvae.experiments.about import About
from sendvae.experiments.cell import Cell, Stage, build_cell

BASE = "base"
SPLITS = ("train", "val", "test")


def demo_cells(config: DemoConfig, seeds: Sequence[int], from_scratch: bool = False) -> list[Cell]:
    """Return the base tokenizer's cell, then one of every method and seed.

    Args:
        from_scratch: train the base tokenizer instead of taking the one that ships.
    """
    evaluation = _evaluation(config)
    trained = _base(config) if from_scratch else None
    cells = [build_cell(BASE, trained or config.base, None, evaluation)]
    for seed in seeds:
        shared = _overrides(config, seed)
        for preset in config.methods:
            method = preset.rpartition("/")[2]
            tokenizer = [f"init={config.base}", f"loop.images={config.tokenizer_images}", *shared]
            diffusion = [f"loop.images={config.diffusion_images}", *shared]
            cells.append(
                build_cell(
                    f"{method}-{seed}",
                    load_config(TokenizerConfig, preset, tokenizer),
                    load_config(DiffusionConfig, config.diffusion, diffusion),
                    evaluation,
                    config.sampling,
                    seed=seed,
                    method=method,
                    init=trained,
                    expected=load_expected(preset),
                )
            )
    return cells


def about_demo(config: DemoConfig, command: str, quick: bool = False) -> About:
    """Return what the demo's page says besides its numbers."""
    images = {split: open_embedded("emoji", split, config.limit) for split in SPLITS}
    train = images["train"]
    methods = [preset.rpartition("/")[2] for preset in config.methods]
    return About(
        title=texts.TITLE,
        lead=texts.LEAD,
        warning=texts.QUICK if quick else "",
        command=command,
        methods=[texts.METHODS[name] for name in (BASE, *methods) if name in texts.METHODS],
        base=BASE,
        control=texts.CONTROL,
        columns=list(texts.COLUMNS),
        headline=texts.HEADLINE,
        compared=list(texts.COMPARED),
        correlated=list(texts.CORRELATED),
        networks=texts.NETWORKS,
        paper=texts.PAPER,
        data={
            "images": "emoji artwork of three makers",
            **{split: len(part) for split, part in images.items()},
            "classes": len(train.class_names),
            "attributes": len(train.attributes.names),
        },
        licences=train.licences,
        config=config.model_dump(mode="json"),
    )


def _base(config: DemoConfig) -> Stage:
    """The stage that trains the base tokenizer."""
    overrides = [f"loop.images={config.base_images}", *_overrides(config, seed=0)]
    base = load_config(TokenizerConfig, "demo/base", overrides)
    return Stage("tokenizer", BASE, base, {"init": base.init})


def _overrides(config: DemoConfig, seed: int) -> list[str]:
    """What every training of the demo gets."""
    limit = "null" if config.limit is None else config.limit
    return [f"seed={seed}", f"data.limit={limit}"]


def _evaluation(config: DemoConfig) -> EvaluationConfig:
    """The demo's protocols, of as many images as it trains on."""
    given, limit = config.evaluation, config.limit
    if limit is None:
        return given
    return given.model_copy(
        update={
            "latents": given.latents.model_copy(update={"limit": limit}),
            "generation": given.generation.model_copy(update={"reference_limit": limit}),
        }
    )
