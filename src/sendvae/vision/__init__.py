"""Images -> tokens of a frozen foundation model."""

from sendvae.vision.backbone import Backbone
from sendvae.vision.load import load_backbone
from sendvae.vision.zoo import BACKBONES, BackboneSpec

__all__ = ["BACKBONES", "Backbone", "BackboneSpec", "load_backbone"]
