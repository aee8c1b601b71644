"""Every row of the zoo, and names, prefixes and hub addresses without a network."""

from __future__ import annotations

from pathlib import Path

import huggingface_hub.constants
import pytest
import torch

from sendvae.errors import UserError
from sendvae.tokenizers import TOKENIZERS, Autoencoder, build_tokenizer, load_tokenizer, save_tokenizer
from sendvae.tokenizers.files import choose_files
from sendvae.tokenizers.sources import locate
from sendvae.weights import Shipped

REMOTE = [name for name, spec in TOKENIZERS.items() if not isinstance(spec.weights.source, Shipped)]
SHIPPED = [name for name in TOKENIZERS if name not in REMOTE]


@pytest.fixture(autouse=True)
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty hub cache and no network."""
    monkeypatch.setenv("SENDVAE_WEIGHTS", str(tmp_path / "weights"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    return tmp_path / "hub"


def cache(hub: Path, repository: str, *files: str) -> Path:
    """The layout of huggingface_hub's cache, with empty files."""
    root = hub / f"models--{repository.replace('/', '--')}"
    (root / "refs").mkdir(parents=True)
    (root / "refs" / "main").write_text("0" * 40)
    snapshot = root / "snapshots" / ("0" * 40)
    snapshot.mkdir(parents=True)
    for file in files:
        (snapshot / file).parent.mkdir(exist_ok=True)
        (snapshot / file).touch()
    return snapshot


@pytest.mark.parametrize("name", TOKENIZERS)
def test_parameter_counts(name: str) -> None:
    with torch.device("meta"):
        tokenizer = build_tokenizer(TOKENIZERS[name].architecture)
    assert sum(p.numel() for p in tokenizer.parameters()) == TOKENIZERS[name].weights.parameters


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_tokenizers_load_and_reconstruct(name: str) -> None:
    from sendvae.data import open_embedded, to_float, to_uint8
    from sendvae.metrics import psnr

    tokenizer = load_tokenizer(name)
    images = open_embedded("emoji", "test", limit=16).batch(range(16)).images
    with torch.no_grad():
        decoded = to_uint8(tokenizer.decode(tokenizer.encode(to_float(images)).mode()))
    assert float(psnr(decoded, images).mean()) > 22.0  # a grey image of the mean colour has about 10


@pytest.mark.parametrize("name", REMOTE)
def test_without_a_network_one_error_says_what_to_get(name: str, tmp_path: Path) -> None:
    assert TOKENIZERS[name].weights.find() == []
    with pytest.raises(UserError) as caught:
        load_tokenizer(name)
    assert f"sendvae models pull {name}" in str(caught.value)
    assert "https://huggingface.co/" in str(caught.value)
    assert TOKENIZERS[name].weights.files
    assert all(file in str(caught.value) for file in TOKENIZERS[name].weights.files)
    assert str(tmp_path / "weights" / name) in str(caught.value)


def test_files_put_by_hand(small: Autoencoder, tmp_path: Path) -> None:
    save_tokenizer(small, tmp_path / "weights" / "invae-f16d32")
    assert load_tokenizer("invae-f16d32").architecture == small.architecture


def test_hub_cache_is_used_without_a_network(hub: Path) -> None:
    weights, statistics, discriminator = TOKENIZERS["e2e-vavae-f16d32"].weights.files
    snapshot = cache(hub, "REPA-E/e2e-vavae", weights, statistics, discriminator)
    files = locate("e2e-vavae-f16d32")
    assert files.weights == snapshot / weights
    assert files.statistics == snapshot / statistics
    assert files.discriminator == snapshot / discriminator
    assert files.config is None


def test_repositories_whose_file_names_are_not_documented(hub: Path) -> None:
    snapshot = cache(hub, "REPA-E/invae", "any.pt", "any-latents-stats.pt", "any-discriminator-ckpt.pt")
    files = locate("invae-f16d32")
    assert files.weights == snapshot / "any.pt"
    assert files.statistics == snapshot / "any-latents-stats.pt"


def test_lightningdit_statistics_beside_the_weights(hub: Path) -> None:
    name = "vavae-f16d32-lightningdit"
    snapshot = cache(hub, "hustvl/vavae-imagenet256-f16d32-dinov2", *TOKENIZERS[name].weights.files)
    assert locate(name).statistics == snapshot / "latents_stats.pt"


