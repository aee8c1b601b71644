"""diffusers' autoencoder classes as tokenizers: latents and images are diffusers' own."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch
from tests.tokenizers.families import FIXED, SMALL, decode, encode, save_small

from sendvae.errors import UserError
from sendvae.tokenizers import LatentStats, Tokenizer, check_trainable, load_tokenizer, trainable
from sendvae.tokenizers.diffusers_families import FAMILIES
from sendvae.tokenizers.export import export_tokenizer


def images(height: int, width: int) -> torch.Tensor:
    return torch.rand(3, 3, height, width, generator=torch.Generator().manual_seed(1)) * 2 - 1


def close(found: torch.Tensor, expected: torch.Tensor) -> None:
    """To 1e-5 of the largest value."""
    assert found.shape == expected.shape
    assert float((found - expected).abs().max()) <= 1e-5 * float(expected.abs().max())


def test_every_class_is_tested() -> None:
    assert {kind for kind, _, _ in SMALL.values()} == set(FAMILIES)


SIZES = ((32, 32), (64, 32))
CASES = [(name, size) for name in SMALL for size in SIZES if size[0] == size[1] or name not in FIXED]


@torch.no_grad()
@pytest.mark.parametrize(("name", "size"), CASES)
def test_latents_and_reconstructions_are_those_of_diffusers(
    name: str, size: tuple[int, int], tmp_path: Path
) -> None:
    network, pixels = save_small(name, tmp_path), images(*size)
    tokenizer = load_tokenizer(tmp_path)
    mean, std = encode(network, pixels)
    posterior = tokenizer.encode(pixels)
    latent, restored = posterior.mean, tokenizer.decode(posterior.mean)
    if type(network).__name__ == "AutoencoderRAE" and tokenizer.latent_stats is not None:
        latent = tokenizer.latent_stats.normalize(latent)  # as diffusers gives it
    packed = type(network).__name__ == "AutoencoderKLFlux2"
    close(latent, torch.nn.functional.pixel_unshuffle(mean, 2) if packed else mean)
    if std is None:
        assert torch.equal(posterior.std, torch.zeros_like(latent))
    else:
        close(posterior.std, torch.nn.functional.pixel_unshuffle(std, 2) if packed else std)
    close(restored, decode(network, mean))
    assert restored.shape == pixels.shape


@torch.no_grad()
@pytest.mark.parametrize("name", SMALL)
def test_shapes_sizes_and_identity(name: str, tmp_path: Path) -> None:
    save_small(name, tmp_path)
    tokenizer, shape = load_tokenizer(tmp_path), SMALL[name][2]
    assert tuple(tokenizer.encode(images(32, 32)).mean.shape[1:]) == tokenizer.latent_shape(32) == shape
    assert tokenizer.downsampling == 32 // shape[1]
    assert tokenizer.latent_channels == shape[0]
    assert tokenizer.one_size == (name in FIXED)
    assert tokenizer.expected_size(32, 32) is None
    assert tokenizer.expected_size(33, 32) is not None
    assert (tokenizer.expected_size(64, 64) is None) == (name not in FIXED)
    json.dumps(tokenizer.identity)
    assert not any(parameter.requires_grad for parameter in tokenizer.parameters())
    assert not any(module.training for module in tokenizer.train().modules())


EXPECTED = {
    "relu": LatentStats(torch.full((4,), 0.7), torch.full((4,), 1 / 0.3)),
    "no attention": LatentStats(torch.zeros(4), torch.full((4,), 1 / 0.18215)),
    "asymmetric": LatentStats(torch.zeros(4), torch.full((4,), 4.0)),
    "tiny": None,
    "DC-AE": LatentStats(torch.zeros(8), torch.full((8,), 1 / 0.41407)),
    "HunyuanImage": LatentStats(torch.zeros(4), torch.full((4,), 1 / 0.75289)),
    "Qwen-Image": LatentStats(torch.tensor([0.5, -1.0, 2.0, 0.1]), torch.tensor([2.0, 0.5, 3.0, 1.5])),
    "Wan 2.1": LatentStats(torch.tensor([0.5, -1.0, 2.0, 0.1]), torch.tensor([2.0, 0.5, 3.0, 1.5])),
    "Wan 2.2": LatentStats(torch.tensor([0.5, -1.0, 2.0, 0.1]), torch.tensor([2.0, 0.5, 3.0, 1.5])),
    "RAE": None,
    "VQ": LatentStats(torch.zeros(3), torch.full((3,), 1 / 0.18215)),
}


@pytest.mark.parametrize("name", EXPECTED)
def test_declared_statistics(name: str, tmp_path: Path) -> None:
    save_small(name, tmp_path)
    same(load_tokenizer(tmp_path).latent_stats, EXPECTED[name])


def test_statistics_that_lie_among_the_weights(tmp_path: Path) -> None:
    flux = save_small("FLUX.2's small decoder", tmp_path / "flux")
    expected = LatentStats(flux.bn.running_mean, (flux.bn.running_var + 1e-4).sqrt())
    same(load_tokenizer(tmp_path / "flux").latent_stats, expected)
    raw = load_tokenizer(tmp_path / "flux", latent_space="raw")
    assert raw.latent_stats is None
    assert raw.latent_shape(32) == (4, 16, 16)
    assert raw.identity != load_tokenizer(tmp_path / "flux").identity
    pixels = images(32, 32)
    with torch.no_grad():
        close(raw.encode(pixels).mean, flux.encode(pixels).latent_dist.mean)
        close(raw.decode(raw.encode(pixels).mean), flux.decode(flux.encode(pixels).latent_dist.mean).sample)
    for name, shape, scale in (("RAE by position", (64, 4, 4), 1.0), ("RAE by channel", (64,), 0.5)):
        network = save_small(name, tmp_path / name)
        mean, std = (values.reshape(shape) for values in (network._latents_mean, network._latents_std))
        same(load_tokenizer(tmp_path / name).latent_stats, LatentStats(mean, (std + 1e-5) / scale))


def test_statistics_of_rae_need_no_configuration(tmp_path: Path) -> None:
    """Published folders may keep them among the weights alone."""
    network = save_small("RAE by position", tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    config |= {"latents_mean": None, "latents_std": None}
    (tmp_path / "config.json").write_text(json.dumps(config))
    found = load_tokenizer(tmp_path).latent_stats
    same(found, LatentStats(network._latents_mean, network._latents_std + 1e-5))


def same(found: LatentStats | None, expected: LatentStats | None) -> None:
    if expected is None:
        assert found is None
    else:
        assert found is not None
        torch.testing.assert_close(found.mean, expected.mean)
        torch.testing.assert_close(found.std, expected.std)


@torch.no_grad()
@pytest.mark.parametrize("name", ["relu", "DC-AE"])
@pytest.mark.parametrize(
    "options", [{"max_shard_size": "20KB"}, {"variant": "fp16"}, {"safe_serialization": False}]
)
def test_layouts_of_weights(name: str, options: dict[str, object], tmp_path: Path) -> None:
    """Shards, variants and pickles, in a pipeline's vae folder."""
    network = save_small(name, tmp_path / "vae", **options)
    files = list((tmp_path / "vae").iterdir())
    assert "max_shard_size" not in options or len(files) > 3
    tokenizer, pixels = load_tokenizer(tmp_path), images(32, 32)
    close(tokenizer.encode(pixels).mean, encode(network, pixels)[0])


