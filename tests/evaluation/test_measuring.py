"""A metric is a row: a toy one shows in the JSON, the printed table and the page, with its label and direction."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from rich.console import Console
from tests.evaluation.small import pictures, save_npz, small_network
from torch import Tensor, nn

from sendvae.config.schema_evaluate import GenerationConfig, IntervalConfig, ReconstructionConfig
from sendvae.errors import UserError
from sendvae.evaluation import measure_generation, measure_reconstruction
from sendvae.evaluation.measuring import settings_of
from sendvae.evaluation.results import Result
from sendvae.evaluation.tables import print_comparison, print_result
from sendvae.metrics import METRICS, ImageMetric, SetMetric, Settings
from sendvae.quantities import Estimate, Quantity
from sendvae.report import write_report
from sendvae.tokenizers import Architecture, Autoencoder, Posterior

CPU = torch.device("cpu")
INTERVALS = IntervalConfig(bootstrap=50, jackknife=0)
BRIGHT = Quantity("Brightness", "generation", True, 1, "mean level of {samples}, 0 to 255")
SHIFT = Quantity(
    "Shift", "generation", False, 4, "how far the first feature of {samples} lies from {reference}"
)


class Distance(nn.Module):
    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        return (a - b).abs().mean(dim=(1, 2, 3))


@pytest.fixture
def toys(monkeypatch: pytest.MonkeyPatch) -> None:
    """One row each: of single images, and of sets."""
    bright = ImageMetric("brightness", "pixels", lambda e, _: e.images.double().mean(dim=(1, 2, 3)), BRIGHT)

    def shift(evidence: object, _: object) -> Estimate:
        rows, reference = evidence.features, evidence.reference_features  # type: ignore[attr-defined]
        return Estimate(float((rows - reference.mean(0))[:, 0].mean().abs()))

    monkeypatch.setitem(METRICS, "brightness", bright)  # type: ignore[arg-type]
    monkeypatch.setitem(METRICS, "shift", SetMetric("shift{suffix}", "reference features", shift, SHIFT))  # type: ignore[arg-type]


def printed(result: Result) -> str:
    console = Console(file=io.StringIO(), width=160)
    print_result(result, console)
    print_comparison([result, result], ["a", "b"], console)
    return console.file.getvalue()  # type: ignore[attr-defined]


@pytest.mark.usefixtures("toys")
def test_a_toy_metric_of_samples_is_one_row(tmp_path: Path) -> None:
    samples, reference = pictures(23, seed=1), pictures(30, seed=2)
    protocol = GenerationConfig(
        features="mobilenet-v2", metrics=["brightness", "shift"], batch_size=7, intervals=INTERVALS
    )
    network = small_network("mobilenet-v2")
    files = [save_npz(tmp_path / f"{name}.npz", x) for name, x in (("s", samples), ("r", reference))]
    result = measure_generation(*files, protocol, CPU, network=network)
    assert result is not None
    document = json.loads(result.save(tmp_path).read_text())
    numbers = document["subjects"][0]["numbers"]
    assert list(numbers) == ["brightness", "shift-mobilenet-v2"]
    assert numbers["brightness"]["value"] == pytest.approx(samples.mean())
    low, high = numbers["brightness"]["interval"]
    assert low < samples.mean() < high
    rows = [network.rows(torch.from_numpy(x).permute(0, 3, 1, 2)).pool[:, 0] for x in (samples, reference)]
    expected = float((rows[0].mean() - rows[1].mean()).abs())
    assert numbers["shift-mobilenet-v2"]["value"] == pytest.approx(expected, rel=1e-5)
    assert document["quantities"]["brightness"]["explanation"] == "mean level of samples, 0 to 255"
    table = printed(result)
    page = write_report(tmp_path).read_text()
    for text in (table, page):
        assert "Brightness ↑" in text
        assert "Shift ↓" in text
        assert f"{samples.mean():.1f}" in text
        assert f"{numbers['shift-mobilenet-v2']['value']:.4f}" in text
    assert "how far the first feature of samples lies from the reference" in page


@pytest.mark.usefixtures("toys")
def test_a_toy_metric_of_reconstructions(tmp_path: Path) -> None:
    torch.manual_seed(0)
    small = Architecture(z_channels=4, ch=8, ch_mult=(1, 2), num_res_blocks=1, norm_groups=4, resolution=16)
    protocol = ReconstructionConfig(
        metrics=["shift", "brightness", "psnr"], size=None, batch_size=4, worst=0, intervals=INTERVALS
    )
    images = torch.from_numpy(pictures(9)).permute(0, 3, 1, 2).contiguous()
    result = measure_reconstruction(
        Autoencoder(small), images, protocol, CPU, network=small_network(), folder=tmp_path, name="toy"
    )
    assert result is not None
    assert list(result.subjects[0].numbers) == ["rshift", "brightness", "psnr"]
    assert result.quantities["rshift"].label == "rShift"
    assert result.quantities["brightness"].explanation == "mean level of reconstructions, 0 to 255"
    assert (tmp_path / "images.csv").read_text().startswith("image,brightness,psnr\n0,")
    assert "rShift ↓" in printed(result)
    assert result.protocol["perceptual_weights"] is None  # nothing asked for it, so it was not loaded


def test_metrics_that_do_not_fit_are_refused_before_the_work(tmp_path: Path) -> None:
    file = save_npz(tmp_path / "s.npz", pictures(10))
    for metrics, message in ((["psnr"], "samples have no psnr"), (["precison"], "did you mean 'precision'")):
        with pytest.raises(UserError, match=message):
            measure_generation(file, file, GenerationConfig(metrics=metrics), CPU)  # no weights are asked for
    with pytest.raises(UserError, match="did you mean 'psnr'"):
        measure_reconstruction("absent", "absent", ReconstructionConfig(metrics=["psnrr"]), CPU)


def test_what_is_in_memory_gives_what_files_give(tmp_path: Path) -> None:
    samples, reference = pictures(20, seed=1), pictures(25, seed=2)
    tensors = [torch.from_numpy(x).permute(0, 3, 1, 2).contiguous() for x in (samples, reference)]
    protocol = GenerationConfig(batch_size=8, intervals=INTERVALS, limit=18)
    files = [save_npz(tmp_path / f"{i}.npz", x) for i, x in enumerate((samples, reference))]
    network = small_network()
    found = [
        measure_generation(*given, protocol, CPU, network=network)  # type: ignore[arg-type]
        for given in (files, tensors, (iter(tensors[0].split(6)), tensors[1]))
    ]
    numbers = [result.subjects[0].numbers for result in found if result is not None]
    assert len(numbers) == 3
    assert numbers[0] == numbers[1] == numbers[2]
    assert {result.subjects[0].input.images for result in found if result is not None} == {18}


def test_the_protocols_precision_reaches_the_feature_network(tmp_path: Path) -> None:
    files = [save_npz(tmp_path / f"{i}.npz", pictures(20, seed=i)) for i in (1, 2)]
    found = {}
    for precision in ("fp32", "bf16"):
        protocol = GenerationConfig(metrics=["fd"], precision=precision, intervals=INTERVALS)  # type: ignore[arg-type]
        result = measure_generation(*files, protocol, CPU, network=small_network(), cache=tmp_path / "cache")
        assert result is not None
        assert result.protocol["resolved_precision"] == precision
        found[precision] = result.subjects[0].numbers["fid"].value
    assert found["bf16"] != found["fp32"]
    assert found["bf16"] == pytest.approx(found["fp32"], rel=0.1)


def test_metrics_are_told_every_choice_of_a_protocol() -> None:
    intervals = IntervalConfig(bootstrap=70, jackknife=4)
    generation = GenerationConfig(
        neighbours=5, distances="adm-float16", score_chunk=30, intervals=intervals, seed=9
    )
    assert settings_of(generation, CPU) == Settings(70, 4, 9, neighbours=5, half=True, score_chunk=30)
    reconstruction = ReconstructionConfig(
        ssim="signed", perceptual_clamped=False, intervals=intervals, seed=9
    )
    assert settings_of(reconstruction, CPU) == Settings(70, 4, 9, signed_ssim=True, perceptual_clamped=False)
    assert settings_of(GenerationConfig(), CPU) == settings_of(ReconstructionConfig(), CPU) == Settings()


class Lossless(Autoencoder):
    """Its latents are the images."""

    def encode(self, images: Tensor) -> Posterior:
        return Posterior(images, torch.full_like(images, -30.0))

    def decode(self, z: Tensor) -> Tensor:
        return z


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_equal_images_have_no_distance_in_any_precision(precision: str, tmp_path: Path) -> None:
    """Features on both sides are computed alike: rounding of one side alone would be a distance."""
    images = torch.from_numpy(pictures(30)).permute(0, 3, 1, 2).contiguous()
    common: dict[str, Any] = {
        "metrics": ["fd"],
        "precision": precision,
        "batch_size": 8,
        "intervals": INTERVALS,
    }
    small = Architecture(z_channels=4, ch=8, ch_mult=(1, 2), num_res_blocks=1, norm_groups=4, resolution=16)
    protocol = ReconstructionConfig(**common, size=None, worst=0)
    for cache in (None, tmp_path):
        found = [
            measure_generation(
                images, images, GenerationConfig(**common), CPU, network=small_network(), cache=cache
            ),
            measure_reconstruction(
                Lossless(small), images, protocol, CPU, network=small_network(), cache=cache
            ),
        ]
        for result in found:
            assert result is not None
            (number,) = result.subjects[0].numbers.values()
            assert abs(number.value) < 1e-9


def test_pixels_of_float_crops_are_shown_pixels() -> None:
    """A metric of pixels sees 8-bit images whatever the crop gave."""
    from sendvae.evaluation.inputs import as_uint8

    assert as_uint8(torch.full((1, 3, 2, 2), -1.0)).dtype == torch.uint8
    assert np.array_equal(as_uint8(torch.full((1, 3, 2, 2), 1.0)).numpy(), np.full((1, 3, 2, 2), 255))
