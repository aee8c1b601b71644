"""The demo's cells: models that ship are measured, and a short training of them is done while the user watches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from sendvae.config import (
    DemoConfig,
    DiffusionConfig,
    EvaluationConfig,
    TokenizerConfig,
    load_config,
    load_expected,
)
from sendvae.data import open_embedded
from sendvae.diffusion import DIFFUSION_MODELS
from sendvae.experiments import demo_texts as texts
from sendvae.experiments.about import About
from sendvae.experiments.cell import Cell, Stage, build_cell
from sendvae.experiments.curves import load_curves

BASE = "base"
SPLITS = ("train", "val", "test")


def demo_cells(config: DemoConfig, seeds: Sequence[int], from_scratch: bool = False) -> list[Cell]:
    """Return the cells in the order of the page: models that ship, the base, then the trainings of every seed.

    Args:
        config: the demo's models, protocols and numbers of images.
        seeds: the seeds of the trainings.
        from_scratch: whether to train the base tokenizer instead of taking the one that ships.
    """
    evaluation = _evaluation(config)
    trained = _base(config) if from_scratch else None
    models = {DIFFUSION_MODELS[name].tokenizer: name for name in config.models}
    cells = [
        build_cell(name, name, models.get(name), evaluation, config.sampling) for name in config.tokenizers
    ]
    cells.append(build_cell(BASE, trained or config.base, None, evaluation))
    for seed in seeds:
        shared = _overrides(config, seed)
        for preset in config.methods:
            method = preset.rpartition("/")[2]
            tokenizer = [f"init={config.base}", f"loop.images={config.tokenizer_images}", *shared]
            cells.append(
                build_cell(
                    f"{method}-{seed}",
                    load_config(TokenizerConfig, preset, tokenizer),
                    None,
                    evaluation,
                    seed=seed,
                    method=method,
                    init=trained,
                    expected=load_expected(preset),
                )
            )
        for name in config.latents:
            diffusion = [f"loop.images={config.diffusion_images}", *shared]
            model = load_config(DiffusionConfig, config.diffusion, diffusion)
            cell = build_cell(
                f"sit-{name}-{seed}",
                name,
                model,
                evaluation,
                config.sampling,
                seed=seed,
                method=f"sit-{name}",
            )
            # The cell of the tokenizer has its scores.
            cells.append(replace(cell, stages={k: v for k, v in cell.stages.items() if k != "scores"}))
    return cells


def about_demo(config: DemoConfig, command: str, quick: bool = False) -> About:
    """Return the texts and choices of the demo's page."""
    images = {split: open_embedded("emoji", split, config.limit) for split in SPLITS}
    train = images["train"]
    return About(
        title=texts.TITLE,
        lead=texts.LEAD,
        warning=texts.QUICK if quick else "",
        command=command,
        methods=list(texts.METHODS),
        base=BASE,
        control=texts.CONTROL,
        contender=texts.CONTENDER,
        trained=(BASE, texts.TRAINED_METHOD),
        columns=list(texts.COLUMNS),
        headline=texts.HEADLINE,
        compared=list(texts.COMPARED),
        networks=texts.NETWORKS,
        paper=texts.PAPER,
        curves=True,
        conclusions=[texts.study_conclusion(load_curves()), texts.paper_conclusion()],
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
    """Return the stage that trains the base tokenizer."""
    overrides = [f"loop.images={config.base_images}", *_overrides(config, seed=0)]
    base = load_config(TokenizerConfig, "demo/base", overrides)
    return Stage("tokenizer", BASE, base, {"init": base.init})


def _overrides(config: DemoConfig, seed: int) -> list[str]:
    """Return the overrides that every training of the demo gets."""
    limit = "null" if config.limit is None else config.limit
    return [f"seed={seed}", f"data.limit={limit}"]


def _evaluation(config: DemoConfig) -> EvaluationConfig:
    """Return the demo's protocols, limited to as many images as it trains on."""
    given, limit = config.evaluation, config.limit
    if limit is None:
        return given
    return given.model_copy(
        update={
            "latents": given.latents.model_copy(update={"limit": limit}),
            "generation": given.generation.model_copy(update={"reference_limit": limit}),
        }
    )
