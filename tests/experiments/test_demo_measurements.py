"""The demo measures what it says: splits, posterior means and references, each against its own computation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tests.evaluation.small import small_network
from torch import Tensor, nn

from sendvae.config import DemoConfig, load_config
from sendvae.data import EmbeddedImages, open_embedded, to_float, to_uint8
from sendvae.evaluation.results import Result
from sendvae.experiments import demo_measurements
from sendvae.experiments.demo_measurements import DemoMeasurements, Findings
from sendvae.experiments.demo_texts import COLUMNS
from sendvae.latents import attribute_probe, discrimination, semantic_gap, uniformity
from sendvae.metrics import frechet_distance_of, gaussian_of, kernel_distance, precision_recall, psnr
from sendvae.metrics.frechet import frechet_distance
from sendvae.nn import Moments
from sendvae.tokenizers import Architecture, Autoencoder

CPU = torch.device("cpu")
SIZES = {"train": 70, "val": 40, "test": 55}
SMALL = Architecture(z_channels=4, ch=8, ch_mult=(1, 1, 1, 2), num_res_blocks=1, norm_groups=4, resolution=64)
CHANGES = [
    "evaluation.reconstruction.limit=30",
    "evaluation.latents.uniformity.projection=pca",
    "evaluation.latents.uniformity.samples=50",
    "evaluation.latents.discrimination.components=[3]",
    "evaluation.latents.discrimination.headline=3",
    "evaluation.latents.discrimination.dimensions=6",
    "evaluation.latents.bootstrap=40",
]


class Distance(nn.Module):
    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        return (a - b).abs().mean(dim=(1, 2, 3))


@pytest.fixture(scope="module")
def images() -> dict[str, EmbeddedImages]:
    return {split: open_embedded("emoji", split, limit) for split, limit in SIZES.items()}


@pytest.fixture(scope="module")
def tokenizer() -> Autoencoder:
    torch.manual_seed(0)
    return Autoencoder(SMALL).eval()


@pytest.fixture
def measurements(
    images: dict[str, EmbeddedImages], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> DemoMeasurements:
    monkeypatch.setattr(demo_measurements, "load_network", lambda name, _: small_network(name))
    monkeypatch.setattr(demo_measurements, "load_perceptual", lambda _: Distance())
    config = load_config(DemoConfig, "demo/quick", CHANGES).evaluation
    return DemoMeasurements(config, images, tmp_path / "cache", CPU)


@pytest.fixture(scope="module")
def means(tokenizer: Autoencoder, images: dict[str, EmbeddedImages]) -> dict[str, Tensor]:
    with torch.no_grad():
        return {split: tokenizer.encode(to_float(part.pixels)).mean for split, part in images.items()}


def features(pixels: Tensor) -> Tensor:
    return small_network().rows(pixels).pool


def moments(pixels: Tensor) -> Moments:
    found = Moments()
    found.update(features(pixels))
    return found


def test_latents_are_posterior_means(
    measurements: DemoMeasurements, tokenizer: Autoencoder, means: dict[str, Tensor]
) -> None:
    latents = measurements.encode(tokenizer, "toy")
    assert {split: len(z) for split, z in latents.items()} == SIZES
    for split, z in latents.items():
        torch.testing.assert_close(
            z, means[split], rtol=2e-3, atol=2e-3
        )  # float16 on disk, maybe bf16 before


@pytest.fixture
def found(
    measurements: DemoMeasurements, tokenizer: Autoencoder, means: dict[str, Tensor], tmp_path: Path
) -> Findings:
    return measurements.tokenizer(tokenizer, means, tmp_path / "results", "toy")


def test_scores_of_the_latent_space(
    found: Findings, means: dict[str, Tensor], images: dict[str, EmbeddedImages]
) -> None:
    labels = {split: part.labels_of(range(len(part))) for split, part in images.items()}
    gaps = {
        pool: semantic_gap(means["train"], labels["train"], means["test"], labels["test"], pool)
        for pool in ("mean", "flatten")
    }
    assert abs(gaps["mean"] - gaps["flatten"]) > 0.02  # or a swap would not show
    assert found.values["gap_mean"] == pytest.approx(gaps["mean"], abs=1e-6)
    assert found.values["gap_flatten"] == pytest.approx(gaps["flatten"], abs=1e-6)
    held_out = discrimination(means["train"], means["test"], 3, 6)
    assert abs(held_out - discrimination(means["train"], means["train"], 3, 6)) > 0.01
    assert found.values["discrimination_nll"] == pytest.approx(held_out, rel=1e-5)
    density = uniformity(means["train"], "pca", 50, 1)
    assert found.values["uniformity_gini"] == pytest.approx(density.gini, rel=1e-5)
    y = {split: torch.from_numpy(part.attributes.values) for split, part in images.items()}
    probe = attribute_probe(
        means["train"],
        y["train"],
        means["test"],
        y["test"],
        val_latents=means["val"],
        val_attributes=y["val"],
    )
    assert found.values["f1_macro"] == pytest.approx(probe.f1_macro, abs=1e-6)
    assert found.values["f1_micro"] == pytest.approx(probe.f1_micro, abs=1e-6)
    assert found.values["f1_macro_tuned"] == pytest.approx(probe.f1_macro_tuned, abs=1e-6)
    names = images["train"].attributes.names
    assert found.attribute_f1 == pytest.approx(dict(zip(names, probe.f1.tolist(), strict=True)))
    assert len(found.resampled["f1_macro"]) == 40


def test_reconstruction_is_of_the_test_images(
    found: Findings, tokenizer: Autoencoder, images: dict[str, EmbeddedImages], tmp_path: Path
) -> None:
    pixels = images["test"].pixels[:30]
    with torch.no_grad():
        copies = to_uint8(tokenizer.decode(tokenizer.encode(to_float(pixels)).mean))
    assert found.values["psnr"] == pytest.approx(float(psnr(copies, pixels).mean()), rel=1e-3)
    distance = frechet_distance_of(moments(pixels), moments(copies))
    assert found.values["rfd-mobilenet-v2"] == pytest.approx(distance, rel=1e-2)
    stored = Result.load(tmp_path / "results/reconstruction").subjects[0].numbers
    assert stored["psnr"].value == found.values["psnr"]
    assert stored["psnr"].interval is not None


def test_samples_are_held_against_the_training_images(
    measurements: DemoMeasurements, images: dict[str, EmbeddedImages], tmp_path: Path
) -> None:
    rng = np.random.default_rng(0)
    drawn = torch.from_numpy(rng.permutation(SIZES["train"])[:33])
    samples = images["train"].pixels[drawn]  # nearer to the training images than to the test images
    found = measurements.samples(samples, tmp_path / "results", "toy").values
    rows, train, test = (features(x) for x in (samples, images["train"].pixels, images["test"].pixels))
    distance = {
        name: frechet_distance(*gaussian_of(reference), *gaussian_of(rows))
        for name, reference in (("train", train), ("test", test))
    }
    assert abs(distance["train"] - distance["test"]) > 0.1 * distance["test"]
    assert found["fd-mobilenet-v2"] == pytest.approx(distance["train"], rel=1e-4)
    assert found["kd-mobilenet-v2"] == pytest.approx(kernel_distance(train, rows), rel=1e-4, abs=1e-9)
    precision, recall = precision_recall(train, rows)
    assert precision != recall
    assert (found["precision-mobilenet-v2"], found["recall-mobilenet-v2"]) == (precision, recall)


def test_every_column_of_the_table_is_measured(
    found: Findings, measurements: DemoMeasurements, images: dict[str, EmbeddedImages], tmp_path: Path
) -> None:
    samples = measurements.samples(images["test"].pixels[:12], tmp_path / "samples", "toy")
    quantities = found.quantities | samples.quantities
    assert set(COLUMNS) <= quantities.keys()
    assert [quantities[name].group for name in COLUMNS] == sorted(
        (quantities[name].group for name in COLUMNS),
        key=["reconstruction", "latent space", "generation"].index,
    )
