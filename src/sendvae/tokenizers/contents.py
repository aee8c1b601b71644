"""Sorting out what a checkpoint holds: the VAE among training state, wrappers and other models."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from sendvae.tokenizers.diffusers_keys import from_diffusers_state_dict, is_diffusers
from sendvae.tokenizers.statistics import LatentStats

WRAPPERS = ("module.", "_orig_mod.")  # the prefixes of DistributedDataParallel and torch.compile
FIRST_STAGE = "first_stage_model."  # the VAE in a whole latent-diffusion (Stable Diffusion) model
# The prefixes of what the training of a VAE saves beside the VAE (latent-diffusion, LightningDiT).
TRAINING_STATE = ("loss.", "foundation_model.", "linear_proj.")
# The parts that a warm start can use, and their prefixes in a Lightning checkpoint.
PARTS = {"discriminator": "loss.discriminator.", "linear_proj": "linear_proj."}
# Where Black Forest Labs' code of FLUX.2 has the 1x1 convolutions.
NESTED = {"encoder.quant_conv.": "quant_conv.", "decoder.post_quant_conv.": "post_quant_conv."}
PATCHGAN_FIRST = "main.0.weight"  # the key by which a file is known to hold a discriminator alone


@dataclass(frozen=True)
class Contents:
    """The contents of a checkpoint.

    Attributes:
        vae: the weights of the VAE under latent-diffusion's names; empty if there is no VAE.
        parts: the weights of "discriminator" and "linear_proj" (VA-VAE's alignment projection), where present.
        latent_stats: the latent statistics of REPA-E's joint training, from its running batch statistics.
    """

    vae: dict[str, Tensor]
    parts: dict[str, dict[str, Tensor]] = field(default_factory=dict)
    latent_stats: LatentStats | None = None


def contents_of(checkpoint: Mapping[str, Any]) -> Contents:
    """Return what a checkpoint holds: the VAE and its parts, whatever container they were published in.

    The containers are flat state dicts (with latent-diffusion's or diffusers' names), Lightning checkpoints
    (`state_dict`), whole latent-diffusion models (`first_stage_model.`) and REPA-E's training checkpoints
    (`vae`, `discriminator`, `ema`).
    """
    if isinstance(checkpoint.get("vae"), Mapping):
        contents = contents_of(checkpoint["vae"])
        discriminator = _tensors(checkpoint.get("discriminator"))
        parts = contents.parts | ({"discriminator": discriminator} if discriminator else {})
        return Contents(contents.vae, parts, _batch_statistics(_tensors(checkpoint.get("ema"))))
    weights = _tensors(checkpoint.get("state_dict", checkpoint))
    if any(key.startswith(FIRST_STAGE) for key in weights):
        weights = _under(FIRST_STAGE, weights)
    if PATCHGAN_FIRST in weights:
        return Contents({}, {"discriminator": weights})
    parts = {name: found for name, prefix in PARTS.items() if (found := _under(prefix, weights))}
    vae = {_unnested(key): tensor for key, tensor in weights.items() if not key.startswith(TRAINING_STATE)}
    return Contents(from_diffusers_state_dict(vae) if is_diffusers(vae) else vae, parts)


def _unnested(key: str) -> str:
    prefix = next((prefix for prefix in NESTED if key.startswith(prefix)), None)
    return key if prefix is None else NESTED[prefix] + key.removeprefix(prefix)


def _tensors(state: Any) -> dict[str, Tensor]:
    """Return the tensors of a state dict, without the key prefixes of wrappers around the model."""
    if not isinstance(state, Mapping):
        return {}
    tensors = {str(key): value for key, value in state.items() if isinstance(value, Tensor)}
    for wrapper in WRAPPERS:
        if tensors and all(key.startswith(wrapper) for key in tensors):
            tensors = _under(wrapper, tensors)
    return tensors


def _under(prefix: str, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): value for key, value in weights.items() if key.startswith(prefix)}


def _batch_statistics(sit: Mapping[str, Tensor]) -> LatentStats | None:
    """Return the running statistics of the BatchNorm in REPA-E's averaged SiT, by which it normalises (no epsilon)."""
    if "bn.running_mean" not in sit or "bn.running_var" not in sit:
        return None
    return LatentStats(sit["bn.running_mean"].float(), sit["bn.running_var"].float().sqrt())
