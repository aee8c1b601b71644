"""Pixel reconstruction loss."""

from __future__ import annotations

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor


def reconstruction_loss(
    reconstruction: Float[Tensor, "B 3 H W"], images: Float[Tensor, "B 3 H W"], kind: str = "l1"
) -> Float[Tensor, ""]:
    """Mean over all elements of |x - x'| ("l1", REPA-E's choice) or its square ("l2"), in float32."""
    if kind not in ("l1", "l2"):
        raise ValueError(f"reconstruction must be 'l1' or 'l2', got '{kind}'")
    loss = F.l1_loss if kind == "l1" else F.mse_loss
    return loss(reconstruction.float(), images.float())
