"""Tokenizers, generators and images that do not fit together: one error each at the command line, before any work."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import diffusers
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from tests.tokenizers.families import KL, save_small

from sendvae.tokenizers.export import write_component
from sendvae.tokenizers.maetok import MAETok, MAETokShape

Command = Callable[..., tuple[int, str, str]]
TRAIN = (
    "train",
    "diffusion",
    "demo/sit-tiny",
    "tokenizer=vae",
    "repa=null",
    "data.limit=8",
    "--run",
    "run",
    "--cache",
    "cache",
)
LATENTS = ("evaluate", "latents", "vae", "scores=[dimension]", "limit=8", "--cache", "cache")
RECONSTRUCTION = (
    "evaluate", "reconstruction", "vae", "--data", "DATA", "--protocol", "evaluate/embedded-reconstruction", "limit=4",
)  # fmt: skip
FINE_TUNING = (
    "train",
    "tokenizer",
    "demo/plain",
    "init=vae",
    "data.limit=8",
    "--run",
    "run",
    "--cache",
    "cache",
)
EXPORT = ("export", "vae", "--to", "diffusers", "--output", "exported")
CACHE = ("data", "cache-latents", "vae", "DATA", "cache", "--split", "val")


def configured(**fields: object) -> Callable[[Path], None]:
    """A tiny autoencoder whose configuration says something else."""

    def make(folder: Path) -> None:
        save_small("tiny", folder)
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps({**config, **fields}))

    return make


def half_normalised(folder: Path) -> None:
    """FLUX.2's, with the variances of its latents and without their means."""
    diffusers.AutoencoderKLFlux2(**KL).save_pretrained(folder)
    weights = load_file(folder / "diffusion_pytorch_model.safetensors")
    del weights["bn.running_mean"]
    save_file(weights, folder / "diffusion_pytorch_model.safetensors")


def half_declared(folder: Path) -> None:
    diffusers.AutoencoderKL(**KL, latents_mean=[0.5] * 4).save_pretrained(folder)


def small(folder: Path) -> None:
    diffusers.AutoencoderKL(**KL).save_pretrained(folder)


def tokens(folder: Path) -> None:
    folder.mkdir()
    shape = MAETokShape(tokens=10, dims=6, size=64, patch=16, width=128, depth=1, heads=2)
    write_component(MAETok(shape), folder)


def refused(command: Command, arguments: tuple[str, ...], data: str = "embedded:emoji", *more: str) -> str:
    """The one error of a command that leaves nothing behind."""
    before = sorted(Path().rglob("*"))
    code, output, errors = command(*(word.replace("DATA", data) for word in (*arguments, *more)))
    assert code == 2, errors
    assert output == ""
    assert errors.count("error: ") == 1
    assert "Traceback" not in errors
    assert sorted(Path().rglob("*")) == before
    return " ".join(errors.split())


@pytest.mark.parametrize("arguments", [TRAIN, LATENTS, RECONSTRUCTION, FINE_TUNING, EXPORT, CACHE])
@pytest.mark.parametrize(
    ("make", "given", "advice"),
    [
        (configured(_class_name="AutoencoderOobleck"), "_class_name: AutoencoderOobleck", "AutoencoderTiny"),
        (configured(later_field=2), "later_field: 2", "pip install --upgrade diffusers"),
        (half_normalised, "statistics of the latents are not complete", "no bn.running_mean"),
        (half_declared, "latents_mean: [0.5", "both it and latents_std"),
    ],
    ids=["class", "version", "half of BatchNorm", "half declared"],
)
def test_a_folder_that_cannot_be_used_is_told_by_every_command(
    make: Callable[[Path], None], given: str, advice: str, arguments: tuple[str, ...], command: Command
) -> None:
    make(Path("vae"))
    message = refused(command, arguments)
    if arguments is FINE_TUNING and "later_field" in given:  # no version of the class is trained
        assert "AutoencoderTiny is computed by diffusers" in message
        return
    assert given in message
    assert advice in message


@pytest.mark.parametrize("model", ["SiT-Tiny/3", "LightningDiT-Tiny/3"])
def test_patches_that_do_not_divide_the_latents(model: str, command: Command) -> None:
    small(Path("vae"))
    message = refused(command, TRAIN, "", f"model={model}")
    assert "patches of 3 do not divide the latent" in message
    assert "32 positions along one side" in message
    assert "another patch" in message


@pytest.mark.parametrize(
    ("changes", "advice"),
    [
        (("model=SiT-Tiny/2",), "model=SiT-Tiny/1 repa=null"),
        (("model=SiT-B/1", "repa={backbone: effnet-lite0}"), "model=SiT-B/1 repa=null"),
        (("model=LightningDiT-Tiny/1",), "model=SiT-Tiny/1 repa=null"),
        (("model=LightningDiT-1p0B/1",), "model=SiT-XL/1 repa=null"),
    ],
)
def test_tokens_without_a_grid_and_a_generator_of_one(
    changes: tuple[str, ...], advice: str, command: Command
) -> None:
    tokens(Path("vae"))
    message = refused(command, TRAIN, "", *changes)
    assert "latents without a grid do not fit this generator" in message
    assert "for latents of 10 tokens" in message
    assert advice in message


@pytest.mark.parametrize("arguments", [TRAIN, RECONSTRUCTION, FINE_TUNING])
def test_images_smaller_than_the_tokenizers_factor(arguments: tuple[str, ...], command: Command) -> None:
    Path("photos").mkdir()
    for number in range(3):
        pixels = torch.randint(0, 256, (4, 4, 3), dtype=torch.uint8)
        Image.fromarray(pixels.numpy()).save(f"photos/{number}.png")
    named = tuple(word.removesuffix("vae") + "demo-f8d16" * word.endswith("vae") for word in arguments)
    more = ("data.source=photos", "data.size=null") if arguments[0] == "train" else ()
    message = refused(command, named, "photos", *more)
    assert "the images do not fit the tokenizer" in message
    assert "4 x 4 pixels" in message
    assert "multiples of 8" in message
