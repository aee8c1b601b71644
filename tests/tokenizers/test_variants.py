"""VAEs of latent-diffusion's architecture without the 1x1 convolutions (SD3, FLUX.1), and with packed latents (FLUX.2)."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch
from safetensors.torch import load_file, save_file

from sendvae.errors import UserError
from sendvae.tokenizers import Architecture, Autoencoder, LatentStats, load_tokenizer
from sendvae.tokenizers.export import export_tokenizer, usage
from sendvae.tokenizers.sliced import decode_sliced, encode_sliced

SMALL = Architecture(z_channels=4, ch=32, ch_mult=(1, 2), num_res_blocks=1, norm_groups=8)
VARIANTS = {
    "SD3": replace(SMALL, quant_conv=False, post_quant_conv=False),
    "encoder's convolution alone": replace(SMALL, post_quant_conv=False),
    "decoder's convolution alone": replace(SMALL, quant_conv=False),
    "FLUX.2": replace(SMALL, packing=2),
    "FLUX.2 without convolutions": replace(SMALL, quant_conv=False, post_quant_conv=False, packing=2),
}
BLOCKS: dict[str, Any] = {
    "block_out_channels": (32, 64),
    "down_block_types": ("DownEncoderBlock2D",) * 2,
    "up_block_types": ("UpDecoderBlock2D",) * 2,
    "layers_per_block": 1,
    "norm_num_groups": 8,
    "latent_channels": 4,
}


def build(architecture: Architecture) -> Autoencoder:
    """Weights and statistics that no two of are alike."""
    tokenizer = Autoencoder(architecture).eval()
    with torch.no_grad():
        for parameter in tokenizer.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    channels = tokenizer.latent_channels
    tokenizer.latent_stats = LatentStats(torch.randn(channels), torch.rand(channels) + 0.5)
    return tokenizer


def theirs(architecture: Architecture, folder: Path, **fields: Any) -> Any:
    """A network of diffusers' own, saved, with statistics that are not those of a new one."""
    kind = diffusers.AutoencoderKL if architecture.packing == 1 else diffusers.AutoencoderKLFlux2
    network = kind(
        **BLOCKS,
        use_quant_conv=architecture.quant_conv,
        use_post_quant_conv=architecture.post_quant_conv,
        **fields,
    ).eval()
    if architecture.packing > 1:
        network.bn.running_mean.normal_()
        network.bn.running_var.uniform_(0.001, 2.0)
    network.save_pretrained(folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(
        json.dumps({**config, "force_upcast": True})
    )  # as published ones have it
    return network


def images(height: int, width: int) -> torch.Tensor:
    return torch.rand(2, 3, height, width, generator=torch.Generator().manual_seed(1)) * 2 - 1


@torch.no_grad()
@pytest.mark.parametrize("name", VARIANTS)
@pytest.mark.parametrize("size", [(16, 16), (32, 16)])
def test_latents_and_images_are_those_of_diffusers(name: str, size: tuple[int, int], tmp_path: Path) -> None:
    network, side = theirs(VARIANTS[name], tmp_path), VARIANTS[name].packing
    ours, pixels = load_tokenizer(tmp_path), images(*size)
    expected, found = network.encode(pixels).latent_dist, ours.encode(pixels)
    if side == 1:
        torch.testing.assert_close(found.mean, expected.mean)
        torch.testing.assert_close(found.logvar, expected.logvar)
    else:  # by the pipelines' own steps: squares of 2 x 2 positions behind the channel
        b, c, h, w = expected.mean.shape
        squares = expected.mean.view(b, c, h // 2, 2, w // 2, 2).permute(0, 1, 3, 5, 2, 4)
        packed = squares.reshape(b, 4 * c, h // 2, w // 2)
        torch.testing.assert_close(found.mean, packed)
        assert ours.latent_stats is not None
        mean = network.bn.running_mean.view(1, -1, 1, 1)
        std = (network.bn.running_var.view(1, -1, 1, 1) + network.config.batch_norm_eps).sqrt()
        torch.testing.assert_close(ours.latent_stats.normalize(found.mean), (packed - mean) / std)
    torch.testing.assert_close(ours.decode(found.mean), network.decode(expected.mean).sample)
    if size[0] == size[1]:
        assert tuple(found.mean.shape[1:]) == ours.latent_shape(size[0])


@pytest.mark.parametrize("name", VARIANTS)
@pytest.mark.parametrize("layout", ["diffusers", "ldm", "safetensors"])
def test_exports_come_back(name: str, layout: str, tmp_path: Path) -> None:
    tokenizer = build(VARIANTS[name])
    export_tokenizer(tokenizer, tmp_path / "out", layout)
    if layout == "ldm":  # 8 groups are in no file
        weights = torch.load(tmp_path / "out/out.pt", weights_only=True)
        assert ("quant_conv.weight" in weights) == VARIANTS[name].quant_conv
        assert ("bn.running_mean" in weights) == (VARIANTS[name].packing == 2)
    back = load_tokenizer(tmp_path / "out")
    assert replace(back.architecture, norm_groups=8) == tokenizer.architecture
    state = tokenizer.state_dict()
    assert state.keys() == back.state_dict().keys()
    assert all(torch.equal(back.state_dict()[key], value) for key, value in state.items())
    assert back.latent_stats is not None
    assert tokenizer.latent_stats is not None
    torch.testing.assert_close(back.latent_stats.mean, tokenizer.latent_stats.mean, rtol=0, atol=0)
    torch.testing.assert_close(back.latent_stats.std, tokenizer.latent_stats.std)


@torch.no_grad()
@pytest.mark.parametrize("name", VARIANTS)
def test_diffusers_loads_exports_as_its_class_and_the_printed_lines_run(name: str, tmp_path: Path) -> None:
    tokenizer = build(VARIANTS[name])
    export_tokenizer(tokenizer, tmp_path / "vae", "diffusers")
    pixels = images(32, 32)
    scope: dict[str, Any] = {"images": pixels}
    exec(usage(tokenizer, tmp_path / "vae", "diffusers"), scope)
    kind = diffusers.AutoencoderKL if VARIANTS[name].packing == 1 else diffusers.AutoencoderKLFlux2
    vae = scope["vae"]
    assert type(vae) is kind
    theirs(VARIANTS[name], tmp_path / "theirs")
    names = set(kind.from_pretrained(tmp_path / "theirs").state_dict())
    assert set(vae.state_dict()) == names
    assert tokenizer.latent_stats is not None
    z, posterior = scope["z"], tokenizer.encode(pixels)
    assert float(((z - posterior.mean) / posterior.std).abs().max()) < 6.0
    torch.testing.assert_close(scope["latents"], tokenizer.latent_stats.normalize(z), rtol=1e-5, atol=1e-4)
    torch.testing.assert_close(scope["reconstruction"], tokenizer.decode(z), rtol=1e-4, atol=1e-4)


def test_flux2_as_its_makers_publish_it(tmp_path: Path) -> None:
    """Their file has the 1x1 convolutions inside of encoder and decoder, and no configuration beside it."""
    tokenizer = Autoencoder(replace(SMALL, norm_groups=32, packing=2))
    stats = tokenizer.latent_stats = LatentStats(torch.randn(16), torch.rand(16) + 0.5)
    export_tokenizer(tokenizer, tmp_path / "ae", "ldm")
    weights = torch.load(tmp_path / "ae/ae.pt", weights_only=True)
    inside = {"quant_conv": "encoder.quant_conv", "post_quant_conv": "decoder.post_quant_conv"}
    published = {
        ".".join((inside.get(key.partition(".")[0], key.partition(".")[0]), key.partition(".")[2])): value
        for key, value in weights.items()
    }
    assert published.keys() != weights.keys()
    torch.save(published, tmp_path / "flux2.pt")
    back = load_tokenizer(tmp_path / "flux2.pt")
    assert back.architecture == tokenizer.architecture
    assert all(torch.equal(back.state_dict()[key], value) for key, value in tokenizer.state_dict().items())
    assert back.latent_stats is not None
    torch.testing.assert_close(back.latent_stats.std, stats.std)


@pytest.mark.parametrize("field", ["use_quant_conv", "use_post_quant_conv"])
def test_a_convolution_that_the_configuration_denies_is_not_ignored(field: str, tmp_path: Path) -> None:
    theirs(SMALL, tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, field: False}))
    with pytest.raises(UserError, match=rf"2 unexpected: {field.removeprefix('use_')}.bias"):
        load_tokenizer(tmp_path)


@pytest.mark.parametrize(
    ("fields", "mean", "std"),
    [
        ({"scaling_factor": 1.5305, "shift_factor": 0.0609}, 0.0609, 1 / 1.5305),  # SD3
        ({"scaling_factor": 0.3611, "shift_factor": 0.1159}, 0.1159, 1 / 0.3611),  # FLUX.1
        ({"scaling_factor": 1.0, "shift_factor": None}, None, None),
    ],
)
def test_declared_statistics(
    fields: dict[str, float], mean: float | None, std: float | None, tmp_path: Path
) -> None:
    theirs(VARIANTS["SD3"], tmp_path, **fields)
    stats = load_tokenizer(tmp_path).latent_stats
    if mean is None or std is None:
        assert stats is None
    else:
        assert stats is not None
        torch.testing.assert_close(stats.mean, torch.full((4,), mean))
        torch.testing.assert_close(stats.std, torch.full((4,), std))


def test_statistics_that_no_variance_gives_are_refused(tmp_path: Path) -> None:
    tokenizer = build(VARIANTS["FLUX.2"])
    tokenizer.latent_stats = LatentStats(torch.zeros(16), torch.full((16,), 0.009))
    with pytest.raises(UserError, match=r"0.009(?s:.*)0.01 or more"):
        export_tokenizer(tokenizer, tmp_path / "out", "diffusers")
    assert not (tmp_path / "out").exists()


@torch.no_grad()
def test_the_raw_space_of_flux2_is_that_before_packing(tmp_path: Path) -> None:
    """Its statistics are nobody's: those in the file are of packed latents."""
    network, pixels = theirs(VARIANTS["FLUX.2"], tmp_path), images(32, 16)
    raw = load_tokenizer(tmp_path, latent_space="raw")
    z = network.encode(pixels).latent_dist.mean
    torch.testing.assert_close(raw.encode(pixels).mean, z)
    torch.testing.assert_close(raw.decode(z), network.decode(z).sample)
    assert raw.latent_shape(32) == (4, 16, 16)
    assert raw.latent_stats is None
    assert raw.identity != load_tokenizer(tmp_path).identity


def test_half_of_the_packed_statistics_is_refused(tmp_path: Path) -> None:
    theirs(VARIANTS["FLUX.2"], tmp_path)
    path = tmp_path / "diffusion_pytorch_model.safetensors"
    weights = load_file(path)
    del weights["bn.running_var"]
    save_file(weights, path)
    with pytest.raises(UserError, match=r"not complete(?s:.*)no bn\.running_var"):
        load_tokenizer(tmp_path)


@pytest.mark.parametrize("name", VARIANTS)
def test_strips_of_large_images(name: str) -> None:
    tokenizer, pixels = build(VARIANTS[name]), images(24, 16)
    with torch.no_grad():
        posterior = tokenizer.encode(pixels)
        torch.testing.assert_close(encode_sliced(tokenizer, pixels, 5).mean, posterior.mean)
        torch.testing.assert_close(
            decode_sliced(tokenizer, posterior.mean, 5),
            tokenizer.decode(posterior.mean),
            atol=1e-4,
            rtol=1e-4,
        )
