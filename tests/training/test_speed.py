"""A log line says how many FLOPs a second were computed, and which share of the device's peak that is."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tests.training.test_jobs import JOBS, SHORT

from sendvae.config import load_config
from sendvae.runs import read_journal
from sendvae.training import speed as speeds
from sendvae.training.estimate import estimate
from sendvae.training.speed import PEAKS, Speed, peak_tflops

CPU = torch.device("cpu")


@pytest.fixture
def peak(monkeypatch: pytest.MonkeyPatch) -> float:
    monkeypatch.setattr(speeds, "_measured", lambda _device, _precision, _threads: 0.5)
    return 0.5


def test_rates_follow_from_images_and_flops(peak: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes have a peak each."""
    speed = Speed(2e9, CPU, "fp32")
    assert speed.rates(50.0) == pytest.approx({"tflops": 0.1, "mfu": 0.1 / peak})
    monkeypatch.setattr(speeds, "world_size", lambda: 4)
    assert speed.rates(50.0) == pytest.approx({"tflops": 0.1, "mfu": 0.1 / (4 * peak)})


@pytest.mark.parametrize("job", JOBS)
def test_every_line_of_a_run_has_them(job: str, tmp_path: Path, peak: float) -> None:
    """By the FLOPs of `--dry-run`, though the configuration leaves the size of the images to the data."""
    train, schema, preset, more = JOBS[job]
    config = load_config(schema, preset, [*SHORT, *more])
    assert config.data.size is None
    train(config, tmp_path / "run", tmp_path / "cache")  # type: ignore[operator]
    columns = read_journal(tmp_path / "run/metrics.jsonl")
    flops = estimate(config).flops_per_image
    assert len(columns["tflops"]) == 2
    for images, tflops, share in zip(
        columns["images_per_second"], columns["tflops"], columns["mfu"], strict=True
    ):
        assert images is not None
        assert tflops == pytest.approx(images * flops / 1e12)
        assert share == pytest.approx(tflops / peak)


def test_counting_leaves_the_random_numbers_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is trained does not depend on what was built to be counted."""
    _, schema, preset, more = JOBS["tokenizer"]
    train = JOBS["tokenizer"][0]
    config = load_config(schema, preset, [*SHORT, *more])
    losses = []
    for name, count in (("counted", True), ("plain", False)):
        if not count:
            monkeypatch.setattr("sendvae.training.jobs._speed", lambda *_arguments: None)
        train(config, tmp_path / name, tmp_path / "cache")  # type: ignore[operator]
        columns = read_journal(tmp_path / name / "metrics.jsonl")
        losses.append([columns["reconstruction"], columns["discriminator"]])
    assert losses[0] == losses[1]


@pytest.mark.parametrize(
    ("name", "precision", "tflops"),
    [
        ("NVIDIA H100 80GB HBM3", "bf16", 989.4),
        ("NVIDIA H100 PCIe", "bf16", 756.0),
        ("NVIDIA A100-SXM4-80GB", "tf32", 156.0),
        ("NVIDIA A10", "bf16", 125.0),
        ("NVIDIA A10G", "bf16", 0.5),
        ("NVIDIA L40S", "bf16", 362.0),
        ("NVIDIA GeForce RTX 4090", "fp32", 82.6),
        ("NVIDIA GeForce RTX 4090 Laptop GPU", "fp32", 0.5),
    ],
)
def test_the_table_is_for_whole_names(
    name: str, precision: str, tflops: float, monkeypatch: pytest.MonkeyPatch, peak: float
) -> None:
    """Any other device is measured."""
    del peak
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _device: name)
    assert peak_tflops(torch.device("cuda", 0), precision) == tflops


def test_a_measured_peak_is_that_of_a_matrix_product(monkeypatch: pytest.MonkeyPatch) -> None:
    """The fastest repeat counts; it is measured once for each precision and number of threads."""
    calls = []
    monkeypatch.setattr(speeds, "_seconds", lambda a: calls.append(a.dtype) or [9.0, 2e-3, 4e-3, 3e-3, 5e-3, 6e-3][len(calls) - 1])  # fmt: skip
    speeds._measured.cache_clear()
    found = peak_tflops(CPU, "bf16")
    assert found == pytest.approx(2 * 1024**3 / 2e-3 / 1e12)
    assert peak_tflops(CPU, "bf16") == found
    assert calls == [torch.bfloat16] * 6
    speeds._measured.cache_clear()
    assert all(set(peaks) == {"bf16", "tf32", "fp32"} for peaks in PEAKS.values())
