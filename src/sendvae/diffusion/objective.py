"""Velocity matching with representation alignment (REPA)."""

from __future__ import annotations

import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor

from sendvae.diffusion.path import PATHS
from sendvae.diffusion.protocol import Generator
from sendvae.nn.precision import full_precision


def diffusion_objective(
    model: Generator,
    z: Float[Tensor, "B C h w"],
    labels: Int64[Tensor, " B"],
    *,
    time: Float[Tensor, " B"],
    noise: Float[Tensor, "B C h w"],
    tokens: Float[Tensor, "B N D"] | None = None,
    repa_weight: float = 0.0,
    direction_weight: float = 0.0,
) -> dict[str, Tensor]:
    """Scalars "velocity", "direction" (with its weight), "repa" (with tokens), and their weighted sum "loss".

    Reductions are in float32.

    Args:
        z: normalised latents.
        labels: some of them already replaced by the null label (`Generator.drop_labels`).
        time, noise: the draw of this step.
        tokens: patch tokens of the foundation model, on the model's grid.

        direction_weight: of the mean over positions of 1 - cosine between the channels of both velocities, which
            LightningDiT adds with weight 1.

    Raises:
        ValueError: a `repa_weight` without tokens, or for a model that has no projector.
    """
    path = PATHS[model.path]
    x_t = path.interpolate(z, noise, time)
    predicted, features = model.forward_with_features(x_t, time, labels)
    true = path.velocity(z, noise, time).float()
    terms = {"velocity": F.mse_loss(predicted.float(), true)}
    terms["loss"] = terms["velocity"]
    if direction_weight:
        with full_precision(z.device):
            terms["direction"] = 1.0 - F.cosine_similarity(predicted.float(), true, dim=1).mean()
        terms["loss"] = terms["loss"] + direction_weight * terms["direction"]
    if repa_weight and (tokens is None or features is None):
        raise ValueError("the REPA loss needs tokens and a model with a projector (repa_width)")
    if tokens is not None and features is not None:
        with full_precision(z.device):
            cosine = F.cosine_similarity(features.float(), tokens.float(), dim=-1)
        terms["repa"] = -cosine.mean()
        terms["loss"] = terms["loss"] + repa_weight * terms["repa"]
    return terms
