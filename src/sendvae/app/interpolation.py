"""Interpolation between two pictures in latent space."""

from __future__ import annotations

import torch
from jaxtyping import Float, Float64, UInt8
from torch import Tensor

from sendvae.app.refusal import Refusal
from sendvae.data import to_float, to_uint8
from sendvae.nn.precision import number_format
from sendvae.tokenizers import Tokenizer

WAYS = ("linear", "spherical")
MAX_STEPS = 16
PARALLEL = 1e-6  # the sine of the angle below which the line takes the place of the arc


def linear(a: Float64[Tensor, "*n"], b: Float64[Tensor, "*n"], t: float) -> Float64[Tensor, "*n"]:
    """Return (1 - t) a + t b."""
    return (1.0 - t) * a + t * b


def spherical(a: Float64[Tensor, "*n"], b: Float64[Tensor, "*n"], t: float) -> Float64[Tensor, "*n"]:
    """Return sin((1 - t) w) / sin w a + sin(t w) / sin w b, with w the angle between a and b.

    Shoemake (1985), "Animating rotation with quaternion curves". Where a and b are parallel or one of them is 0,
    there is no single arc, and the line is returned.
    """
    lengths = a.norm() * b.norm()
    cosine = (a * b).sum() / lengths if float(lengths) > 0 else torch.ones(())
    angle = cosine.clamp(-1.0, 1.0).acos().double()
    sine = angle.sin()
    if float(sine) < PARALLEL:
        return linear(a, b, t)
    return ((1.0 - t) * angle).sin() / sine * a + (t * angle).sin() / sine * b


@torch.no_grad()
def interpolate(
    tokenizer: Tokenizer,
    first: UInt8[Tensor, "3 H H"],
    last: UInt8[Tensor, "3 H H"],
    steps: int,
    way: str,
    device: torch.device,
) -> UInt8[Tensor, "N 3 H H"]:
    """Return N decoded pictures from one to another, of which the first and the last are the reconstructions.

    If the tokenizer carries its statistics, normalised latents are interpolated, as a diffusion model gets them, else
    raw ones.

    Args:
        tokenizer: a tokenizer on `device`.
        first, last: the two pictures.
        steps: N, from 2 to `MAX_STEPS`.
        way: "linear" or "spherical".
        device: the device that encodes and decodes.

    Raises:
        Refusal: there is no such way, or the number of steps is out of range.
    """
    if way not in WAYS:
        raise Refusal("no such way", given=way, expected=" or ".join(WAYS))
    if not 2 <= steps <= MAX_STEPS:
        raise Refusal("the number of steps is out of range", given=steps, expected=f"2 to {MAX_STEPS}")
    ends = torch.stack([first, last])
    with number_format("fp32", device):
        latents = tokenizer.encode(to_float(ends).to(device)).mode()
        between = _between(tokenizer, latents, steps, way)
        decoded = tokenizer.decode(torch.cat([latents[:1], between, latents[1:]]))
    return to_uint8(decoded).cpu()


def _between(
    tokenizer: Tokenizer, latents: Float[Tensor, "2 C *n"], steps: int, way: str
) -> Float[Tensor, "M C *n"]:
    """Return the latents between the two ends, computed in float64 on the CPU."""
    stats = tokenizer.latent_stats
    a, b = (latents if stats is None else stats.normalize(latents)).cpu().double()
    move = linear if way == "linear" else spherical
    path = [move(a, b, step / (steps - 1)) for step in range(1, steps - 1)]
    found = torch.stack(path) if path else a.new_empty(0, *a.shape)
    return (found if stats is None else stats.denormalize(found)).to(latents)
