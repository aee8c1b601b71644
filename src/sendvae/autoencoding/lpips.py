"""LPIPS with VGG16 features (Zhang et al., 2018), as latent-diffusion and REPA-E use it."""

from __future__ import annotations

import hashlib
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

# ImageNet normalisation for inputs in [-1, 1].
SHIFT, SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)
WIDTHS = (64, 128, 256, 512, 512)
STAGE_ENDS = (4, 9, 16, 23, 30)  # torchvision's vgg16().features, after relu1_2 ... relu5_3
NORM_EPS = 1e-10
HEADS_FILE, HEADS_MD5 = "vgg.pth", "d507d7349b931f0638a25a48a722f98a"
TRUNK_FILE = "vgg16-397923af.pth"


class LPIPS(nn.Module):
    """Images (B, 3, H, W) in [-1, 1] to distances (B,), float32. Gradient reaches the first argument only.

    Args:
        pretrained: False builds the same network with random weights, for tests.
        legacy_range: maps inputs by 2x - 1 once more, as the code did that trained REPA-E's first published
            checkpoints; only for reproducing those.
    """

    def __init__(self, pretrained: bool = True, legacy_range: bool = False) -> None:
        super().__init__()
        from torchvision.models import vgg16

        trunk = vgg16(weights=None)
        self.legacy_range = legacy_range
        self.heads = nn.ModuleList(nn.Conv2d(width, 1, 1, bias=False) for width in WIDTHS)
        if pretrained:
            trunk.load_state_dict(_load(TRUNK_FILE))
            heads = _load(HEADS_FILE, HEADS_MD5)
            for i, head in enumerate(self.heads):
                head.load_state_dict({"weight": heads[f"lin{i}.model.1.weight"]})
        starts = (0, *STAGE_ENDS[:-1])
        layers = list(trunk.features.children())
        self.stages = nn.ModuleList(
            nn.Sequential(*layers[a:b]) for a, b in zip(starts, STAGE_ENDS, strict=True)
        )
        self.register_buffer("shift", torch.tensor(SHIFT)[None, :, None, None], persistent=False)
        self.register_buffer("scale", torch.tensor(SCALE)[None, :, None, None], persistent=False)
        self.eval().requires_grad_(False)

    def features(self, images: Float[Tensor, "B 3 H W"]) -> list[Float[Tensor, "B C h w"]]:
        """Features after each stage, every position scaled to unit length, float32."""
        x = (images * 2.0 - 1.0 if self.legacy_range else images).sub(self.shift).div(self.scale)
        stages = []
        for stage in self.stages:
            x = stage(x)
            unit = x.float()
            stages.append(unit / (unit.square().sum(1, keepdim=True).sqrt() + NORM_EPS))
        return stages

    def forward(
        self, reconstruction: Float[Tensor, "B 3 H W"], images: Float[Tensor, "B 3 H W"]
    ) -> Float[Tensor, " B"]:
        with torch.no_grad():
            targets = self.features(images)
        pairs = zip(self.features(reconstruction), targets, self.heads, strict=True)
        return torch.stack([head((a - b).square()).float().mean(dim=(1, 2, 3)) for a, b, head in pairs]).sum(
            0
        )


def _load(name: str, md5: str | None = None) -> dict[str, Tensor]:
    path = Path(torch.hub.get_dir()) / "checkpoints" / name
    if not path.is_file():
        raise FileNotFoundError(
            f"LPIPS weights are missing: put {name} at {path}"
            + (f" (md5 {md5}; the linear heads of taming-transformers)" if md5 else " (torchvision's VGG16)")
        )
    if md5 and hashlib.md5(path.read_bytes()).hexdigest() != md5:
        raise ValueError(
            f"{path} is not the published file: its md5 is not {md5}; delete it and fetch it again"
        )
    return torch.load(path, weights_only=True, map_location="cpu")
