"""A log line says how many FLOPs a second were computed, and which share of the device's peak that is."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tests.training.test_jobs import JOBS, SHORT

from sendvae.config import TokenizerConfig, load_config
from sendvae.errors import MachineError
from sendvae.runs import read_journal
from sendvae.runs.caches import in_units
from sendvae.training import speed as speeds
from sendvae.training.cost import Estimate
from sendvae.training.estimate import estimate
from sendvae.training.speed import PEAKS, Speed, peak_tflops
from sendvae.training.stages import DiffusionStage

CPU = torch.device("cpu")


@pytest.fixture
def peak(monkeypatch: pytest.MonkeyPatch) -> float:
    monkeypatch.setattr(speeds, "_measured", lambda _device, _precision, _threads: 0.5)
    return 0.5


def test_rates_follow_from_images_and_flops(peak: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes have a peak each."""
    speed = Speed(2e9, CPU, "fp32", memory=1.0)
    assert speed.rates(50.0) == pytest.approx({"tflops": 0.1, "mfu": 0.1 / peak})
    monkeypatch.setattr(speeds, "world_size", lambda: 4)
    assert speed.rates(50.0) == pytest.approx({"tflops": 0.1, "mfu": 0.1 / (4 * peak)})


@pytest.mark.parametrize(
    "job", ["diffusion", *(pytest.param(job, marks=pytest.mark.slow) for job in JOBS if job != "diffusion")]
)
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
    """What is built to be counted takes none of them."""
    train, schema, preset, more = JOBS["tokenizer"]
    config = load_config(schema, preset, [*SHORT, *more])
    states: list[torch.Tensor] = []

    def count(config: TokenizerConfig) -> Estimate:
        states.append(torch.get_rng_state())
        return estimate(config)

    def begin(*_arguments: object, **_named: object) -> None:
        states.append(torch.get_rng_state())

    monkeypatch.setattr("sendvae.training.jobs.estimate", count)
    monkeypatch.setattr("sendvae.training.jobs.train", begin)
    train(config, tmp_path / "run", tmp_path / "cache")  # type: ignore[operator]
    assert len(states) == 2
    assert torch.equal(*states)


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


@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError("CUDA out of memory."), MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")],
)  # fmt: skip
def test_too_little_memory_names_the_batch_and_what_helps(
    error: Exception, tmp_path: Path, peak: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    del peak
    train, schema, preset, more = JOBS["diffusion"]
    config = load_config(schema, preset, [*SHORT, *more, "repa=null", "loop.accumulate=2"])

    def refuse(*_arguments: object) -> None:
        raise error

    monkeypatch.setattr(DiffusionStage, "step", refuse)
    with pytest.raises(MachineError, match="too small for a batch of 4") as caught:
        train(config, tmp_path / "run", tmp_path / "cache")  # type: ignore[operator]
    said = str(caught.value)
    assert "2 images at a time (loop.accumulate=2)" in said
    assert in_units(int(sum(estimate(config).memory().values()))) in said
    monkeypatch.setattr(DiffusionStage, "step", lambda *_arguments: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        train(config, tmp_path / "other", tmp_path / "cache")  # type: ignore[operator]
