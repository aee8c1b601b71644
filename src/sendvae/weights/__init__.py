"""Where weight files come from: found on this machine, fetched, compared with what was published, read.

`sendvae.weights.hub` is not imported here: rooms that see tensors only have no business with a hub's client.
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
