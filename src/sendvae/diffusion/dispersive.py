"""The dispersive loss: hidden states of different images repel each other (Diffuse and Disperse)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from sendvae.nn.precision import full_precision

QUARTER = 4  # the paper disperses what leaves the first quarter of the blocks


def dispersive_loss(hidden: Float[Tensor, "B *n D"]) -> Float[Tensor, ""]:
    """Return log mean exp(-d) over all ordered pairs of images, each with itself too, in float32: its InfoNCE-L2.

    d is the mean squared difference of two images' hidden states, so the loss lies in [-log B, 0].
    """
    with full_precision(hidden.device):
        rows = hidden.float().flatten(1)
        distances = F.pdist(rows).square() / rows.shape[1]
        alone = torch.zeros(len(rows), device=rows.device)
        return torch.cat([-distances, -distances, alone]).exp().mean().log()


def dispersed_block(blocks: int) -> int:
    """Return the number (1-based) of the block whose output is dispersed by default."""
    return max(1, blocks // QUARTER)


@contextmanager
def output_of(block: nn.Module) -> Iterator[list[Tensor]]:
    """Collect what a block returns meanwhile."""
    seen: list[Tensor] = []
    handle = block.register_forward_hook(lambda _module, _inputs, output: seen.append(output))
    try:
        yield seen
    finally:
        handle.remove()
