"""SoftVQ's released files: which weights are the tokenizer's, and its sizes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from sendvae.errors import UserError
from sendvae.tokenizers.maetok_files import MARK, TRAINING, fields_of
from sendvae.tokenizers.softvq import Size, SoftVQShape

CODEBOOK = "quantize.embedding"
TEMPERATURE, NORMALISED = "tau", "codebook_l2_norm"  # fields of the configuration
# The recent use of each code, and the patch embedding of timm's model in the decoder; neither is read.
UNUSED = ("quantize.codebook_used", "decoder.model.patch_embed.")
PARTS = ("encoder", "decoder")
BLOCK = re.compile(r"(encoder|decoder)\.model\.blocks\.(\d+)\.")


def is_softvq(weights: Mapping[str, Tensor]) -> bool:
    """Return whether these are weights of SoftVQ's kind."""
    return MARK in weights and CODEBOOK in weights


def used(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights that belong to the tokenizer."""
    return {key: tensor for key, tensor in weights.items() if not key.startswith(UNUSED + TRAINING)}


def shape_of(weights: Mapping[str, Tensor], config: Mapping[str, Any]) -> SoftVQShape:
    """Return the sizes, read off the shapes of the tensors, with the temperature of the configuration.

    Raises:
        UserError: a tensor or the temperature is missing, the codebooks have another number of axes, the tokens do not
            divide among them, or codes are not weighted by cosines.
    """
    fields, temperature = fields_of(config), _temperature(config)
    if temperature is None:
        raise UserError(
            "the temperature of SoftVQ's codebook is not known",
            given=f"no {TEMPERATURE} in a config.json beside the weights",
            expected="model.safetensors with its config.json, as released",
            next_step="put both into one folder and name that",
        )
    if not fields.get(NORMALISED, True):
        raise UserError(
            "this SoftVQ does not weight its codes by cosines", given=f"{NORMALISED}=false", expected="true"
        )
    try:
        _, tokens, _ = weights[MARK].shape
        patch = weights["encoder.model.patch_embed.proj.weight"].shape[-1]
        patches = weights["encoder.model.pos_embed"].shape[1] - 1
        codebooks, codes, dims = weights[CODEBOOK].shape
        encoder, decoder = [
            Size(weights[f"{part}.model.cls_token"].shape[-1], _depth(weights, part)) for part in PARTS
        ]
    except KeyError as error:
        raise UserError("these are not SoftVQ's weights", given=f"no tensor {error}") from None
    except ValueError:
        raise UserError(
            "these are not SoftVQ's codebooks",
            given=f"{CODEBOOK} {tuple(weights[CODEBOOK].shape)}",
            expected="(codebooks, codes, dimensions)",
        ) from None
    if tokens % codebooks:
        raise UserError("the tokens do not divide among the codebooks", given=f"{tokens} and {codebooks}")
    size = round(patches**0.5) * patch
    return SoftVQShape(tokens, dims, size, patch, encoder, decoder, codebooks, codes, temperature)


def _temperature(config: Mapping[str, Any]) -> float | None:
    """Return the temperature in the makers' configuration or in one that this library wrote; None if neither has it."""
    written = config.get("architecture", {})
    found = fields_of(config).get(TEMPERATURE, written.get("temperature"))
    return None if found is None else float(found)


def _depth(weights: Mapping[str, Tensor], part: str) -> int:
    numbers = (found for key in weights if (found := BLOCK.match(key)) and found[1] == part)
    return 1 + max((int(found[2]) for found in numbers), default=-1)
