"""Samples during training: the same noise and labels each time, a picture, a distance named after its network."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from sendvae.config.schema_diffusion import PreviewConfig
from sendvae.config.schema_sample import SamplingConfig
from sendvae.data import open_embedded
from sendvae.diffusion import SiT, build_sit
from sendvae.evaluation import Preview, generate
from sendvae.tokenizers import load_tokenizer


def preview(folder: Path, features: str | None = None) -> Preview:
    sampling = SamplingConfig(steps=3, images=10, batch_size=4, labels="proportional")
    config = PreviewConfig(every=100, sampling=sampling, features=features)
    return Preview(config, load_tokenizer("demo-f8d16"), open_embedded("emoji", "train", 40), folder, seed=3)


@pytest.fixture(scope="module")
def sit() -> SiT:
    torch.manual_seed(0)
    return build_sit("SiT-Tiny/2", latent_channels=16, latent_size=8, num_classes=10).eval()


def test_pictures_compare_over_time(sit: SiT, tmp_path: Path) -> None:
    draw = preview(tmp_path / "samples")
    assert draw(sit, 100) == {}
    draw(sit, 200)
    first, second = sorted((tmp_path / "samples").iterdir())
    assert (first.name, second.name) == ("0000000100.png", "0000000200.png")
    assert first.read_bytes() == second.read_bytes()
    with Image.open(first) as picture:
        assert picture.size == (8 * 66 + 2, 2 * 66 + 2)


def test_pictures_are_drawn_by_the_seed_from_the_noise_of_samples(sit: SiT, tmp_path: Path) -> None:
    draw = preview(tmp_path)
    draw(sit, 100)
    images = torch.cat(list(generate(sit, draw.tokenizer, draw.labels, draw.config.sampling, seed=3)))
    with Image.open(tmp_path / "0000000100.png") as picture:
        pixels = torch.from_numpy(np.array(picture)).permute(2, 0, 1)
    for i in (0, 7, 9):
        top, left = (2 + 66 * place for place in divmod(i, 8))
        assert torch.equal(pixels[:, top : top + 64, left : left + 64], images[i])


def test_the_distance_is_named_after_network_and_count(sit: SiT, tmp_path: Path) -> None:
    scores = preview(tmp_path, "mobilenet-v2")(sit, 100)
    assert list(scores) == ["fd-mobilenet-v2-10"]
    assert scores["fd-mobilenet-v2-10"] > 0


def test_labels_follow_the_training_set(tmp_path: Path) -> None:
    labels = preview(tmp_path).labels
    counts = torch.bincount(open_embedded("emoji", "train", 40).labels_of(range(40)), minlength=10)
    assert len(labels) == 10
    assert ((torch.bincount(labels, minlength=10) - counts / 4).abs() < 1).all()
