"""EfficientNet-Lite0: the foundation model of the demo, whose ImageNet weights come as a package."""

from __future__ import annotations

from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sendvae.extras import require
from sendvae.vision.zoo import BackboneSpec
from sendvae.weights import read_weight_file


class EfficientNetLite0(nn.Module):
    """EfficientNet-Lite0, whose tokens are its final convolutional features, with a stride of 32 pixels.

    Args:
        spec: the row of the zoo.
        weights: the weight file of the package; None leaves the network at its random initialisation.
        depth: must be None, since this network has no variant of another depth.

    Raises:
        UserError: the extra "demo" is not installed.
        ValueError: a depth is given.
    """

    def __init__(self, spec: BackboneSpec, weights: Path | None, depth: int | None = None) -> None:
        super().__init__()
        require("demo", spec.tower)
        from efficientnet_lite_pytorch import EfficientNet

        if depth is not None:
            raise ValueError(f"{spec.tower} is small and has no variant of another depth")
        self.network = EfficientNet.from_name("efficientnet-lite0")
        if weights is not None:
            self.network.load_state_dict(read_weight_file(weights))
        self.to(memory_format=torch.channels_last)

    def forward(self, pixels: Float[Tensor, "B 3 S S"]) -> Float[Tensor, "B N D"]:
        """Return the last feature map as tokens, row-major."""
        features = self.network.extract_features(pixels.contiguous(memory_format=torch.channels_last))
        return features.flatten(2).transpose(1, 2).contiguous()
