"""LPIPS with VGG16 features (Zhang et al., 2018), as latent-diffusion and REPA-E use it."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sendvae.weights import Package, Web, Weights, read_weight_file

# ImageNet normalisation for inputs in [-1, 1].
SHIFT, SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)
WIDTHS, CONVOLUTIONS = (64, 128, 256, 512, 512), (2, 2, 3, 3, 3)  # VGG16, by stage
NORM_EPS = 1e-10
# torchvision's ImageNet weights; the name carries the first digits of their SHA-256.
TRUNK = Weights(
    name="lpips-vgg",
    source=Web("https://download.pytorch.org/models/vgg16-397923af.pth"),
    files=("vgg16-397923af.pth",),
    licence="BSD-3-Clause",
    parameters=138_357_544,
    size=553_433_881,
    digest="sha256:397923af",
)
# The linear heads of LPIPS 0.1: taming-transformers' file, whose MD5 it checks; torchmetrics ships the same.
HEADS = Weights(
    name="lpips-vgg",
    source=Web("https://heibox.uni-heidelberg.de/f/607503859c864bc1b30b/?dl=1", "vgg.pth"),
    copies=(Package("torchmetrics", "1.6", "torchmetrics", "functional/image/lpips_models/vgg.pth"),),
    files=("vgg.pth",),
    licence="BSD-2-Clause",
    parameters=1472,
    size=7289,
    digest="md5:d507d7349b931f0638a25a48a722f98a",
)


class LPIPS(nn.Module):
    """Images (B, 3, H, W) in [-1, 1] to distances (B,), float32. Gradient reaches the first argument only.

    Args:
        pretrained: False builds the same network with random weights, for tests.
        legacy_range: maps inputs by 2x - 1 once more, as the code did that trained REPA-E's first published
            checkpoints; only for reproducing those.

    Raises:
        UserError: a weight file cannot be had, or is not the published one.
    """

    def __init__(self, pretrained: bool = True, legacy_range: bool = False) -> None:
        super().__init__()
        self.legacy_range = legacy_range
        self.trunk = nn.Sequential(*_vgg16())
        self.heads = nn.ParameterList(torch.rand(1, width, 1, 1) for width in WIDTHS)  # never negative
        if pretrained:
            self._load_pretrained()
        self.register_buffer("shift", torch.tensor(SHIFT)[None, :, None, None], persistent=False)
        self.register_buffer("scale", torch.tensor(SCALE)[None, :, None, None], persistent=False)
        self.eval().requires_grad_(False).to(memory_format=torch.channels_last)

    def features(self, images: Float[Tensor, "B 3 H W"]) -> list[Float[Tensor, "B _ _ _"]]:
        """Features after each stage, every position scaled to unit length, float32."""
        x = images.float().contiguous(memory_format=torch.channels_last)
        x = (x * 2.0 - 1.0 if self.legacy_range else x).sub(self.shift).div(self.scale)
        stages = []
        for layer in self.trunk:
            if isinstance(layer, nn.MaxPool2d):  # the end of a stage
                stages.append(_unit(x))
            x = layer(x)
        return [*stages, _unit(x)]

    def forward(
        self, reconstruction: Float[Tensor, "B 3 H W"], images: Float[Tensor, "B 3 H W"]
    ) -> Float[Tensor, " B"]:
        """Return squared feature differences, weighted by the heads, averaged over positions, summed over stages."""
        with torch.no_grad():
            targets = self.features(images)
        pairs = zip(self.features(reconstruction), targets, self.heads, strict=True)
        # A product, not the 1x1 convolution it is: autocast would compute that in bfloat16.
        return torch.stack([((a - b).square() * head).sum(1).mean(dim=(1, 2)) for a, b, head in pairs]).sum(0)

    def _load_pretrained(self) -> None:
        trunk = read_weight_file(TRUNK.pull()[0])
        features = {key: value for key, value in trunk.items() if key.startswith("features.")}
        self.trunk.load_state_dict({key.removeprefix("features."): value for key, value in features.items()})
        heads = read_weight_file(HEADS.pull()[0])
        self.heads.load_state_dict({str(i): heads[f"lin{i}.model.1.weight"] for i in range(len(WIDTHS))})


def _vgg16() -> list[nn.Module]:
    """VGG16's convolutional part up to relu5_3, in torchvision's order."""
    layers: list[nn.Module] = []
    previous = 3
    for width, convolutions in zip(WIDTHS, CONVOLUTIONS, strict=True):
        if layers:
            layers.append(nn.MaxPool2d(2, 2))
        for _ in range(convolutions):
            layers += [nn.Conv2d(previous, width, 3, padding=1), nn.ReLU(inplace=True)]
            previous = width
    return layers


def _unit(features: Float[Tensor, "B D h w"]) -> Float[Tensor, "B D h w"]:
    """Every position scaled to length 1, float32."""
    features = features.float()
    # vector_norm has gradient 0 where all features are 0; the root of the sum of squares has none there.
    return features / (torch.linalg.vector_norm(features, dim=1, keepdim=True) + NORM_EPS)