def test_sharded_half_precision_of_a_native_class(tmp_path: Path) -> None:
    import diffusers
    from tests.tokenizers.families import KL

    network = diffusers.AutoencoderKL(**KL).eval().half()
    network.save_pretrained(tmp_path, variant="fp16", max_shard_size="20KB")
    assert len(list(tmp_path.glob("*.fp16-*.safetensors"))) > 1
    tokenizer = load_tokenizer(tmp_path)
    expected = network.float().encode(images(32, 32)).latent_dist.mean
    torch.testing.assert_close(tokenizer.encode(images(32, 32)).mean, expected)
    assert next(tokenizer.parameters()).dtype == torch.float32
    lost = sorted(tmp_path.glob("*.fp16-*.safetensors"))[1]
    lost.unlink()
    with pytest.raises(UserError, match=rf"missing(?s:.*)no {lost.name}"):
        load_tokenizer(tmp_path)


def test_an_index_reads_no_files_elsewhere(tmp_path: Path) -> None:
    save_small("relu", tmp_path / "vae", max_shard_size="20KB")
    (index,) = (tmp_path / "vae").glob("*.index.json")
    content = json.loads(index.read_text())
    torch.save({}, tmp_path / "secret.pt")
    content["weight_map"]["encoder.conv_in.weight"] = "../secret.pt"
    index.write_text(json.dumps(content))
    with pytest.raises(UserError, match=r"missing(?s:.*)\.\./secret\.pt"):
        load_tokenizer(tmp_path / "vae")


