"""The quick demo as a user runs it, and what it leaves behind."""

from __future__ import annotations

import os
import re
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


SMALL = [
    "limit=64",
    "diffusion_images=64",
    "tokenizer_images=32",
    "sampling.steps=4",
    "evaluation.reconstruction.limit=32",
    "evaluation.latents.uniformity.samples=60",
    "models=[demo-sit-send]",
    "latents=[demo-send-vae]",
]


@pytest.mark.timeout(900)
def test_quick_demo_from_start_to_report(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    result = demo(folder, *SMALL)
    assert result.returncode == 0, result.stderr[-2000:]
    assert (folder / "report.html").stat().st_size > 100_000
    assert f"{folder / 'report.html'} follows the run" in result.stdout
    assert 'http-equiv="refresh"' not in (folder / "report.html").read_text()  # it has ended
    cells = {cell.name: cell for cell in load_cells(folder)}
    assert list(cells) == ["demo-plain", "demo-send-vae", "base", "send-vae-0", "sit-demo-send-vae-0"]
    assert set(COLUMNS) <= cells["demo-send-vae"].metrics.keys()
    assert set(COLUMNS) & cells["demo-plain"].metrics.keys()  # it is scored, and not sampled here
    assert "f1_macro" in cells["base"].metrics.keys() & cells["send-vae-0"].metrics.keys()
    assert cells["send-vae-0"].curves.keys() == {"tokenizer"}
    assert cells["sit-demo-send-vae-0"].curves.keys() == {"diffusion"}
    assert "fd-mobilenet-v2" in cells["sit-demo-send-vae-0"].metrics
    assert all(cell.peak_memory_gib < 4.0 for cell in cells.values())
    said = re.findall(r'<p class="verdict">(.*?)</p>', (folder / "report.html").read_text(), re.S)
    assert [sentence.split(" ")[0] for sentence in said] == ["This", "Measured", "The"], said
    assert said[0].startswith("This run: the latent space of Send-VAE"), said
    # Again: nothing is computed twice.
    done = {path: path.stat().st_mtime_ns for path in folder.glob("stages/*/*")}
    assert demo(folder, *SMALL).returncode == 0
    assert done == {path: path.stat().st_mtime_ns for path in folder.glob("stages/*/*")}


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_another_protocol_computes_only_what_it_is_about(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    assert demo(folder, *SMALL).returncode == 0
    done = {path: path.stat().st_mtime_ns for path in folder.glob("stages/*/*")}
    assert demo(folder, *SMALL, "evaluation.latents.uniformity.samples=50").returncode == 0
    new = [path.parent.name for path in folder.glob("stages/*/done.json") if path not in done]
    assert len(new) == 4
    assert all(name.startswith("tokenizer-scores-") for name in new)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_base_tokenizer_can_be_trained_from_scratch(tmp_path: Path) -> None:
    result = demo(
        tmp_path / "demo", "--from-scratch", "methods=[demo/plain]", "limit=64", "latents=[]", "models=[]"
    )
    assert result.returncode == 0, result.stderr[-2000:]
    cells = {cell.name: cell for cell in load_cells(tmp_path / "demo")}
    base, plain = cells["base"], cells["plain-0"]
    assert base.metrics["psnr"].value < 20.0  # hardly trained
    assert plain.metrics["psnr"].value < 20.0  # and what started from it
