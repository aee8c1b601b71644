"""MAETok's released files: what of them is the tokenizer, of which sizes, with which statistics."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from sendvae.errors import UserError
from sendvae.tokenizers.maetok import MAETokShape
from sendvae.tokenizers.statistics import LatentStats

MARK = "encoder.latent_tokens"  # no other tokenizer has it
HEAD_WIDTH = 64  # of all released networks; the file does not tell
UNUSED = ("decoder.model.pos_embed", "decoder.model.patch_embed.")  # of timm's model; nothing reads them
# Masks, foundation models and their projection, decoders of HOG, DINO and CLIP features.
TRAINING = (
    "encoder.mask_token",
    "repa_model.",
    "projection.",
    "clip_model.",
    "decoder_",
    "post_quant_conv_",
    "to_pixel_",
)
MEAN, STD = "vq_mean", "vq_std"  # of all latents together, in the configuration


def is_maetok(weights: Mapping[str, Tensor]) -> bool:
    """Return whether these are weights of MAETok's kind; SoftVQ's are, too."""
    return MARK in weights


def used(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return what belongs to the tokenizer."""
    return {key: tensor for key, tensor in weights.items() if not key.startswith(UNUSED + TRAINING)}


def shape_of(weights: Mapping[str, Tensor]) -> MAETokShape:
    """Return the sizes that the shapes of the tensors tell.

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
    """Return what the configuration says of the network, which its makers' class nests once more."""
    fields = config.get("config", config)
    return fields if isinstance(fields, Mapping) else {}


def statistics_in(config: Mapping[str, Any], dims: int) -> LatentStats | None:
    """Return what the configuration says of all latents together, for every dimension; None where it says nothing."""
    fields = fields_of(config)
    if MEAN not in fields or STD not in fields:
        return None
    mean, std = float(fields[MEAN]), float(fields[STD])
    if (mean, std) == (0.0, 1.0):  # the default of who trains it: not measured
        return None
    return LatentStats(torch.full((dims,), mean), torch.full((dims,), std))
