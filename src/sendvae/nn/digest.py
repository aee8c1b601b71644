"""A digest of a network's weights, which says what a result was computed with."""

from __future__ import annotations

import hashlib

import torch
from torch import nn


def weights_digest(network: nn.Module) -> str:
    """Return the first 16 hexadecimal digits of the SHA-256 over all names and tensors, in the order of the names."""
    digest = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:16]
