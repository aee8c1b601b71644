"""Frozen vision foundation models, which give the patch tokens of images."""

from sendvae.vision.backbone import Backbone
from sendvae.vision.load import load_backbone
from sendvae.vision.zoo import BACKBONES, BackboneSpec

__all__ = ["BACKBONES", "Backbone", "BackboneSpec", "load_backbone"]
