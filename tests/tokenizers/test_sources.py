"""Names, files, folders, prefixes and hub addresses, without a network."""

from __future__ import annotations

from pathlib import Path

import pytest

from sendvae.errors import UserError
from sendvae.tokenizers import TOKENIZERS, Autoencoder, load_tokenizer, save_tokenizer
from sendvae.tokenizers.sources import locate


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
