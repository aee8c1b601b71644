"""Six families of tokenizers scored side by side (docs/six-families.md shows the output), and an SD3-layout VAE taken through the paper's method and back."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderKL
from tests.tokenizers.families import save_small
from typer.testing import CliRunner

from sendvae.cli.main import app
from sendvae.data import open_embedded, to_float
from sendvae.tokenizers import load_tokenizer
from sendvae.tokenizers.export import write_component
from sendvae.tokenizers.maetok import MAETok, MAETokShape

runner = CliRunner()
DIFFUSERS = {"sd3": None, "dc-ae": "DC-AE", "wan": "Wan 2.1", "rae": "RAE by position", "taesd": "tiny"}


def run(*arguments: object) -> str:
    result = runner.invoke(app, [*map(str, arguments)], env={"COLUMNS": "160"}, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def sd3(folder: Path) -> None:
    """SD3's layout in small: f8, 16 channels, no convolutions beside the latent, scaled and shifted."""
    torch.manual_seed(5)
    vae = AutoencoderKL(
        block_out_channels=(32, 32, 32, 32),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        norm_num_groups=8,
        latent_channels=16,
        sample_size=64,
        scaling_factor=1.5305,
        shift_factor=0.0609,
        use_quant_conv=False,
        use_post_quant_conv=False,
    )
    vae.save_pretrained(folder)


@pytest.mark.slow
def test_six_families_of_random_weights_in_one_command(tmp_path: Path) -> None:
    sd3(tmp_path / "sd3")
    for name, small in DIFFUSERS.items():
        if small is not None:
            save_small(small, tmp_path / name, {"patch_size": 16} if name == "rae" else None)
    torch.manual_seed(6)
    one = MAETok(MAETokShape(tokens=16, dims=8, size=64, patch=16, width=128, depth=2, heads=2))
    (tmp_path / "maetok").mkdir()
    write_component(one, tmp_path / "maetok")
    names = [*DIFFUSERS, "maetok"]
    output = run(
        "evaluate", "latents", *(tmp_path / name for name in names), "--protocol", "evaluate/latents-quick",
        "scores=[attributes,gap,spectrum,structure,velocity_floor,dimension]", "limit=300",
        "--cache", tmp_path / "cache", "--output", tmp_path / "out",
    )  # fmt: skip
    result = json.loads((tmp_path / "out/results.json").read_text())
    assert [subject["name"] for subject in result["subjects"]] == names
    for subject in result["subjects"]:
        grid = len(subject["details"]["latent"]) == 3
        assert ("spectrum_slope" in subject["numbers"]) == grid
        assert ("no spectrum" in subject["details"]) != grid
        assert all(math.isfinite(number["value"]) for number in subject["numbers"].values())
    differences = result["findings"]["differences"]
    assert list(differences) == names[1:]
    for found in differences.values():
        low, high = found["f1_micro"]["interval"]
        assert low <= found["f1_micro"]["value"] <= high
    assert "minus sd3" in output


@pytest.mark.slow
def test_an_sd3_vae_is_fine_tuned_by_send_vae_exported_and_decoded_by_diffusers(tmp_path: Path) -> None:
    sd3(tmp_path / "sd3")
    run(
        "train", "tokenizer", "demo/send-vae", f"init={tmp_path / 'sd3'}", "loop.images=64", "loop.batch_size=8",
        "loop.log_every=32", "data.limit=64", "statistics_images=64", "optimizer.warmup=0",
        "--run", tmp_path / "run", "--cache", tmp_path / "cache",
    )  # fmt: skip
    run("export", tmp_path / "run", "--to", "diffusers", "--output", tmp_path / "exported")
    ours = load_tokenizer(tmp_path / "run")
    theirs = AutoencoderKL.from_pretrained(tmp_path / "exported").eval()
    before = AutoencoderKL.from_pretrained(tmp_path / "sd3").eval()
    assert not theirs.config.use_quant_conv
    assert set(theirs.state_dict()) == set(before.state_dict())
    images = to_float(open_embedded("emoji", "test", limit=4).pixels)
    with torch.no_grad():
        z = theirs.encode(images).latent_dist.mean
        torch.testing.assert_close(z, ours.encode(images).mean, rtol=1e-4, atol=1e-5)
        pixels = [
            ((d(z) + 1) * 127.5).clamp(0, 255).round()
            for d in (lambda z: theirs.decode(z).sample, ours.decode)
        ]
        assert (pixels[0] - pixels[1]).abs().max() <= 1  # of 255, where rounding tips a pixel
        assert (pixels[0] != pixels[1]).float().mean() < 1e-3
        moved = (
            (before.decode(before.encode(images).latent_dist.mean).sample - theirs.decode(z).sample)
            .abs()
            .mean()
        )
    assert moved > 1e-3  # training changed it
    assert ours.latent_stats is not None
    mean = torch.tensor(theirs.config.latents_mean)
    torch.testing.assert_close(mean, ours.latent_stats.mean, rtol=1e-5, atol=1e-6)
