"""Fixed sine-cosine position embeddings, for a grid (MAE, DiT, SiT) and for tokens in a row (MAETok)."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

PERIOD = 10_000.0


def sincos_positions(width: int, grid: int) -> Float[Tensor, "N D"]:
    """Return the position embeddings of a grid, (grid * grid, width), row-major.

    The first half of the width encodes the column, the second the row; each half is sines, then cosines. They are
    computed in float64 and returned in float32.

    Raises:
        ValueError: the width is not a multiple of 4.
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
    """Return the position embeddings of tokens in a row, (count, width).

    Even channels are sines, odd ones cosines. They are computed in float64 and returned in float32.

    Raises:
        ValueError: the width is odd.
    """
    if width % 2:
        raise ValueError(f"width must be a multiple of 2, got {width}")
    half = width // 2
    frequencies = PERIOD ** -(torch.arange(half, dtype=torch.float64) / half)
    angles = torch.arange(count, dtype=torch.float64)[:, None] * frequencies
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1).float()
