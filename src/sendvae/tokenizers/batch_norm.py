"""The statistics of FLUX.2's latents, which its checkpoints keep as buffers of a BatchNorm."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from sendvae.errors import UserError
from sendvae.tokenizers.statistics import LatentStats

BATCH_NORM = "bn."
NORM_MEAN, NORM_VARIANCE = f"{BATCH_NORM}running_mean", f"{BATCH_NORM}running_var"
NORM_EPS = 1e-4  # AutoencoderKLFlux2's default batch_norm_eps, and that of Black Forest Labs' own code


def statistics_of(weights: Mapping[str, Tensor], eps: float = NORM_EPS) -> LatentStats | None:
    """Return the statistics among weights, as the pipelines apply them: (z - mean) / sqrt(variance + eps).

    None is returned where the weights hold no statistics.

    Raises:
        UserError: the weights hold a mean without a variance, or a variance without a mean.
    """
    missing = {NORM_MEAN, NORM_VARIANCE} - weights.keys()
    if len(missing) == 2:
        return None
    if missing:
        raise UserError("the statistics of the latents are not complete", given=f"no {missing.pop()}")
    return LatentStats(weights[NORM_MEAN].float(), (weights[NORM_VARIANCE].float() + eps).sqrt())


def to_batch_norm(stats: LatentStats, eps: float = NORM_EPS) -> dict[str, Tensor]:
    """Return the tensors from which `statistics_of` reads these statistics.

    Raises:
        UserError: a standard deviation is less than sqrt(eps), so that no variance gives it.
    """
    variance = stats.std.square() - eps
    if bool((variance < 0).any()):
        raise UserError(
            "FLUX.2's layout cannot hold the statistics of these latents",
            given=f"a standard deviation of {float(stats.std.min()):g}",
            expected=f"{eps**0.5:g} or more in every channel",
        )
    return {
        NORM_MEAN: stats.mean,
        NORM_VARIANCE: variance,
        f"{BATCH_NORM}num_batches_tracked": torch.tensor(0),
    }


def without_statistics(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights of the network without the statistics."""
    return {name: tensor for name, tensor in weights.items() if not name.startswith(BATCH_NORM)}
