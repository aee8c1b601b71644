"""`sendvae models` and `sendvae models pull`, without a network."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import huggingface_hub.constants
import pytest
import torch
from typer.testing import CliRunner

from sendvae.autoencoding import PERCEPTUAL, load_perceptual
from sendvae.cli.main import app
from sendvae.diffusion import DIFFUSION_MODELS
from sendvae.metrics import FEATURE_WEIGHTS, load_mobilenet_v2
from sendvae.tokenizers import TOKENIZERS, TrainableTokenizer
from sendvae.vision import BACKBONES
from sendvae.weights import Shipped

Command = Callable[..., tuple[int, str, str]]
runner = CliRunner()
SHIPPED = [name for name, spec in TOKENIZERS.items() if isinstance(spec.weights.source, Shipped)]
PACKAGED = [*DIFFUSION_MODELS, "effnet-lite0", "effnet-lite1-perceptual", "mobilenet-v2", *SHIPPED]
REMOTE = [name for name in [*TOKENIZERS, *BACKBONES, "lpips-vgg", "inception"] if name not in PACKAGED]


@pytest.fixture(autouse=True)
def _nothing_but_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SENDVAE_WEIGHTS", str(tmp_path / "weights"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "torch"))


def rows() -> dict[str, dict[str, Any]]:
    result = runner.invoke(app, ["models", "--json"])
    assert result.exit_code == 0
    return {row["name"]: row for row in json.loads(result.output)}


def test_every_name_of_every_registry_is_listed_once() -> None:
    listed = runner.invoke(app, ["models", "--json"])
    names = [row["name"] for row in json.loads(listed.output)]
    assert sorted(names) == sorted(
        [*TOKENIZERS, *DIFFUSION_MODELS, *BACKBONES, *PERCEPTUAL, *FEATURE_WEIGHTS]
    )
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
    assert found["inception"]["size"] == 95_628_359
    assert found["lpips-vgg"]["files"] == ["vgg16-397923af.pth", "vgg.pth"]
    assert found["dinov2-b"]["size"] is None


def test_tokenizers_are_grouped_by_what_can_be_done_with_them() -> None:
    found = rows()
    assert found["flux2-f16d128"]["abilities"] == ["score", "train", "export"]
    assert found["rae-dinov2-b"]["abilities"] == ["score"]
    assert found["dinov2-b"]["abilities"] == []
    text = runner.invoke(app, ["models"]).output
    first, second, rest = (
        text.index(f"{title}\n") for title in ("to score, train, export", "to score", "vision backbones")
    )
    for name, spec in TOKENIZERS.items():
        place = text.index(f"  {name} ")
        trained = isinstance(with_shapes(name), TrainableTokenizer)
        assert (first < place < second) if trained else (second < place < rest)
        assert ("train" in spec.abilities) == trained


def with_shapes(name: str) -> torch.nn.Module:
    with torch.device("meta"):
        return TOKENIZERS[name].build()


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
        assert found["mobilenet-v2"]["parameters"] == count(load_mobilenet_v2(pretrained=False))
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


@pytest.mark.parametrize("address", ["hf-hub:", "hf-hub:only-a-name"])
def test_an_address_without_a_repository_is_one_error(address: str, command: Command) -> None:
    code, _, message = command("models", "pull", address)
    assert code == 2
    assert "not a hub address" in message
    assert "hf-hub:OWNER/REPOSITORY" in message


def test_pulling_an_address_names_every_file(command: Command, tmp_path: Path) -> None:
    folder = tmp_path / "weights" / "owner" / "name"
    folder.mkdir(parents=True)
    for name in ("config.json", "model.safetensors", "other.txt"):
        (folder / name).write_bytes(b"12345")
    code, output, _ = command("models", "pull", "hf-hub:owner/name")
    assert code == 0
    assert output.splitlines() == [
        f"hf-hub:owner/name: {folder / name} (5 B)" for name in ("model.safetensors", "config.json")
    ]


def test_a_file_that_is_not_the_published_one_is_named(command: Command, tmp_path: Path) -> None:
    path = tmp_path / "torch" / "checkpoints" / "vgg16-397923af.pth"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"12345")
    code, _, message = command("models", "pull", "lpips-vgg")
    assert code == 2
    assert f"{path} is not the published file" in message
    assert "553,433,881 bytes" in message
