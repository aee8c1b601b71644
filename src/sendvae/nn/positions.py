"""Fixed sine-cosine position embeddings, of a grid (MAE, DiT, SiT) and of tokens in a row (MAETok)."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

PERIOD = 10_000.0


def sincos_positions(width: int, grid: int) -> Float[Tensor, "N D"]:
    """(grid * grid, width), row-major: first half of the width for the column, second for the row.

    Each half is sines, then cosines. Computed in float64.
    """
    if width % 4:
        raise ValueError(f"width must be a multiple of 4, got {width}")
    quarter = width // 4
    frequencies = PERIOD ** -(torch.arange(quarter, dtype=torch.float64) / quarter)
    angles = torch.arange(grid, dtype=torch.float64)[:, None] * frequencies
    axis = torch.cat([angles.sin(), angles.cos()], dim=1)  # (grid, width / 2)
    columns = axis[None, :].expand(grid, grid, -1)
    rows = axis[:, None].expand(grid, grid, -1)
    return torch.cat([columns, rows], dim=-1).reshape(grid * grid, width).float()


def token_positions(width: int, count: int) -> Float[Tensor, "N D"]:
    """(count, width): sines at even, cosines at odd channels. Computed in float64.

    Raises:
        ValueError: an odd width.
    """
    if width % 2:
        raise ValueError(f"width must be a multiple of 2, got {width}")
    half = width // 2
    frequencies = PERIOD ** -(torch.arange(half, dtype=torch.float64) / half)
    angles = torch.arange(count, dtype=torch.float64)[:, None] * frequencies
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1).float()
