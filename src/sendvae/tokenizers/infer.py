"""Inference of the architecture of a VAE from the shapes of its weights."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace

import torch
from torch import Tensor

from sendvae.errors import UserError
from sendvae.tokenizers.architecture import ARCHITECTURES, Architecture
from sendvae.tokenizers.autoencoder import Autoencoder
from sendvae.tokenizers.batch_norm import NORM_MEAN

Shapes = Mapping[str, tuple[int, ...]]
NORM_GROUPS = 32  # latent-diffusion's number of groups; shapes do not tell it


def infer_architecture(weights: Mapping[str, Tensor], norm_groups: int | None = None) -> Architecture:
    """Return the architecture to which weights under latent-diffusion's names belong.

    Incomplete weights get the known architecture that has most tensors in common with them, so that loading
    can say what is missing. The statistics among the weights tell whether latents are packed; without them the
    known architecture of this shape does.

    Args:
        weights: the weights of the VAE.
        norm_groups: the number of groups of the GroupNorms, if it is known. Otherwise it is that of the known
            architecture of this shape, or 32 if there is none.

    Raises:
        UserError: the weights are not those of such a VAE, or do not allow 32 groups.
    """
    shapes = {key: tuple(tensor.shape) for key, tensor in weights.items()}
    try:
        found = _read_off(shapes)
    except (KeyError, IndexError, ValueError):
        return _nearest(shapes)
    known = [a for a in ARCHITECTURES.values() if _signature(a) == _signature(found)]
    if NORM_MEAN in shapes:
        known = [replace(one, packing=found.packing) for one in known]
    if norm_groups is not None:
        return replace(known[0] if known else found, norm_groups=norm_groups)
    if not known and found.ch % NORM_GROUPS:
        raise UserError(
            "the number of GroupNorm groups cannot be told from these weights",
            given=f"{found.ch} channels, not a multiple of {NORM_GROUPS}",
            next_step="load the folder they were exported to, with its config.json",
        )
    return known[0] if known else found


def _read_off(shapes: Shapes) -> Architecture:
    levels = range(_count(shapes, r"encoder\.down\.(\d+)\."))
    ch = shapes["encoder.conv_in.weight"][0]
    nominal = 256
    return Architecture(
        z_channels=shapes["decoder.conv_in.weight"][1],
        ch=ch,
        ch_mult=tuple(_whole(shapes[f"encoder.down.{i}.block.0.conv1.weight"][0], ch) for i in levels),
        num_res_blocks=_count(shapes, r"encoder\.down\.0\.block\.(\d+)\."),
        attn_resolutions=tuple(
            nominal // 2**i for i in levels if f"encoder.down.{i}.attn.0.q.weight" in shapes
        ),
        resolution=nominal,
        norm_groups=NORM_GROUPS,
        quant_conv=_has(shapes, "quant_conv."),
        post_quant_conv=_has(shapes, "post_quant_conv."),
        packing=_packing(shapes),
    )


def _has(shapes: Shapes, prefix: str) -> bool:
    return any(key.startswith(prefix) for key in shapes)


def _packing(shapes: Shapes) -> int:
    """Return the side of packed squares: FLUX.2's statistics have side^2 times as many channels as the latents."""
    if NORM_MEAN not in shapes:
        return 1
    return math.isqrt(shapes[NORM_MEAN][0] // shapes["decoder.conv_in.weight"][1])


def _nearest(shapes: Shapes) -> Architecture:
    def common(architecture: Architecture) -> int:
        with torch.device("meta"):
            state = Autoencoder(architecture).state_dict()
        return sum(shapes.get(key) == tuple(tensor.shape) for key, tensor in state.items())

    best = max(ARCHITECTURES.values(), key=common)
    if common(best) == 0:
        raise UserError(
            "these are no weights of a known VAE",
            given=f"{len(shapes)} tensors: {', '.join(list(shapes)[:3])}, ...",
            expected="encoder.*, decoder.*, with or without quant_conv.* (latent-diffusion or diffusers)",
        )
    return best


def _signature(a: Architecture) -> tuple[object, ...]:
    return (a.z_channels, a.levels, a.ch, a.num_res_blocks, a.quant_conv, a.post_quant_conv)


def _count(keys: Iterable[str], pattern: str) -> int:
    return len({match[1] for key in keys if (match := re.match(pattern, key))})


def _whole(channels: int, ch: int) -> int:
    if channels % ch:
        raise ValueError(f"{channels} channels are no multiple of {ch}")
    return channels // ch
