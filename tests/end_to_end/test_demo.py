"""The quick demo as a user runs it, and what it leaves behind."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from sendvae.experiments.summary import Summary


def demo(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [
        sys.executable,
        "-c",
        "from sendvae.cli.main import main; main()",
        "demo",
        "--quick",
        "--run",
        str(folder),
    ]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    return subprocess.run([*command, *arguments], capture_output=True, text=True, env=environment)


@pytest.mark.timeout(900)
def test_quick_demo_from_start_to_report(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    small = [
        "limit=96",
        "diffusion_images=128",
        "tokenizer_images=32",
        "evaluation.reconstruction.limit=32",
        "evaluation.latents.uniformity.samples=60",
    ]
    result = demo(folder, *small)
    assert result.returncode == 0, result.stderr[-2000:]
    assert (folder / "report.html").stat().st_size > 100_000
    summary = Summary.load(folder / "summary.json")
    assert [run.method for run in summary.runs] == ["base", "plain", "direct", "mapper", "send-vae"]
    keys = summary.metrics.keys()
    for run in summary.runs[1:]:
        assert keys <= run.metrics.keys()
        assert run.diffusion_curve is not None
    assert summary.peak_memory_gib < 6.0
    # Again: nothing is computed twice, and other settings are refused.
    trained = {path: path.stat().st_mtime_ns for path in folder.rglob("*.safetensors")}
    assert demo(folder, *small).returncode == 0
    assert trained == {path: path.stat().st_mtime_ns for path in folder.rglob("*.safetensors")}
    other = demo(folder, *small[:-1])
    assert other.returncode == 2
    assert "evaluation.latents.uniformity.samples" in other.stderr


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_base_tokenizer_can_be_trained_from_scratch(tmp_path: Path) -> None:
    result = demo(
        tmp_path / "demo", "--from-scratch", "methods=[demo/plain]", "limit=64", "diffusion_images=128"
    )
    assert result.returncode == 0, result.stderr[-2000:]
    assert Summary.load(tmp_path / "demo/summary.json").runs[0].metrics["psnr"] < 20.0  # hardly trained
