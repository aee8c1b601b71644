"""Exports: diffusers computes the same tensors, every layout comes back bit-equal."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderKL

from sendvae.errors import UserError
from sendvae.tokenizers import Autoencoder, LatentStats, build_tokenizer, load_tokenizer
from sendvae.tokenizers.export import LAYOUTS, export_tokenizer


def differences(
    ours: Autoencoder, folder: Path, size: int, dtype: torch.dtype = torch.float32
) -> tuple[float, float]:
    """Largest absolute difference of the moments and of the decoded image."""
    theirs = AutoencoderKL.from_pretrained(folder).eval().to(dtype)
    ours = ours.to(dtype)
    images = torch.rand(1, 3, size, size, dtype=dtype) * 2 - 1
    with torch.no_grad():
        posterior, expected = ours.encode(images), theirs.encode(images).latent_dist
        moments = max(
            (posterior.mean - expected.mean).abs().max(), (posterior.logvar - expected.logvar).abs().max()
        )
        decoded = ours.decode(posterior.mode()) - theirs.decode(posterior.mode()).sample
    return float(moments), float(decoded.abs().max())


def test_diffusers_computes_the_same_tensors(small: Autoencoder, tmp_path: Path) -> None:
    with torch.no_grad():  # norms that do not start at one and zero show a swap of norms too
        for parameter in small.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    export_tokenizer(small, tmp_path / "vae", "diffusers")
    assert max(differences(small, tmp_path / "vae", 40)) < 1e-5


def test_shipped_weights_give_the_same_tensors(tmp_path: Path) -> None:
    tokenizer = load_tokenizer("demo-f8d16")
    export_tokenizer(tokenizer, tmp_path / "vae", "diffusers")
    assert max(differences(tokenizer, tmp_path / "vae", 64)) < 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("size", [256, 512])
@pytest.mark.parametrize("name", ["f8d4", "f16d16", "f16d32", "f16d64"])
def test_published_layouts_in_diffusers(name: str, size: int, tmp_path: Path) -> None:
    tokenizer = build_tokenizer(name).eval()
    export_tokenizer(tokenizer, tmp_path / "vae", "diffusers")
    assert max(differences(tokenizer, tmp_path / "vae", size)) < 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("name", ["f8d4", "f16d16", "f16d32", "f16d64"])
def test_published_layouts_in_diffusers_exactly(name: str, tmp_path: Path) -> None:
    tokenizer = build_tokenizer(name).eval()
    export_tokenizer(tokenizer, tmp_path / "vae", "diffusers")
    assert max(differences(tokenizer, tmp_path / "vae", 256, torch.float64)) < 1e-9


@pytest.mark.parametrize("layout", LAYOUTS)
def test_what_is_exported_loads_again_bit_equal(layout: str, small: Autoencoder, tmp_path: Path) -> None:
    export_tokenizer(small, tmp_path / "out", layout, card={"licence": "MIT", "metrics": {"psnr": 30.0}})
    back = load_tokenizer(tmp_path / "out")
    assert back.architecture == small.architecture
    for key, tensor in small.state_dict().items():
        assert torch.equal(back.state_dict()[key], tensor)
    assert back.latent_stats is not None
    assert small.latent_stats is not None
    torch.testing.assert_close(back.latent_stats.mean, small.latent_stats.mean, rtol=0, atol=0)
    torch.testing.assert_close(back.latent_stats.std, small.latent_stats.std, rtol=1e-6, atol=0)
    card = (tmp_path / "out/README.md").read_text()
    assert card.startswith("---\n")
    assert "license: mit" in card
    assert '"psnr": 30.0' in card


def test_diffusers_folder_to_ours_and_back_is_bit_equal(small: Autoencoder, tmp_path: Path) -> None:
    export_tokenizer(small, tmp_path / "a", "diffusers")
    export_tokenizer(load_tokenizer(tmp_path / "a"), tmp_path / "b", "diffusers")
    for name in ("config.json", "diffusion_pytorch_model.safetensors"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_what_diffusers_saves_loads(small: Autoencoder, tmp_path: Path) -> None:
    export_tokenizer(small, tmp_path / "ours", "diffusers")
    AutoencoderKL.from_pretrained(tmp_path / "ours").save_pretrained(tmp_path / "theirs" / "vae")
    back = load_tokenizer(tmp_path / "theirs")  # a pipeline's folder keeps its VAE in vae/
    assert all(torch.equal(back.state_dict()[key], value) for key, value in small.state_dict().items())
    assert back.latent_stats is not None
    assert small.latent_stats is not None
    assert torch.equal(back.latent_stats.std, small.latent_stats.std)


@pytest.mark.parametrize(("shift", "scale"), [(0.0, 0.18215), (0.0609, 1.5305)])
def test_one_scaling_for_all_channels_is_diffusers_own(
    shift: float, scale: float, small: Autoencoder, tmp_path: Path
) -> None:
    small.latent_stats = LatentStats(torch.full((4,), shift), torch.full((4,), 1 / scale))
    export_tokenizer(small, tmp_path / "vae", "diffusers")
    config = AutoencoderKL.from_pretrained(tmp_path / "vae").config
    assert config.scaling_factor == pytest.approx(scale, rel=1e-6)
    assert (config.shift_factor or 0.0) == pytest.approx(shift)
    assert config.latents_mean is None
    back = load_tokenizer(tmp_path / "vae").latent_stats
    assert back is not None
    assert torch.equal(back.std, small.latent_stats.std)
    assert torch.equal(back.mean, small.latent_stats.mean)


def test_without_statistics(small: Autoencoder, tmp_path: Path) -> None:
    small.latent_stats = None
    for layout in LAYOUTS:
        export_tokenizer(small, tmp_path / layout, layout)
        assert load_tokenizer(tmp_path / layout).latent_stats is None


def test_half_precision(small: Autoencoder, tmp_path: Path) -> None:
    export_tokenizer(small, tmp_path / "half", "diffusers", dtype=torch.float16)
    back = load_tokenizer(tmp_path / "half").encoder.conv_in.weight
    assert back.dtype == torch.float32
    assert torch.equal(back, small.encoder.conv_in.weight.half().float())


def test_unknown_layout_leaves_nothing_behind(small: Autoencoder, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="did you mean 'diffusers'"):
        export_tokenizer(small, tmp_path / "out", "difusers")
    assert not list(tmp_path.iterdir())
