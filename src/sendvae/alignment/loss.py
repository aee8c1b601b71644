"""The patch-wise cosine alignment loss (Eq. 2)."""

from __future__ import annotations

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from sendvae.nn.precision import full_precision


def alignment_loss(predicted: Float[Tensor, "B N D"], target: Float[Tensor, "B N D"]) -> Float[Tensor, ""]:
    """Return the mean over patches of 1 - cos(predicted, target), in [0, 2]; 0 for parallel features (Eq. 2).

    Computed in float32 under autocast too: in half precision the norms overflow. A zero vector counts as
    orthogonal, and its gradient is finite.

    Raises:
        ValueError: the shapes differ.
    """
    if predicted.shape != target.shape:
        raise ValueError(
            f"predicted {tuple(predicted.shape)} and target {tuple(target.shape)} differ in shape"
        )
    with full_precision(predicted.device):
        cosine = F.cosine_similarity(predicted.float(), target.float(), dim=-1)
        return (1.0 - cosine).mean().clamp(0.0, 2.0)  # rounding can leave the interval by 1e-7
