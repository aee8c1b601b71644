"""The quick demo as a user runs it, and what it leaves behind."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from sendvae.experiments.demo_texts import COLUMNS
from sendvae.experiments.record import load_cells


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
    assert f"{folder / 'report.html'} follows the run" in result.stdout
    assert 'http-equiv="refresh"' not in (folder / "report.html").read_text()  # it has ended
    base, *others = load_cells(folder)
    assert base.name == "base"
    assert [cell.name for cell in others] == ["plain-0", "direct-0", "mapper-0", "send-vae-0"]
    for cell in others:
        assert set(COLUMNS) <= cell.metrics.keys()
        assert cell.curves.keys() == {"tokenizer", "diffusion"}
        assert cell.peak_memory_gib < 4.0
    text = (folder / "report.html").read_text()
    assert "has both the most separable" in text or "has the most separable" in text
    # Again: nothing is computed twice.
    done = {path: path.stat().st_mtime_ns for path in folder.glob("stages/*/*")}
    assert demo(folder, *small).returncode == 0
    assert done == {path: path.stat().st_mtime_ns for path in folder.glob("stages/*/*")}
    # With another protocol: only what it is about.
    assert demo(folder, *small[:-1], "evaluation.latents.uniformity.samples=50").returncode == 0
    new = [path.parent.name for path in folder.glob("stages/*/done.json") if path not in done]
    assert len(new) == 5
    assert all(name.startswith("tokenizer-scores-") for name in new)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_base_tokenizer_can_be_trained_from_scratch(tmp_path: Path) -> None:
    result = demo(
        tmp_path / "demo", "--from-scratch", "methods=[demo/plain]", "limit=64", "diffusion_images=128"
    )
    assert result.returncode == 0, result.stderr[-2000:]
    base, plain = load_cells(tmp_path / "demo")
    assert base.metrics["psnr"].value < 20.0  # hardly trained
    assert plain.metrics["psnr"].value < 20.0  # and what started from it
