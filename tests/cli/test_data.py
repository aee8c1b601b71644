"""`sendvae data`."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from tests.data.pictures import contents, write_folder
from typer.testing import CliRunner

from sendvae.cli.main import app
from sendvae.data import LatentCache, open_images, to_float
from sendvae.errors import UserError
from sendvae.tokenizers import Autoencoder, build_tokenizer, load_tokenizer, save_tokenizer
from sendvae.training.caching import cached_latents, latent_rows

runner = CliRunner()
CPU = torch.device("cpu")
PREPARE = ["--size", "16", "--processes", "1", "--shard-size", "4"]


@pytest.mark.parametrize("command", ["prepare", "cache-latents", "inspect", "verify"])
def test_every_command_explains_itself_with_an_example(command: str) -> None:
    result = runner.invoke(app, ["data", command, "--help"])
    assert result.exit_code == 0
    assert f"sendvae data {command}" in result.output
    assert "Example" in result.output


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    write_folder(folder / "source", [f"train/{i % 2}/{i}.png" for i in range(10)] + ["val/1/0.png"])
    (folder / "source" / "train" / "0" / "bad.png").write_bytes(b"")
    result = runner.invoke(app, ["data", "prepare", str(folder / "source"), str(folder / "out"), *PREPARE])
    assert result.exit_code == 0
    assert "10 train, 1 val; 2 classes; 1 skipped, see" in result.output
    return folder / "out"


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("tokenizer") / "tokenizer"
    save_tokenizer(build_tokenizer("demo-f8d16"), folder)
    return folder


def cache(tokenizer: Path, data: Path, folder: Path, *options: str) -> str:
    result = runner.invoke(app, ["data", "cache-latents", str(tokenizer), str(data), str(folder), *options])
    assert result.exit_code == 0, result.output
    return result.output


def network(folder: Path) -> Autoencoder:
    return load_tokenizer(folder)


def test_inspect(prepared: Path, tmp_path: Path) -> None:
    result = runner.invoke(app, ["data", "inspect", str(prepared), "--sheet", str(tmp_path / "s.png")])
    assert result.exit_code == 0
    assert "10 train, 1 val; 1 skipped when prepared; sheet:" in result.output
    assert "16 x 16" in result.output
    assert (tmp_path / "s.png").is_file()


def test_verify(prepared: Path, tmp_path: Path) -> None:
    result = runner.invoke(app, ["data", "verify", str(prepared)])
    assert result.exit_code == 0
    assert "3 shards, 11 images: all as they were written" in result.output
    shutil.copytree(prepared, tmp_path / "copy")
    (tmp_path / "copy" / "images-00001.tar").unlink()
    result = runner.invoke(app, ["data", "verify", str(tmp_path / "copy")])
    assert isinstance(result.exception, UserError)
    assert "images-00001.tar: it is missing" in str(result.exception)


def test_prepare_says_what_it_did(tmp_path: Path) -> None:
    write_folder(tmp_path / "source", ["a.png"])
    Image.new("RGBA", (20, 20), (0, 0, 0, 0)).save(tmp_path / "source" / "clear.png")
    (tmp_path / "source" / "notes.txt").write_text("no image")
    arguments = ["data", "prepare", str(tmp_path / "source"), str(tmp_path / "out"), *PREPARE]
    result = runner.invoke(app, [*arguments, "--background", "#0a141e"])
    assert "1 image: transparent parts filled with the background" in result.output
    assert "files that are no images: 1 .txt" in result.output
    assert open_images(str(tmp_path / "out"), "train")[1].image[:, 0, 0].tolist() == [10, 20, 30]
    result = runner.invoke(app, [*arguments, "--background", "whiteish"])
    assert "not a colour" in str(result.exception)


def test_a_mistake_is_a_user_error(tmp_path: Path) -> None:
    result = runner.invoke(app, ["data", "prepare", str(tmp_path / "none"), str(tmp_path / "out")])
    assert isinstance(result.exception, UserError)
    assert "no images" in str(result.exception)


def test_cached_latents_are_the_posterior(prepared: Path, tokenizer: Path, tmp_path: Path) -> None:
    output = cache(tokenizer, prepared, tmp_path, "--flip", "--shard-size", "4")
    assert "10 train latents, 16 x 2 x 2, mean, std, mean_flip, std_flip" in output
    assert "1 val latents" in output
    vae = network(tokenizer)
    train = open_images(str(prepared), "train")
    latents = LatentCache(latent_rows(tmp_path, vae, train, flip=True).folder)
    assert len(latents.shards) == 3
    images = to_float(train.batch(range(10)).images)
    with torch.no_grad():
        for suffix, posterior in (("", vae.encode(images)), ("_flip", vae.encode(images.flip(-1)))):
            for name, value in (("mean", posterior.mean), ("std", posterior.std)):
                stored = latents.fields[name + suffix]
                assert stored.dtype == torch.float16
                # bf16 has 8 bits of mantissa, where the processor computes in it
                torch.testing.assert_close(stored.float(), value, rtol=0.05, atol=0.05)


def test_training_finds_cached_latents_and_restarts_add_what_is_missing(
    prepared: Path, tokenizer: Path, tmp_path: Path
) -> None:
    cache(tokenizer, prepared, tmp_path, "--shard-size", "4", "--split", "train")
    whole = contents(tmp_path)
    vae = network(tokenizer)
    folder = latent_rows(tmp_path, vae, open_images(str(prepared), "train")).folder
    (folder / "shard-00001.safetensors").unlink()
    with pytest.raises(UserError, match="is not complete"):
        LatentCache(folder)
    kept = (folder / "shard-00000.safetensors").stat().st_mtime_ns
    found = cached_latents(tmp_path, vae, open_images(str(prepared), "train"), CPU)
    assert len(found) == 10
    assert contents(tmp_path) == whole
    assert (folder / "shard-00000.safetensors").stat().st_mtime_ns == kept


def test_lightningdits_layout(prepared: Path, tokenizer: Path, tmp_path: Path) -> None:
    output = cache(tokenizer, prepared, tmp_path, "--layout", "lightningdit", "--shard-size", "4")
    assert "10 train latents, 16 x 2 x 2, latents, latents_flip, labels" in output
    assert {path.name for path in (tmp_path / "val").iterdir()} == {
        "cache.json",
        "classes.json",
        "latents_stats.pt",
        "shard-00000.safetensors",
    }
    arguments = ["data", "cache-latents", str(tokenizer), str(prepared), str(tmp_path)]
    for options, problem in (
        (["--layout", "lightningdit", "--flip"], "--flip"),
        (["--layout", "x"], "unknown layout"),
    ):
        with pytest.raises(UserError, match=problem):
            runner.invoke(app, [*arguments, *options], catch_exceptions=False)


@pytest.mark.slow
def test_two_processes_write_what_one_does(prepared: Path, tokenizer: Path, tmp_path: Path) -> None:
    options = ["--shard-size", "4", "--split", "train"]
    cache(tokenizer, prepared, tmp_path / "one", *options)
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "GLOO_SOCKET_IFNAME": "lo",
        "CUDA_VISIBLE_DEVICES": "",
    }
    script = tmp_path / "run.py"
    script.write_text("from sendvae.cli.main import main\nmain()\n")
    command = [str(script), "data", "cache-latents", str(tokenizer), str(prepared), str(tmp_path / "two")]
    done = subprocess.run(
        [*torchrun, "--local-addr", "127.0.0.1", *command, *options],
        env=environment, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("10 train latents") == 1
    assert contents(tmp_path / "two") == contents(tmp_path / "one")
    (shard,) = (tmp_path / "two").rglob("shard-00002.safetensors")
    assert len(load_file(shard)["mean"]) == 2