def test_loading_leaves_the_random_generator_alone(tmp_path: Path) -> None:
    save_small("tiny", tmp_path)
    torch.manual_seed(5)
    load_tokenizer(tmp_path)
    found = torch.rand(1)
    torch.manual_seed(5)
    assert torch.equal(torch.rand(1), found)


def altered(folder: Path, **changes: object) -> Path:
    save_small("tiny", folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **changes}))
    return folder


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"_class_name": "AutoencoderOobleck"},
            r"_class_name: AutoencoderOobleck(?s:.*)AutoencoderDC, (?s:.*)VQModel",
        ),
        ({"in_channels": 4}, r"RGB(?s:.*)in_channels: 4(?s:.*)3"),
        ({"out_channels": 1}, r"RGB(?s:.*)out_channels: 1"),
        ({"later_field": 2}, r"later_field: 2(?s:.*)--upgrade"),
        ({"num_encoder_blocks": [1]}, r"AutoencoderTiny cannot be built(?s:.*)same length"),
        ({"act_fn": "no such"}, r"AutoencoderTiny cannot be built"),
        ({"latent_channels": 5}, r"do not fit(?s:.*)mis-shaped"),
    ],
)
def test_what_cannot_be_computed_is_told(changes: dict[str, object], message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=message):
        load_tokenizer(altered(tmp_path, **changes))


def test_without_diffusers_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_small("tiny", tmp_path)
    monkeypatch.setitem(sys.modules, "diffusers", None)
    with pytest.raises(UserError, match=r"pip install 'sendvae\[diffusers\]'"):
        load_tokenizer(tmp_path)


def test_a_class_that_the_installed_diffusers_lacks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import diffusers

    save_small("RAE", tmp_path)
    monkeypatch.setattr(diffusers, "AutoencoderRAE", None)
    with pytest.raises(UserError, match=r"no AutoencoderRAE(?s:.*)0\.37\.0 or later"):
        load_tokenizer(tmp_path)


@pytest.mark.parametrize("name", SMALL)
def test_what_cannot_be_trained_or_exported_says_why(name: str, tmp_path: Path) -> None:
    save_small(name, tmp_path / "vae")
    kind, tokenizer = SMALL[name][0], load_tokenizer(tmp_path / "vae")
    with pytest.raises(UserError, match=rf"not fine-tuned(?s:.*){kind} is computed by diffusers"):
        trainable(tokenizer, "it")
    with pytest.raises(UserError, match=rf"exported(?s:.*){kind}"):
        export_tokenizer(tokenizer, tmp_path / "out", "diffusers")
    assert not (tmp_path / "out").exists()
    for weights in (tmp_path / "vae").glob("*.safetensors"):
        weights.write_bytes(b"")  # nothing of them is read
    with pytest.raises(UserError, match=rf"not fine-tuned(?s:.*){kind}"):
        check_trainable(tmp_path / "vae")


@torch.no_grad()
def test_the_8_bit_forward_pass_of_tiny_autoencoders_is_not_used(tmp_path: Path) -> None:
    network, pixels = save_small("tiny", tmp_path), images(32, 32)
    tokenizer: Tokenizer = load_tokenizer(tmp_path)
    quantised, found = network(pixels).sample, tokenizer.decode(tokenizer.encode(pixels).mean)
    assert float((found - quantised).abs().max()) > 1e-4
