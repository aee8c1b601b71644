"""Pictures of an experiment: grids of images, and latents coloured by their principal components."""

from __future__ import annotations

from pathlib import Path

import torch
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor

MARGIN = 2
WHITE = 255


def save_grid(images: UInt8[Tensor, "B 3 H W"], path: Path, columns: int) -> None:
    """Write a PNG of images on white, with `columns` images in a row."""
    from torchvision.utils import make_grid

    grid = make_grid(images, nrow=columns, padding=MARGIN, pad_value=WHITE)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(grid.permute(1, 2, 0).numpy()).save(path, optimize=True)


def principal_colours(
    latents: Float[Tensor, "N C *n"], shown: Float[Tensor, "M C *n"], size: int
) -> UInt8[Tensor, "M 3 H W"]:
    """Return images whose colours are the three leading principal components of latents.

    Each component is scaled so that two standard deviations either side of the mean span 0..255. Tokens without a grid
    stand side by side, as stripes.

    Args:
        latents: the latents whose components are taken.
        shown: the latents to draw.
        size: the side of the images in pixels, to which positions are enlarged by a whole factor.
    """
    if latents.ndim == 3:
        return principal_colours(latents[:, :, None], shown[:, :, None], size)
    rows = latents.movedim(1, -1).flatten(0, -2).double()
    mean = rows.mean(0)
    _, axes = torch.linalg.eigh(torch.cov((rows - mean).T))
    axes = axes.flip(1)[:, :3]
    axes = (
        axes * axes.gather(0, axes.abs().argmax(0, keepdim=True)).sign()
    )  # eigenvectors have no sign of their own
    scale = ((rows - mean) @ axes).std(0) * 2.0
    values = torch.einsum("mchw,cd->mdhw", shown.double() - mean[:, None, None], axes) / scale[:, None, None]
    colours = ((values * 0.5 + 0.5).clamp(0, 1) * 255).round().to(torch.uint8)
    down, across = (max(1, size // side) for side in colours.shape[2:])
    return colours.repeat_interleave(down, 2).repeat_interleave(across, 3)
