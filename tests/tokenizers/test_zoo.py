"""Every row of the zoo, and names, prefixes and hub addresses without a network."""

from __future__ import annotations

from pathlib import Path

import huggingface_hub
import huggingface_hub.constants
import pytest
import torch

from sendvae.errors import UserError
from sendvae.tokenizers import TOKENIZERS, Autoencoder, build_tokenizer, load_tokenizer, save_tokenizer
from sendvae.tokenizers.sources import find_tokenizer, locate

REMOTE = [name for name, spec in TOKENIZERS.items() if spec.packaged is None]
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
    assert sum(p.numel() for p in tokenizer.parameters()) == TOKENIZERS[name].parameters


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
    assert find_tokenizer(name) is None
    with pytest.raises(UserError) as caught:
        load_tokenizer(name)
    assert f"sendvae models pull {name}" in str(caught.value)
    assert "https://huggingface.co/" in str(caught.value)
    assert str(tmp_path / "weights" / name) in str(caught.value)


def test_unreachable_hub_is_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:9")  # nobody listens
    monkeypatch.setattr(
        huggingface_hub, "hf_hub_download", lambda *_: pytest.fail("the hub cannot be reached")
    )
    with pytest.raises(UserError, match="cannot be reached"):
        load_tokenizer("hf-hub:REPA-E/invae")


def test_files_put_by_hand(small: Autoencoder, tmp_path: Path) -> None:
    save_tokenizer(small, tmp_path / "weights" / "invae-f16d32")
    assert load_tokenizer("invae-f16d32").architecture == small.architecture


def test_hub_cache_is_used_without_a_network(hub: Path) -> None:
    snapshot = cache(
        hub, "REPA-E/e2e-vavae", "e2e-400k.pt", "e2e-400k-latents-stats.pt", "e2e-400k-discriminator-ckpt.pt"
    )
    files = locate("e2e-vavae-f16d32")
    assert files.weights == snapshot / "e2e-400k.pt"
    assert files.statistics == snapshot / "e2e-400k-latents-stats.pt"
    assert files.discriminator == snapshot / "e2e-400k-discriminator-ckpt.pt"
    assert files.config is None


def test_diffusers_repository_and_inner_paths(hub: Path) -> None:
    snapshot = cache(
        hub, "maker/pipeline", "vae/config.json", "vae/diffusion_pytorch_model.safetensors", "other.ckpt"
    )
    weights = snapshot / "vae" / "diffusion_pytorch_model.safetensors"
    assert locate("hf-hub:maker/pipeline/vae").weights == weights
    assert locate("hf-hub:maker/pipeline/vae").config == snapshot / "vae" / "config.json"
    assert locate("hf-hub:maker/pipeline/other.ckpt").weights == snapshot / "other.ckpt"


def test_only_what_is_needed_is_downloaded(hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Against a stand-in for the hub that lists a repository and hands out its files."""
    remote = ["README.md", "vae.pt", "vae-latents-stats.pt", "vae-discriminator-ckpt.pt", "figures/a.pt"]
    asked: list[str] = []

    def download(repository: str, file: str) -> None:
        if not asked:
            cache(hub, repository)
        asked.append(file)
        (hub / "models--a--b" / "snapshots" / ("0" * 40) / file).touch()

    monkeypatch.setattr("sendvae.tokenizers.sources._unreachable", lambda: None)
    monkeypatch.setattr(huggingface_hub.HfApi, "list_repo_files", lambda *_: remote)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    assert locate("hf-hub:a/b").weights.name == "vae.pt"
    assert asked == ["vae.pt", "vae-latents-stats.pt", "vae-discriminator-ckpt.pt"]


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
