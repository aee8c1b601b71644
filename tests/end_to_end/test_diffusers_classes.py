"""Every class of diffusers through the commands: its latents scored, its losses measured, a diffusion model trained."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from tests.tokenizers.families import FIXED, SMALL, save_small
from typer.testing import CliRunner

from sendvae.cli.main import app
from sendvae.errors import UserError
from sendvae.tokenizers import load_tokenizer

runner = CliRunner()
QUICK = ("DC-AE", "RAE by position", "tiny")  # the others run with -m slow
NAMES = [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in SMALL]
EMOJI = 64  # pixels


def run(*arguments: str | Path) -> str:
    result = runner.invoke(app, [*map(str, arguments)], env={"COLUMNS": "160"}, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture
def folder(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """A saved network for images of 64 pixels."""
    name = request.param
    save_small(name, tmp_path / "vae", {"patch_size": 16} if name in FIXED else None)
    return tmp_path / "vae"


@pytest.mark.parametrize("folder", NAMES, indirect=True)
def test_a_class_goes_through_the_commands(folder: Path, tmp_path: Path) -> None:
    shape = list(load_tokenizer(folder).latent_shape(EMOJI))
    cache = ("--cache", tmp_path / "cache")
    scores = ("scores=[dimension,spectrum]", "limit=24", "bootstrap=0")
    run("evaluate", "latents", folder, *scores, *cache, "--output", tmp_path / "latents")
    found = json.loads((tmp_path / "latents/results.json").read_text())["subjects"][0]
    assert found["details"]["latent"] == shape
    metrics = ("--protocol", "evaluate/embedded-reconstruction", "metrics=[psnr]", "limit=6", "worst=0")
    data = ("--data", "embedded:emoji")
    run(
        "evaluate", "reconstruction", folder, *data, *metrics, *cache, "--output", tmp_path / "reconstruction"
    )
    numbers = json.loads((tmp_path / "reconstruction/results.json").read_text())["subjects"][0]["numbers"]
    assert math.isfinite(numbers["psnr"]["value"])
    short = ("loop.images=8", "loop.batch_size=4", "loop.log_every=4", "data.limit=8", "optimizer.warmup=0")
    model = f"model=SiT-Tiny/{max(1, shape[1] // 4)}"
    run("train", "diffusion", "demo/sit-tiny", f"tokenizer={folder}", "repa=null", model, *short, *cache, "--run", tmp_path / "sit")  # fmt: skip
    run("sample", tmp_path / "sit", "--grid", "1x2", "--steps", "2", "--to", tmp_path / "grid.png")
    assert (tmp_path / "grid.png").is_file()
    assert (tmp_path / "sit/latent-stats.json").exists() == (load_tokenizer(folder).latent_stats is None)


@pytest.mark.parametrize("folder", ["DC-AE"], indirect=True)
@pytest.mark.parametrize("command", ["tokenizer", "joint"])
def test_what_cannot_be_trained_is_told_before_any_work(command: str, folder: Path, tmp_path: Path) -> None:
    preset = {"tokenizer": "demo/send-vae", "joint": "demo/joint"}[command]
    result = runner.invoke(
        app,
        ["train", command, preset, f"init={folder}", "data.source=nowhere", "--run", str(tmp_path / "run")],
    )
    assert "not fine-tuned here" in str(result.exception)
    assert "AutoencoderDC" in str(result.exception)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("folder", ["FLUX.2's small decoder"], indirect=True)
def test_the_raw_space_is_an_option_that_results_record(folder: Path, tmp_path: Path) -> None:
    options = ("scores=[dimension]", "limit=24", "bootstrap=0", "latent_space=raw")
    run("evaluate", "latents", folder, *options, "--cache", tmp_path / "cache", "--output", tmp_path / "raw")
    document = json.loads((tmp_path / "raw/results.json").read_text())
    assert document["protocol"]["latent_space"] == "raw"
    assert document["subjects"][0]["details"]["latent"] == [4, EMOJI // 2, EMOJI // 2]


@pytest.mark.parametrize(
    "arguments",
    [
        ("evaluate", "latents", "VAE", "limit=8"),
        ("evaluate", "reconstruction", "VAE", "--data", "embedded:emoji", "--protocol", "evaluate/embedded-reconstruction", "limit=4"),
        ("reconstruct", "VAE", "--data", "embedded:emoji", "--images", "1", "--to", "FOLDER"),
        ("train", "diffusion", "demo/sit-tiny", "tokenizer=VAE", "repa=null", "model=SiT-Tiny/1", "--run", "FOLDER"),
    ],
)  # fmt: skip
def test_images_of_another_size_are_refused(arguments: tuple[str, ...], tmp_path: Path) -> None:
    save_small("RAE", tmp_path / "vae")
    places = {"VAE": str(tmp_path / "vae"), "FOLDER": str(tmp_path / "out")}
    given = [places.get(word, word.replace("VAE", places["VAE"])) for word in arguments]
    cache = () if arguments[0] == "reconstruct" else ("--cache", str(tmp_path / "cache"))
    result = runner.invoke(app, [*given, *cache])
    assert isinstance(result.exception, UserError)
    assert "do not fit the tokenizer" in str(result.exception)
    assert "32 x 32" in str(result.exception)
