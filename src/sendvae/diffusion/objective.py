"""Velocity matching, with what may be added to it: direction, representation alignment, dispersion."""

from __future__ import annotations

from contextlib import nullcontext

import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor

from sendvae.diffusion.dispersive import dispersed_block, dispersive_loss, output_of
from sendvae.diffusion.path import PATHS
from sendvae.diffusion.protocol import Generator
from sendvae.diffusion.repa import repa_loss
from sendvae.nn.precision import full_precision


def velocity_errors(
    model: Generator,
    z: Float[Tensor, "B C *n"],
    labels: Int64[Tensor, " B"],
    *,
    time: Float[Tensor, " B"],
    noise: Float[Tensor, "B C *n"],
) -> Float[Tensor, " B"]:
    """Return the mean squared error of the velocity of each latent, in float32; `diffusion_objective` says what is given."""
    between = PATHS[model.path]
    predicted = model(between.interpolate(z, noise, time), time, labels)
    return (predicted.float() - between.velocity(z, noise, time).float()).square().flatten(1).mean(dim=1)


def diffusion_objective(
    model: Generator,
    z: Float[Tensor, "B C *n"],
    labels: Int64[Tensor, " B"],
    *,
    time: Float[Tensor, " B"],
    noise: Float[Tensor, "B C *n"],
    tokens: Float[Tensor, "B N D"] | None = None,
    repa_weight: float = 0.0,
    repa_mean_share: float | None = None,
    direction_weight: float = 0.0,
    dispersive_weight: float = 0.0,
    dispersive_depth: int | None = None,
) -> dict[str, Tensor]:
    """Scalars "velocity", "direction" and "dispersive" (with a weight), "repa" (with tokens), and the weighted "loss".

    Reductions are in float32.

    Args:
        model: the model to whose path the times belong.
        z: normalised latents.
        labels: some of them already replaced by the null label (`Generator.drop_labels`).
        time, noise: the draw of this step.
        tokens: patch tokens of the foundation model, on the model's grid.
        repa_weight: the weight of `repa_loss`.
        repa_mean_share: the `mean_share` of `repa_loss`.
        direction_weight: the weight of the mean over positions of 1 - cosine between the channels of both velocities,
            which LightningDiT adds with weight 1.
        dispersive_weight: the weight of `dispersive_loss`, over the images of this call.
        dispersive_depth: number (1-based) of the block whose output it disperses; None: `dispersed_block`.

    Raises:
        ValueError: a `repa_weight` without tokens, or for a model that has no projector.
    """
    path = PATHS[model.path]
    x_t = path.interpolate(z, noise, time)
    block = model.blocks[(dispersive_depth or dispersed_block(len(model.blocks))) - 1]
    with output_of(block) if dispersive_weight else nullcontext([]) as hidden:
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
        terms["repa"] = repa_loss(features, tokens, repa_mean_share)
        terms["loss"] = terms["loss"] + repa_weight * terms["repa"]
    for output in hidden:
        terms["dispersive"] = dispersive_loss(output)
        terms["loss"] = terms["loss"] + dispersive_weight * terms["dispersive"]
    return terms
