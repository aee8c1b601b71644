"""LPIPS with VGG16 features (Zhang et al., 2018), as latent-diffusion and REPA-E use it."""

from __future__ import annotations

import hashlib
from importlib.util import find_spec
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sendvae.errors import UserError

# ImageNet normalisation for inputs in [-1, 1].
SHIFT, SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)
WIDTHS, CONVOLUTIONS = (64, 128, 256, 512, 512), (2, 2, 3, 3, 3)  # VGG16, by stage
NORM_EPS = 1e-10
# torchvision's ImageNet weights; the name carries the first digits of their SHA-256.
TRUNK_FILE, TRUNK_SHA256 = "vgg16-397923af.pth", "397923af"
# The linear heads of LPIPS 0.1, the same file in taming-transformers and in torchmetrics.
HEADS_FILE, HEADS_MD5 = "vgg.pth", "d507d7349b931f0638a25a48a722f98a"


class LPIPS(nn.Module):
    """Images (B, 3, H, W) in [-1, 1] to distances (B,), float32. Gradient reaches the first argument only.

    Args:
        pretrained: False builds the same network with random weights, for tests.
        legacy_range: maps inputs by 2x - 1 once more, as the code did that trained REPA-E's first published
            checkpoints; only for reproducing those.

    Raises:
        UserError: a weight file is missing or not the published one.
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
        with torch.no_grad():
            targets = self.features(images)
        pairs = zip(self.features(reconstruction), targets, self.heads, strict=True)
        # A product, not the 1x1 convolution it is: autocast would compute that in bfloat16.
        return torch.stack([((a - b).square() * head).sum(1).mean(dim=(1, 2)) for a, b, head in pairs]).sum(0)

    def _load_pretrained(self) -> None:
        trunk = torch.load(_trunk_file(), weights_only=True, map_location="cpu")
        features = {key: value for key, value in trunk.items() if key.startswith("features.")}
        self.trunk.load_state_dict({key.removeprefix("features."): value for key, value in features.items()})
        heads = torch.load(_heads_file(), weights_only=True, map_location="cpu")
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


def trunk_place() -> Path:
    """Where torchvision's weights belong: torch's hub folder."""
    return _hub_folder() / TRUNK_FILE


def heads_place() -> Path:
    """Where the heads are: torch's hub folder, else the copy that torchmetrics ships; by default the first."""
    places = [_hub_folder() / HEADS_FILE]
    spec = find_spec("torchmetrics")
    if spec and spec.origin:
        places.append(Path(spec.origin).parent / "functional/image/lpips_models" / HEADS_FILE)
    return next((place for place in places if place.is_file()), places[0])


def _trunk_file() -> Path:
    path = trunk_place()
    if not path.is_file():
        raise UserError(
            f"the VGG16 weights of LPIPS are missing: {TRUNK_FILE}",
            expected=f"torchvision's file at {path} (its SHA-256 begins with {TRUNK_SHA256})",
            next_step='python -c "from torchvision.models import VGG16_Weights as w; w.DEFAULT.get_state_dict()"'
            " fetches it; without a network, copy it there",
        )
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if not digest.startswith(TRUNK_SHA256):
        raise _wrong_file(path, f"SHA-256 {digest}", f"SHA-256 {TRUNK_SHA256}…")
    return path


def _heads_file() -> Path:
    path = heads_place()
    if not path.is_file():
        raise UserError(
            f"the linear heads of LPIPS are missing: {HEADS_FILE}",
            expected=f"the file of taming-transformers at {path} (md5 {HEADS_MD5})",
            next_step="copy it there, or install torchmetrics, which ships it",
        )
    digest = hashlib.md5(path.read_bytes()).hexdigest()
    if digest != HEADS_MD5:
        raise _wrong_file(path, f"md5 {digest}", f"md5 {HEADS_MD5}")
    return path


def _hub_folder() -> Path:
    return Path(torch.hub.get_dir()) / "checkpoints"


def _wrong_file(path: Path, given: str, expected: str) -> UserError:
    return UserError(
        f"{path} is not the published file",
        given=given,
        expected=expected,
        next_step="delete it and fetch it again",
    )
