"""A tokenizer is scored as its protocol says: splits, posterior means, test images, each by its own computation."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from tests.evaluation.small import small_network
from torch import Tensor, nn

from sendvae.config import TokenizerScoresConfig, validate
from sendvae.data import EmbeddedImages, open_embedded, to_float, to_uint8
from sendvae.errors import UserError
from sendvae.evaluation import generation, reconstruction
from sendvae.evaluation.results import Result, Subject
from sendvae.experiments.demo_texts import COLUMNS
from sendvae.experiments.measures import load_resampled, score_tokenizer
from sendvae.latents import TensorRows, attribute_probe, discrimination, semantic_gap, uniformity
from sendvae.latents.scores.robustness import robustness
from sendvae.metrics import frechet_distance_of, psnr
from sendvae.nn import Moments
from sendvae.tokenizers import Architecture, Autoencoder, save_tokenizer
from sendvae.training import cached_latents

CPU = torch.device("cpu")
COUNT = 70
SMALL = Architecture(z_channels=4, ch=8, ch_mult=(1, 1, 1, 2), num_res_blocks=1, norm_groups=4, resolution=64)
CONFIG = {
    "latents": {
        "size": None,
        "limit": COUNT,
        "scores": ["attributes", "gap", "uniformity", "discrimination", "robustness"],
        "attributes": {"headline": "macro"},
        "uniformity": {"projection": "pca", "samples": 50, "repeats": 1, "flips": False},
        "discrimination": {"components": [3], "headline": 3, "dimensions": 6, "repeats": 1},
        "bootstrap": 40,
    },
    "reconstruction": {
        "limit": 30,
        "size": None,
        "latent": "mean",
        "perceptual": "effnet-lite1-perceptual",
        "features": "mobilenet-v2",
        "intervals": {"jackknife": 0},
    },
    "shown": 5,
}


class Distance(nn.Module):
    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        return (a - b).abs().mean(dim=(1, 2, 3))


@pytest.fixture(scope="module")
def images() -> dict[str, EmbeddedImages]:
    return {split: open_embedded("emoji", split, COUNT) for split in ("train", "val", "test")}


@pytest.fixture(scope="module")
def tokenizer() -> Autoencoder:
    torch.manual_seed(0)
    return Autoencoder(SMALL).eval()


@pytest.fixture(scope="module")
def folder(tokenizer: Autoencoder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scores")
    save_tokenizer(tokenizer, folder / "tokenizer")
    config = validate(TokenizerScoresConfig, CONFIG)
    with pytest.MonkeyPatch.context() as patch:
        for module in (reconstruction, generation):
            patch.setattr(module, "load_network", lambda name, _: small_network(name))
        patch.setattr(reconstruction, "load_perceptual", lambda _: Distance())
        score_tokenizer(config, str(folder / "tokenizer"), folder, folder / "cache", CPU, "toy")
    return folder


@pytest.fixture(scope="module")
def means(folder: Path, tokenizer: Autoencoder, images: dict[str, EmbeddedImages]) -> dict[str, Tensor]:
    """As they were kept, in half precision."""
    cache = folder / "cache"
    return {
        split: cached_latents(cache, tokenizer, part, CPU).fields["mean"].float()
        for split, part in images.items()
    }


def found(folder: Path, kind: str) -> Subject:
    (subject,) = Result.load(folder / kind).subjects
    return subject


def moments(pixels: Tensor) -> Moments:
    measured = Moments()
    measured.update(small_network().rows(pixels).pool)
    return measured


def test_latents_are_posterior_means(
    means: dict[str, Tensor], tokenizer: Autoencoder, images: dict[str, EmbeddedImages]
) -> None:
    for split, z in means.items():
        with torch.no_grad():
            expected = tokenizer.encode(to_float(images[split].pixels)).mean
        torch.testing.assert_close(z, expected, rtol=2e-3, atol=2e-3)  # half precision on disk


def test_scores_of_the_latent_space(
    folder: Path, means: dict[str, Tensor], images: dict[str, EmbeddedImages]
) -> None:
    subject = found(folder, "latents")
    values = {name: number.value for name, number in subject.numbers.items()}
    labels = {split: part.labels_of(range(len(part))) for split, part in images.items()}
    gaps = {
        pool: semantic_gap(means["train"], labels["train"], means["test"], labels["test"], pool)
        for pool in ("mean", "flatten")
    }
    assert abs(gaps["mean"] - gaps["flatten"]) > 0.02  # or a swap would not show
    assert values["gap_mean"] == pytest.approx(gaps["mean"], abs=1e-6)
    assert values["gap_flatten"] == pytest.approx(gaps["flatten"], abs=1e-6)
    held_out = discrimination(means["train"], means["test"], 3, 6)
    assert abs(held_out - discrimination(means["train"], means["train"], 3, 6)) > 0.01
    assert values["discrimination_nll"] == pytest.approx(held_out, rel=1e-5)
    density = uniformity(means["train"], "pca", 50, 1)
    assert values["uniformity_gini"] == pytest.approx(density.gini, rel=1e-5)
    y = {split: torch.from_numpy(part.attributes.values) for split, part in images.items()}
    probe = attribute_probe(
        means["train"],
        y["train"],
        means["test"],
        y["test"],
        val_latents=means["val"],
        val_attributes=y["val"],
    )
    assert values["f1_macro"] == pytest.approx(probe.f1_macro, abs=1e-6)
    assert values["f1_micro"] == pytest.approx(probe.f1_micro, abs=1e-6)
    assert values["f1_macro_tuned"] == pytest.approx(probe.f1_macro_tuned, abs=1e-6)
    names = images["train"].attributes.names
    assert subject.details["f1"] == pytest.approx(dict(zip(names, probe.f1.tolist(), strict=True)))
    assert len(load_resampled(folder)["f1_macro"]) == 40


def test_reconstruction_is_of_the_test_images(
    folder: Path, tokenizer: Autoencoder, images: dict[str, EmbeddedImages]
) -> None:
    pixels = images["test"].pixels[:30]
    with torch.no_grad():
        copies = to_uint8(tokenizer.decode(tokenizer.encode(to_float(pixels)).mean))
    numbers = found(folder, "reconstruction").numbers
    assert numbers["psnr"].value == pytest.approx(float(psnr(copies, pixels).mean()), rel=1e-3)
    assert numbers["psnr"].interval is not None
    distance = frechet_distance_of(moments(pixels), moments(copies))
    assert numbers["rfd-mobilenet-v2"].value == pytest.approx(distance, rel=1e-2)


def test_pictures_and_resamples_are_kept(folder: Path) -> None:
    names = {path.name for path in folder.iterdir()}
    assert {"originals.png", "reconstructions.png", "latents.png", "resampled.json"} <= names
    scores = json.loads((folder / "resampled.json").read_text())
    assert scores["f1_macro"] != scores["f1_micro"]
    assert load_resampled(folder / "cache") == {}


def test_the_first_columns_of_the_demo_are_measured(folder: Path) -> None:
    quantities = (
        Result.load(folder / "latents").quantities | Result.load(folder / "reconstruction").quantities
    )
    groups = [quantities[name].group for name in COLUMNS if name in quantities]
    assert len(groups) == 9
    assert groups == ["reconstruction"] * 4 + ["latent space"] * 5


@pytest.mark.parametrize("change", [{"latent": "sample"}, {"uniformity": {"flips": True}}])
def test_other_latents_than_training_caches_are_refused(change: dict[str, object]) -> None:
    with pytest.raises(UserError, match="posterior means that training caches"):
        validate(TokenizerScoresConfig, {"latents": {"uniformity": {"flips": False}, **change}})


def test_scores_of_the_decoder_are_measured(
    folder: Path, tokenizer: Autoencoder, means: dict[str, Tensor]
) -> None:
    def decode(z: Tensor) -> Tensor:
        with torch.no_grad():
            return tokenizer.decode(z)

    expected = float(robustness(TensorRows(means["test"]), decode, 0).mean())
    assert Result.load(folder / "latents").subjects[0].numbers["robustness"].value == pytest.approx(
        expected, rel=1e-3
    )
