"""Every row of the zoo, and names, prefixes and hub addresses without a network."""

from __future__ import annotations

import hashlib
from pathlib import Path
from types import SimpleNamespace

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
    assert TOKENIZERS[name].files
    assert all(file in str(caught.value) for file in TOKENIZERS[name].files)
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
    weights, statistics, discriminator = TOKENIZERS["e2e-vavae-f16d32"].files
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
    snapshot = cache(hub, "hustvl/vavae-imagenet256-f16d32-dinov2", *TOKENIZERS[name].files)
    assert locate(name).statistics == snapshot / "latents_stats.pt"


def test_diffusers_repository_and_inner_paths(hub: Path) -> None:
    snapshot = cache(
        hub, "maker/pipeline", "vae/config.json", "vae/diffusion_pytorch_model.safetensors", "other.ckpt"
    )
    weights = snapshot / "vae" / "diffusion_pytorch_model.safetensors"
    assert locate("hf-hub:maker/pipeline/vae").weights == weights
    assert locate("hf-hub:maker/pipeline/vae").config == snapshot / "vae" / "config.json"
    assert locate("hf-hub:maker/pipeline/other.ckpt").weights == snapshot / "other.ckpt"


class Remote:
    """A stand-in for the hub: lists one repository with sizes and digests, and hands out its files."""

    def __init__(self, hub: Path, monkeypatch: pytest.MonkeyPatch, repository: str, *names: str) -> None:
        self.snapshot = cache(hub, repository)
        self.asked: list[str] = []
        self.contents = {name: name.encode() for name in names}
        self.stated = dict(self.contents)  # what sizes and digests are computed from
        monkeypatch.setattr("sendvae.hub.unreachable", lambda: None)
        monkeypatch.setattr(huggingface_hub.HfApi, "model_info", self.model_info)
        monkeypatch.setattr(huggingface_hub, "hf_hub_download", self.download)

    def model_info(self, _repository: str, *, files_metadata: bool) -> SimpleNamespace:
        assert files_metadata
        siblings = [
            SimpleNamespace(
                rfilename=name,
                size=len(content),
                lfs=SimpleNamespace(sha256=hashlib.sha256(content).hexdigest()),
            )
            for name, content in self.stated.items()
        ]
        return SimpleNamespace(siblings=siblings)

    def download(self, _repository: str, file: str) -> str:
        self.asked.append(file)
        (self.snapshot / file).write_bytes(self.contents[file])
        return str(self.snapshot / file)


def test_only_what_is_needed_is_downloaded(hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ["README.md", "vae.pt", "vae-latents-stats.pt", "vae-discriminator-ckpt.pt", "figures/a.pt"]
    remote = Remote(hub, monkeypatch, "a/b", *names)
    assert locate("hf-hub:a/b").weights == remote.snapshot / "vae.pt"
    assert remote.asked == ["vae.pt", "vae-latents-stats.pt", "vae-discriminator-ckpt.pt"]
    locate("hf-hub:a/b")
    assert len(remote.asked) == 3  # now from the cache


@pytest.mark.parametrize(
    ("content", "reason"), [(b"vae", "3 bytes(?s:.*)6 bytes"), (b"vae.pT", "SHA-256 .*(?s:.*)SHA-256 ")]
)
def test_downloads_are_compared_with_what_the_hub_states(
    content: bytes, reason: str, hub: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    remote = Remote(hub, monkeypatch, "a/b", "vae.pt")
    remote.contents["vae.pt"] = content
    with pytest.raises(UserError, match=f"not the published file(?s:.*){reason}"):
        locate("hf-hub:a/b")
    assert not (remote.snapshot / "vae.pt").exists()  # or the next call would take it from the cache


def test_repository_without_weights(hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Remote(hub, monkeypatch, "a/b", "README.md")
    with pytest.raises(UserError, match="no weight file in the repository"):
        locate("hf-hub:a/b")


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
