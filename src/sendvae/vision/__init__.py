"""Images -> tokens of a frozen foundation model."""

from sendvae.vision.backbone import Backbone
from sendvae.vision.load import load_backbone
from sendvae.vision.weights import find_weights, pull_weights
from sendvae.vision.zoo import BACKBONES, BackboneSpec

__all__ = ["BACKBONES", "Backbone", "BackboneSpec", "find_weights", "load_backbone", "pull_weights"]
