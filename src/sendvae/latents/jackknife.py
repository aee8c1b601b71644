"""Parts of the test images that a jackknife leaves out, for numbers that no resample of images can have cheaply."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor


def jackknife_parts(
    places: np.ndarray, groups: Sequence[str] | None, count: int
) -> list[Int64[Tensor, " _"]]:
    """Split images into parts of nearly equal size; images of one group share a part.

    Every `count`-th image, or group, from the i-th on is in part i, so that images sorted by class fall into all.

    Args:
        places: the places of the images in the test split.
        groups: a name per image of the test split; None: every image by itself.
        count: the number of the parts.

    Returns:
        positions in `places`, by part; none with fewer than two parts, or than two images or groups to each.
    """
    members = np.arange(len(places))
    if groups is not None:
        members = np.unique(np.asarray(groups)[places], return_inverse=True)[1]
    if count < 2 or members.max(initial=-1) + 1 < 2 * count:
        return []
    return [torch.from_numpy(np.flatnonzero(members % count == part)) for part in range(count)]