def test_diffusers_repository_and_inner_paths(hub: Path) -> None:
    snapshot = cache(
        hub, "maker/pipeline", "vae/config.json", "vae/diffusion_pytorch_model.safetensors", "other.ckpt"
    )
    weights = snapshot / "vae" / "diffusion_pytorch_model.safetensors"
    assert locate("hf-hub:maker/pipeline/vae").weights == weights
    assert locate("hf-hub:maker/pipeline/vae").config == snapshot / "vae" / "config.json"
    assert locate("hf-hub:maker/pipeline/other.ckpt").weights == snapshot / "other.ckpt"


def test_only_the_files_of_a_tokenizer_are_wanted() -> None:
    names = ["README.md", "vae.pt", "vae-latents-stats.pt", "vae-discriminator-ckpt.pt", "figures/a.pt"]
    assert choose_files(names) == ["vae.pt", "vae-latents-stats.pt", "vae-discriminator-ckpt.pt"]
    assert choose_files(["config.json", "latents_stats.pt", "a.pt"]) == ["a.pt", "latents_stats.pt"]
    assert choose_files(["config.json", "model.safetensors"]) == ["model.safetensors", "config.json"]
    assert choose_files(["README.md", "latents_stats.pt"]) == []


def test_a_file_asked_for_by_name_is_taken_or_nothing() -> None:
    names = ["a.pt", "a-latents-stats.pt", "b.pt", "b-latents-stats.pt", "model.safetensors"]
    assert choose_files(names, "b.pt") == ["b.pt", "b-latents-stats.pt"]
    assert choose_files(names, "c.pt") == []


def test_safetensors_come_before_pickles() -> None:
    usual = [f"diffusion_pytorch_model{suffix}" for suffix in (".bin", ".safetensors")]
    assert choose_files([*usual, "z.ckpt"])[0] == "diffusion_pytorch_model.safetensors"


def test_the_vae_of_a_pipeline_comes_before_whole_models() -> None:
    names = ["v1.ckpt", "v2.ckpt", "vae/config.json", "vae/diffusion_pytorch_model.safetensors"]
    assert choose_files(names) == ["vae/diffusion_pytorch_model.safetensors", "vae/config.json"]


def test_the_pipelines_vae_is_found_in_the_cache(hub: Path) -> None:
    names = ("v1.ckpt", "vae/config.json", "vae/diffusion_pytorch_model.safetensors")
    snapshot = cache(hub, "maker/pipeline", *names)
    files = locate("hf-hub:maker/pipeline")
    assert files.weights == snapshot / "vae" / "diffusion_pytorch_model.safetensors"
    assert files.config == snapshot / "vae" / "config.json"


def test_files_of_an_address_put_by_hand(small: Autoencoder, tmp_path: Path) -> None:
    save_tokenizer(small, tmp_path / "weights" / "maker" / "thing")
    assert load_tokenizer("hf-hub:maker/thing").architecture == small.architecture


def test_local_dir_prefix(small: Autoencoder, tmp_path: Path) -> None:
    save_tokenizer(small, tmp_path / "t")
    assert load_tokenizer(f"local-dir:{tmp_path / 't'}").architecture == small.architecture
    with pytest.raises(UserError, match="no folder"):
        load_tokenizer("local-dir:/no/such/folder")


@pytest.mark.parametrize("address", ["hf-hub:", "hf-hub:only", "hf-hub:a//b"])
def test_bad_hub_addresses(address: str) -> None:
    with pytest.raises(UserError, match="not a hub address"):
        load_tokenizer(address)


def test_ambiguous_folders(tmp_path: Path) -> None:
    for name in ("a.pt", "b.pt"):
        (tmp_path / name).touch()
    with pytest.raises(UserError, match=r"several files could be the tokenizer"):
        load_tokenizer(tmp_path)


def test_a_missing_file_is_no_name() -> None:
    with pytest.raises(UserError, match=r"no such file or folder\) 'exps/missing.pt'"):
        load_tokenizer("exps/missing.pt")


def test_a_bare_hub_identifier_is_told_its_prefix() -> None:
    with pytest.raises(UserError, match="hf-hub:stabilityai/sd-vae-ft-mse"):
        load_tokenizer("stabilityai/sd-vae-ft-mse")
