"""A pipeline of diffusers in one folder draws the images of `sendvae sample`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL, DiffusionPipeline
from tests.evaluation.samplable import CLASSES, NAMES, save_run, small_tokenizer
from tests.tokenizers.families import save_small
from tests.tokenizers.test_components import TOKENS
from typer.testing import CliRunner

from sendvae.cli.main import app
from sendvae.config import SampleConfig, load_config
from sendvae.diffusion import GENERATORS, build_generator, load_generator
from sendvae.errors import UserError
from sendvae.evaluation.diffusion_model import DiffusionModel
from sendvae.evaluation.pipeline_folder import write_pipeline
from sendvae.evaluation.sampling import draw_images
from sendvae.runs import Classes, save_measured
from sendvae.tokenizers import LatentStats, load_tokenizer, save_tokenizer

runner = CliRunner()
pytestmark = pytest.mark.filterwarnings("ignore:.*accelerate:UserWarning")


def run(*arguments: object) -> str:
    result = runner.invoke(app, [*map(str, arguments)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def load(folder: Path, **options: Any) -> DiffusionPipeline:
    return DiffusionPipeline.from_pretrained(
        str(folder), custom_pipeline=str(folder), trust_remote_code=True, **options
    )


@pytest.fixture
def trained(tmp_path: Path) -> Path:
    save_tokenizer(small_tokenizer(), tmp_path / "tokenizer")
    save_run(tmp_path / "run", tmp_path / "tokenizer")
    return tmp_path / "run"


def pixels(pipeline: Any, **settings: Any) -> np.ndarray:
    return np.stack([np.asarray(image) for image in pipeline(**settings).images])


def close(a: np.ndarray, b: np.ndarray) -> bool:
    """Equal up to rounding: of the network's last bits, which may tip a pixel."""
    apart = np.abs(a.astype(int) - b.astype(int))
    return a.shape == b.shape and apart.max() <= 1 and (apart > 0).mean() < 0.01


@pytest.mark.parametrize("guidance", [1.0, 2.5])
def test_images_are_those_of_sendvae_sample(guidance: float, trained: Path, tmp_path: Path) -> None:
    run("export", trained, "--to", "pipeline", "--output", tmp_path / "p")
    run("sample", trained, "--to", tmp_path / "s.npz", "--images", 3, "--labels", "3,dog,1", "--steps", 8,
        "--guidance", guidance, "--seed", 11)  # fmt: skip
    expected = np.load(tmp_path / "s.npz")["arr_0"]
    pipeline, settings = load(tmp_path / "p"), {"guidance_scale": guidance, "num_inference_steps": 8}
    found = pixels(pipeline, class_labels=[3, "dog", 1], seed=11, **settings)
    assert close(found, expected)
    assert found.std() > 20  # pictures, not grey
    assert not close(pixels(pipeline, class_labels=[3, "dog", 1], seed=12, **settings), expected)
    assert not close(pixels(pipeline, class_labels=[1, 1, 1], seed=11, **settings), expected)


def test_the_settings_are_those_of_sendvae_sample(trained: Path, tmp_path: Path) -> None:
    """By default the paper's; others by name."""
    run("export", trained, "--to", "pipeline", "--output", tmp_path / "p")
    pipeline, sample = load(tmp_path / "p"), ("sample", trained, "--images", 1, "--labels", "2")
    run(*sample, "--to", tmp_path / "a.npz")
    assert close(pixels(pipeline, class_labels=2), np.load(tmp_path / "a.npz")["arr_0"])
    run(*sample, "--to", tmp_path / "b.npz", "--preset", "sample/paper-guided", "method=heun", "steps=5", "rounding=nearest")  # fmt: skip
    other = pixels(
        pipeline,
        class_labels=["dog"],
        preset="sample/paper-guided",
        method="heun",
        num_inference_steps=5,
        rounding="nearest",
    )
    assert close(other, np.load(tmp_path / "b.npz")["arr_0"])
    (array,) = pipeline(class_labels=2, num_inference_steps=5, output_type="np", return_dict=False)
    assert array.shape == (1, 8, 8, 3)
    assert 0.5 < array.max() <= 1


@pytest.mark.parametrize("name", GENERATORS)
def test_every_generator_goes_from_training_into_a_pipeline(name: str, tmp_path: Path) -> None:
    """By the commands alone: trained, sampled, exported in both layouts, drawn from by diffusers."""
    save_tokenizer(small_tokenizer(), tmp_path / "tokenizer")
    run("train", "diffusion", "demo/sit-tiny", f"tokenizer={tmp_path / 'tokenizer'}", f"model={name}-Tiny/8", "repa=null",
        "data.limit=8", "loop.images=8", "loop.batch_size=4", "loop.log_every=4", "optimizer.warmup=0",
        "optimizer.lr=1e-2", "ema=0.1", "--run", tmp_path / "run", "--cache", tmp_path / "cache")  # fmt: skip
    run("sample", tmp_path / "run", "--to", tmp_path / "s.npz", "--images", 2, "--labels", "1,0", "--steps", 3,
        "--guidance", 2, "--seed", 5)  # fmt: skip
    for layout in ("pipeline", "safetensors"):
        run("export", tmp_path / "run", "--to", layout, "--output", tmp_path / layout)
    assert type(load_generator(tmp_path / "safetensors")) is GENERATORS[name].network
    found = pixels(load(tmp_path / "pipeline"), class_labels=[1, 0], num_inference_steps=3, guidance_scale=2.0, seed=5)  # fmt: skip
    assert close(found, np.load(tmp_path / "s.npz")["arr_0"])
    assert not close(found[:1], found[1:])


