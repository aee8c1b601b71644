"""MAETok's released files: which weights are the tokenizer's, its sizes and its latent statistics."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from sendvae.errors import UserError
from sendvae.tokenizers.maetok import MAETokShape
from sendvae.tokenizers.statistics import LatentStats

MARK = "encoder.latent_tokens"  # only tokenizers of MAETok's kind have this key
HEAD_WIDTH = 64  # the head width of all released networks; the file does not tell it
UNUSED = ("decoder.model.pos_embed", "decoder.model.patch_embed.")  # of timm's model; nothing reads them
# What only the training reads: masks, foundation models and their projection, decoders of HOG, DINO and CLIP features.
TRAINING = (
    "encoder.mask_token",
    "repa_model.",
    "projection.",
    "clip_model.",
    "decoder_",
    "post_quant_conv_",
    "to_pixel_",
)
MEAN, STD = "vq_mean", "vq_std"  # configuration fields for all latents together


def is_maetok(weights: Mapping[str, Tensor]) -> bool:
    """Return whether these are weights of MAETok's kind, which includes SoftVQ's."""
    return MARK in weights


def used(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights that belong to the tokenizer."""
    return {key: tensor for key, tensor in weights.items() if not key.startswith(UNUSED + TRAINING)}


def shape_of(weights: Mapping[str, Tensor]) -> MAETokShape:
    """Return the sizes of the networks, read off the shapes of the tensors.

    Raises:
        UserError: a tensor is missing.
    """
    try:
        _, tokens, width = weights[MARK].shape
        dims = len(weights["quant_conv.weight"])
        patch = weights["encoder.model.patch_embed.proj.weight"].shape[-1]
        patches = weights["encoder.model.pos_embed"].shape[1] - 1
        depth = weights["encoder.freqs"].shape[1]
    except KeyError as error:
        raise UserError("these are not MAETok's weights", given=f"no tensor {error}") from None
    size = round(patches**0.5) * patch
    return MAETokShape(tokens, dims, size, patch, width, depth, max(1, width // HEAD_WIDTH))


def fields_of(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the configuration fields of the network, which its makers' class nests under "config"."""
    fields = config.get("config", config)
    return fields if isinstance(fields, Mapping) else {}


def statistics_in(config: Mapping[str, Any], dims: int) -> LatentStats | None:
    """Return the configuration's statistics of all latents together, repeated for every dimension, or None."""
    fields = fields_of(config)
    if MEAN not in fields or STD not in fields:
        return None
    mean, std = float(fields[MEAN]), float(fields[STD])
    if (mean, std) == (0.0, 1.0):  # the default of the training, which is not measured
        return None
    return LatentStats(torch.full((dims,), mean), torch.full((dims,), std))
