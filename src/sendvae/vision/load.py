"""Loading of vision foundation models, which are frozen."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from safetensors import SafetensorError
from torch import nn

from sendvae.errors import UserError
from sendvae.vision.backbone import Backbone
from sendvae.vision.efficientnet import EfficientNetLite0
from sendvae.vision.timm_backbone import TimmBackbone
from sendvae.vision.transformers_backbone import build_ijepa, build_siglip
from sendvae.vision.zoo import BACKBONES, BackboneSpec

# Builders by the `tower` of a row. They take the row, the weight file (None: random weights) and a depth or None.
TOWERS: dict[str, Callable[[BackboneSpec, Path | None, int | None], nn.Module]] = {
    "effnet-lite0": EfficientNetLite0,
    "timm": TimmBackbone,
    "ijepa": build_ijepa,
    "siglip": build_siglip,
}


def load_backbone(name: str, pretrained: bool = True, *, depth: int | None = None) -> Backbone:
    """Return a frozen backbone by name. Its weights are downloaded if they are not on this machine.

    Args:
        name: a name in `BACKBONES`.
        pretrained: whether the published weights are loaded; random ones are for tests.
        depth: the number of transformer blocks, if not the published one, for tests.

    Raises:
        UserError: the name is unknown, the weights cannot be obtained, or the weight file does not fit.
    """
    spec = BACKBONES[name]
    weights = spec.weights.pull()[0] if pretrained else None
    try:
        tower = TOWERS[spec.tower](spec, weights, depth)
    except (SafetensorError, RuntimeError, OSError) as error:
        if weights is None:
            raise
        raise UserError(
            f"the weights in {weights} do not fit {name}",
            given=str(error),
            expected=f"{weights.name} of {spec.weights.source}, undamaged",
            next_step=f"remove the file, then: sendvae models pull {name}",
        ) from None
    return Backbone(name, spec, tower)
