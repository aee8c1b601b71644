"""Vision foundation models, loaded frozen."""

from __future__ import annotations

from sendvae.vision.backbone import Backbone
from sendvae.vision.zoo import BACKBONES


def load_backbone(name: str, pretrained: bool = True) -> Backbone:
    """A frozen backbone by name; `pretrained=False` gives the same network with random weights, for tests."""
    spec = BACKBONES[name]
    return Backbone(name, spec.build(pretrained), spec.width)
