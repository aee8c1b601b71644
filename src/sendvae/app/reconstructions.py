"""Reconstructions of one picture by several tokenizers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from jaxtyping import UInt8
from torch import Tensor

from sendvae.autoencoding.perceptual import OFFLINE
from sendvae.data import to_float, to_uint8
from sendvae.evaluation.gallery import difference_of
from sendvae.experiments.pictures import principal_colours
from sendvae.metrics import psnr
from sendvae.nn.precision import number_format
from sendvae.tokenizers import Tokenizer

PERCEPTUAL = OFFLINE  # the perceptual network that needs no download


class Reconstruction(NamedTuple):
    """The reconstruction of a picture by a tokenizer.

    Attributes:
        copy: the decoded posterior mean.
        difference: the difference from the original, grey where they agree.
        latent: the three principal components of the latent as colours, with a pixel for each position, or a stripe
            for each token without a grid.
        shape: the shape of the latent: channels, height, width; or channels, tokens.
        psnr: the PSNR of the 8-bit pictures in dB, infinite where they are equal.
        perceptual: the distance by `PERCEPTUAL`, from 0.
    """

    copy: UInt8[Tensor, "3 H H"]
    difference: UInt8[Tensor, "3 H H"]
    latent: UInt8[Tensor, "3 h h"]
    shape: tuple[int, ...]
    psnr: float
    perceptual: float


@torch.no_grad()
def reconstruct(
    tokenizers: Mapping[str, Tokenizer],
    pixels: UInt8[Tensor, "3 H H"],
    perceptual: Callable[[Tensor, Tensor], Tensor],
    device: torch.device,
) -> dict[str, Reconstruction]:
    """Return every tokenizer's reconstruction of a picture, measured as in `sendvae evaluate reconstruction`.

    Args:
        tokenizers: the tokenizers by name, on `device`.
        pixels: the picture.
        perceptual: a function that returns the distance of two batches in [-1, 1], on `device`.
        device: the device that computes.
    """
    found = {}
    original = to_float(pixels)[None].to(device)
    for name, tokenizer in tokenizers.items():
        with number_format("fp32", device):
            z = tokenizer.encode(original).mode()
            decoded = tokenizer.decode(z).float()
            distance = perceptual(decoded.clamp(-1.0, 1.0), original)
        copy = to_uint8(decoded).cpu()[0]
        z = z.float().cpu()
        found[name] = Reconstruction(
            copy,
            difference_of(pixels, copy),
            principal_colours(z, z, z.shape[-1])[0],
            tuple(z.shape[1:]),
            float(psnr(copy[None], pixels[None])),
            float(distance),
        )
    return found
