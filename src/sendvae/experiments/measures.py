"""Measurements of tokenizers, samples and generators by `evaluation`, with their results in the folder of a stage."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from sendvae.config import DiffusionConfig, LatentsConfig, SamplesConfig, TokenizerScoresConfig
from sendvae.data import ImageSet, open_held_out, open_images
from sendvae.evaluation import (
    Encoded,
    measure_generation,
    measure_latents,
    measure_reconstruction,
    reconstruct,
)
from sendvae.evaluation.diffusion_model import load_model
from sendvae.evaluation.encoded import make_encoder
from sendvae.evaluation.inputs import describe_input
from sendvae.evaluation.latents import open_data
from sendvae.evaluation.results import Result
from sendvae.evaluation.sample_job import write_samples
from sendvae.evaluation.velocity_loss import measure_velocity_loss, picked_images
from sendvae.experiments.pictures import principal_colours, save_grid
from sendvae.files import write_text
from sendvae.latents import TensorRows
from sendvae.tokenizers import Tokenizer, load_tokenizer
from sendvae.training import cached_latents

RESAMPLED = "resampled.json"
RESAMPLED_DIGITS = 6
COLUMNS = 8  # images in a row of a picture
SAMPLES = "samples.npz"


def score_tokenizer(
    config: TokenizerScoresConfig,
    source: str,
    folder: Path,
    cache: Path,
    device: torch.device,
    name: str,
) -> None:
    """Score a tokenizer's latent space and its reconstructions of the test images.

    Probes and mixtures are fitted on train and tuned on val. Images are encoded once, into the cache that
    training uses too. The folder gets `latents` and `reconstruction` with a result each, pictures, and the scores
    of every resample of the test images, by which tokenizers are compared.

    Args:
        config: the protocols, and the number of images in a picture.
        source: the name or path of the tokenizer.
        folder: the folder of the stage.
        cache: the folder that keeps latents and measurements of the originals.
        device: the device that computes.
        name: the name of the tokenizer in tables.
    """
    images = open_data(config.latents)
    tokenizer = load_tokenizer(source).to(device)
    latents = {
        split: cached_latents(cache, tokenizer, part, device, f"{name}: {split} latents")
        .fields["mean"]
        .float()
        for split, part in images.items()
    }
    reconstruction = measure_reconstruction(
        tokenizer,
        images["test"],
        config.reconstruction,
        device,
        folder=folder / "reconstruction",
        cache=cache,
        name=name,
    )
    _save(reconstruction, folder / "reconstruction")
    rows, protocol = {split: TensorRows(z) for split, z in latents.items()}, config.latents
    encoder = make_encoder(
        tokenizer, device, protocol.latent, protocol.precision, protocol.seed, protocol.batch_size
    )
    encoded = Encoded(name, rows, encoder.weights, source, encoder.decode, tokenizer.one_size)
    space = _save(measure_latents([encoded], images, config.latents, device), folder / "latents")
    resampled = {
        score: [round(value, RESAMPLED_DIGITS) for value in values]
        for score, values in space.subjects[0].resampled.items()
    }
    write_text(folder / RESAMPLED, json.dumps(resampled) + "\n")
    _draw(config, tokenizer, images["test"], latents["test"], folder)


def probe_latents(
    config: LatentsConfig, source: str, folder: Path, cache: Path, device: torch.device
) -> None:
    """Score a tokenizer's latents of the images that the protocol names. The folder gets `latents` with the result."""
    _save(
        measure_latents([source], config.data, config, device, folder=folder / "latents", cache=cache),
        folder / "latents",
    )


def _draw(
    config: TokenizerScoresConfig, tokenizer: Tokenizer, images: ImageSet, latents: Tensor, folder: Path
) -> None:
    """Draw some test images, which are the same for every tokenizer, with their reconstructions and latents."""
    rng = np.random.default_rng(0)
    shown = np.sort(rng.choice(len(images), min(config.shown, len(images)), replace=False))
    originals = images.batch(shown).images
    pictures = {
        "originals": originals,
        "reconstructions": reconstruct(tokenizer, originals, config.reconstruction.precision),
        "latents": principal_colours(latents, latents[shown], originals.shape[-1]),
    }
    for name, picture in pictures.items():
        save_grid(picture, folder / f"{name}.png", COLUMNS)


def draw_and_measure(
    config: SamplesConfig,
    run: str,
    tokenizer: str,
    folder: Path,
    cache: Path,
    device: torch.device,
    name: str,
    step: int | None = None,
) -> None:
    """Draw samples of a diffusion model, and compare them with a reference.

    The folder gets the samples with their record, a picture of the first ones, and `generation` with the result.

    Args:
        config: the settings of sampling, the protocol and the reference.
        run: the run of the diffusion model, or its name.
        tokenizer: the tokenizer that decodes.
        folder: the folder of the stage.
        cache: the folder that keeps measurements of the reference.
        device: the device that computes.
        name: the name of the samples in tables.
        step: the step of a checkpoint of the run; None: the end of the training.
    """
    target = folder / SAMPLES
    write_samples(load_model(run, tokenizer, step), config.sampling, target, device)
    shown = range(min(config.shown, config.sampling.images))
    save_grid(open_images(str(target)).batch(shown).images, folder / "samples.png", COLUMNS)
    result = measure_generation(
        str(target), config.reference, config.generation, device, cache=cache, name=name
    )
    _save(result, folder / "generation")


def validate_generator(
    config: DiffusionConfig,
    run: str,
    tokenizer: str,
    folder: Path,
    cache: Path,
    device: torch.device,
    name: str,
) -> None:
    """Measure the velocity loss of a run on images of its data that it was not trained on.

    The folder gets `validation` with the result. It gets nothing where the data have no such images (given latents, or
    a folder without splits), or where the run was trained on random crops.

    Args:
        config: the configuration of the run.
        run: the folder of the run.
        tokenizer: the tokenizer on whose latents the run was trained.
        folder: the folder of the stage.
        cache: the folder that keeps latents.
        device: the device that computes.
        name: the name of the run in tables.
    """
    data = config.data
    images = None if data.crop == "random" else open_held_out(data.source, data.split, data.limit)
    if images is None:
        return
    model = load_model(run, tokenizer).to(device)
    assert model.tokenizer.latent_stats is not None  # `load_model` sees to it
    latents = cached_latents(cache, model.tokenizer, images, device, f"{name}: validation latents").fields
    picked = picked_images(len(images))
    result = measure_velocity_loss(
        model.generator,
        model.tokenizer.latent_stats,
        latents["mean"][picked],
        latents["std"][picked],
        images.labels_of(picked),
        picked,
        describe_input(data.source, images),
        device,
        name,
    )
    _save(result, folder / "validation")


def _save(result: Result | None, folder: Path) -> Result:
    assert result is not None  # a stage runs in one process
    result.save(folder)
    return result


def load_resampled(folder: Path) -> Mapping[str, list[float]]:
    """Return the scores of every resample that a stage kept, by name of the score; empty if it kept none."""
    path = folder / RESAMPLED
    return json.loads(path.read_text()) if path.is_file() else {}
