"""Weight files: finding them on this machine, downloading them, comparing them with what was published, reading them.

`sendvae.weights.hub` is not imported here, so that packages that work on tensors do not load a hub's client.
"""

from sendvae.weights.packages import Package, Shipped
from sendvae.weights.published import Stated
from sendvae.weights.read import SUFFIXES, read_weight_file
from sendvae.weights.table import Choose, Source, Weights, chosen, hand_folder
from sendvae.weights.web import Web

__all__ = [
    "SUFFIXES",
    "Choose",
    "Package",
    "Shipped",
    "Source",
    "Stated",
    "Web",
    "Weights",
    "chosen",
    "hand_folder",
    "read_weight_file",
]
