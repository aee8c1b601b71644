"""A folder of pictures without classes: a generator is trained on it and sampled, unconditionally."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from sendvae.cli.main import app
from sendvae.diffusion import load_generator
from sendvae.errors import UserError
from sendvae.evaluation.diffusion_model import load_model

runner = CliRunner()
SHORT = ["repa=null", "loop.images=16", "loop.batch_size=8", "loop.log_every=8", "optimizer.warmup=0"]


def run(*arguments: object) -> str:
    result = runner.invoke(app, [*map(str, arguments)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Ten files in one folder, 64 pixels a side."""
    folder, random = tmp_path / "photos", np.random.default_rng(0)
    folder.mkdir()
    for number in range(10):
        pixels = random.integers(0, 256, (64, 64, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    return folder


@pytest.mark.parametrize("prepared", [True, False])
def test_pictures_without_classes_train_and_sample(prepared: bool, photos: Path, tmp_path: Path) -> None:
    source = photos
    if prepared:
        source = tmp_path / "shards"
        output = run("data", "prepare", photos, source, "--size", 64, "--processes", 1)
        assert "10 train; no classes" in output
    trained = tmp_path / "sit"
    run("train", "diffusion", "demo/sit-tiny", f"data.source={source}", *SHORT, "--run", trained,
        "--cache", tmp_path / "cache")  # fmt: skip
    generator = load_generator(trained)
    assert (generator.num_classes, generator.label_dropout) == (1, 0.0)
    assert load_model(str(trained)).classes.images == (10,)
    run("sample", trained, "--to", tmp_path / "s.npz", "--images", 3, "--steps", 2)
    arrays = np.load(tmp_path / "s.npz")
    assert arrays["arr_0"].shape == (3, 64, 64, 3)
    with pytest.raises(UserError, match="unconditional"):
        run("sample", trained, "--to", tmp_path / "g.npz", "--images", 3, "--guidance", 2)
    assert not (tmp_path / "g.npz").exists()
    with pytest.raises(UserError, match="unconditional"):
        run("sample", trained, "--grid", "1x2", "--to", tmp_path / "g.png", "--guidance", 2)


def test_unconditional_pictures_go_through_the_pipeline(photos: Path, tmp_path: Path) -> None:
    trained = tmp_path / "sit"
    run("train", "diffusion", "demo/sit-tiny", f"data.source={photos}", *SHORT, "--run", trained,
        "--cache", tmp_path / "cache")  # fmt: skip
    output = run("export", trained, "--to", "pipeline", "--output", tmp_path / "p")
    assert "guidance" not in output  # of a snippet that would fail
