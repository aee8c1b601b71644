"""Representation alignment: hidden tokens of a generator towards a foundation model's (REPA, iREPA)."""

from __future__ import annotations

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from sendvae.nn.precision import full_precision

STD_EPS = 1e-6


def repa_loss(
    features: Float[Tensor, "B N D"], tokens: Float[Tensor, "B N D"], mean_share: float | None = None
) -> Float[Tensor, ""]:
    """Return minus the mean cosine between projected hidden tokens and patch tokens, in float32.

    Args:
        features: the features of a generator.
        tokens: the tokens of the foundation model, on the same grid.
        mean_share: how much of an image's mean token iREPA takes off its tokens before it divides them by their
            standard deviations, so that what is left tells places apart; None: tokens stay as they are (REPA).
    """
    with full_precision(features.device):
        target = tokens.float()
        if mean_share is not None:
            spread = target.std(dim=1, keepdim=True) + STD_EPS
            target = (target - mean_share * target.mean(dim=1, keepdim=True)) / spread
        return -F.cosine_similarity(features.float(), target, dim=-1).mean()