def test_batches_do_not_matter(trained: Path, tmp_path: Path) -> None:
    run("export", trained, "--to", "pipeline", "--output", tmp_path / "p")
    pipeline, settings = load(tmp_path / "p"), {"class_labels": [0, 1, 2], "num_inference_steps": 5}
    assert close(pixels(pipeline, batch_size=1, **settings), pixels(pipeline, **settings))


def test_mistakes_are_named(trained: Path, tmp_path: Path) -> None:
    run("export", trained, "--to", "pipeline", "--output", tmp_path / "p")
    pipeline = load(tmp_path / "p")
    with pytest.raises(UserError, match="no such class") as error:
        pipeline(class_labels=[CLASSES])
    assert NAMES[0] in str(error.value)
    with pytest.raises(UserError, match="stepps"):
        pipeline(class_labels=[0], stepps=3)
    with pytest.raises(ValueError, match="output_type"):
        pipeline(class_labels=[0], output_type="jpeg")
    with pytest.raises(ValueError, match="precision='bf16'"):
        load(tmp_path / "p", dtype=torch.float16)


def test_the_tokenizer_in_it_is_one_of_diffusers(trained: Path, tmp_path: Path) -> None:
    run("export", trained, "--to", "pipeline", "--output", tmp_path / "p")
    vae, own = AutoencoderKL.from_pretrained(tmp_path / "p", subfolder="vae").eval(), small_tokenizer()
    z = torch.randn(1, 4, 4, 4)
    with torch.no_grad():
        torch.testing.assert_close(vae.decode(z).sample, own.decode(z), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", ["DC-AE", "MAETok", "SoftVQ", "RAE by position"])
def test_tokenizers_of_other_kinds_come_along(kind: str, tmp_path: Path) -> None:
    if kind in TOKENS:
        tokenizer, size = TOKENS[kind]().eval(), 32
    else:
        save_small(kind, tmp_path / "vae", {"patch_size": 16} if kind.startswith("RAE") else None)
        tokenizer, size = load_tokenizer(tmp_path / "vae"), 64
    shape = tokenizer.latent_shape(size)
    if tokenizer.latent_stats is None:
        values = [torch.linspace(low, low + 1, shape[0]) for low in (-0.5, 1.0)]
        tokenizer.latent_stats = LatentStats(*values)
    generator = build_generator(
        "SiT-Tiny/1",
        latent_channels=shape[0],
        latent_size=shape[1],
        num_classes=2,
        one_dimensional=len(shape) == 2,
    ).eval()
    torch.nn.init.normal_(generator.final_layer.linear.weight, std=0.02)
    write_pipeline(DiffusionModel("m", generator, tokenizer, Classes(2), {}), tmp_path / "p")
    sampling = load_config(SampleConfig, "sample/paper", ["steps=3"])
    expected = draw_images(generator, tokenizer, [0, 1], torch.tensor([1, 0]), sampling, seed=4)
    found = pixels(load(tmp_path / "p"), class_labels=[1, 0], num_inference_steps=3, seed=4)
    assert close(found, expected.permute(0, 2, 3, 1).numpy())


def test_measured_statistics_travel_with_it(tmp_path: Path) -> None:
    """Of a tokenizer that declares none: the run's."""
    silent = small_tokenizer()
    silent.latent_stats = None
    save_tokenizer(silent, tmp_path / "tokenizer")
    save_run(tmp_path / "run", tmp_path / "tokenizer")
    save_measured(
        LatentStats(torch.tensor([1.0, 2, 3, 4]), torch.tensor([0.5, 1, 2, 1])), 9, tmp_path / "run"
    )
    run("export", tmp_path / "run", "--to", "pipeline", "--output", tmp_path / "p")
    run("sample", tmp_path / "run", "--to", tmp_path / "s.npz", "--images", 1, "--labels", 0, "--steps", 4)
    found = pixels(load(tmp_path / "p"), class_labels=[0], num_inference_steps=4)
    assert close(found, np.load(tmp_path / "s.npz")["arr_0"])


@pytest.mark.slow
def test_the_printed_snippet_runs_in_another_folder_and_process(trained: Path, tmp_path: Path) -> None:
    output = run("export", trained, "--to", "pipeline", "--output", tmp_path / "p", "--licence", "mit")
    card = (tmp_path / "p/README.md").read_text()
    assert card.startswith("---\nlibrary_name: diffusers\nlicense: mit\n")
    assert "zebra" in card
    script = output.partition("\n\n")[2] + "\nimage.save('image.png')\n"
    (tmp_path / "elsewhere").mkdir()
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path / "elsewhere",
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "elsewhere/image.png").is_file()


def test_one_export_replaces_another_and_nothing_else(trained: Path, tmp_path: Path) -> None:
    folder = tmp_path / "p"
    run("export", trained, "--to", "pipeline", "--output", folder)
    run("export", trained, "--to", "safetensors", "--output", folder, "--force")
    assert not (folder / "vae").exists()
    run("export", trained, "--to", "pipeline", "--output", folder, "--force")
    (folder / "vae/mine.py").write_text("")
    with pytest.raises(UserError, match="replaces an earlier export only"):
        run("export", trained, "--to", "pipeline", "--output", folder, "--force")


def test_what_is_no_pipeline_is_refused(trained: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="as it is"):
        run("export", trained, "--to", "pipeline", "--output", tmp_path / "p", "--half")
    with pytest.raises(UserError, match="does not say which tokenizer"):
        run("export", trained / "sit", "--to", "pipeline", "--output", tmp_path / "p")
    assert not (tmp_path / "p").exists()
