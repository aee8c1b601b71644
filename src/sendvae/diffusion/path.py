"""Interpolants between data (t = 0) and noise (t = 1), and what follows from their velocities."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol, TypeVar, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from sendvae.nn import time_shift
from sendvae.registry import Registry

DIMENSION = "dimension"


@runtime_checkable
class Path(Protocol):
    """x_t = alpha(t) x + sigma(t) noise, with alpha(0) = sigma(1) = 1 and alpha(1) = sigma(0) = 0.

    Data, score and diffusion coefficient are of one t for the whole batch, as samplers ask; v is the velocity that
    a network predicts at x_t.
    """

    def interpolate(
        self, x: Float[Tensor, "B C *n"], noise: Float[Tensor, "B C *n"], t: Float[Tensor, " B"]
    ) -> Float[Tensor, "B C *n"]:
        """Return x_t."""
        ...

    def velocity(
        self, x: Float[Tensor, "B C *n"], noise: Float[Tensor, "B C *n"], t: Float[Tensor, " B"]
    ) -> Float[Tensor, "B C *n"]:
        """Return dx_t / dt."""
        ...

    def data(
        self, x_t: Float[Tensor, "B C *n"], v: Float[Tensor, "B C *n"], t: float
    ) -> Float[Tensor, "B C *n"]:
        """Return where v points to at t = 0: the estimate of x."""
        ...

    def score(
        self, x_t: Float[Tensor, "B C *n"], v: Float[Tensor, "B C *n"], t: float
    ) -> Float[Tensor, "B C *n"]:
        """Return the gradient of the log density of x_t: minus the estimate of the noise, over sigma(t); t > 0."""
        ...

    def diffusion(self, t: float) -> float:
        """Return w(t) of the reverse SDE dx = (v - w s / 2) dt + sqrt(w) dW: 2 sigma(t), SiT's "sigma"."""
        ...


class LinearPath:
    """alpha = 1 - t, sigma = t: REPA's, REPA-E's, LightningDiT's."""

    def interpolate(
        self, x: Float[Tensor, "B C *n"], noise: Float[Tensor, "B C *n"], t: Float[Tensor, " B"]
    ) -> Float[Tensor, "B C *n"]:
        """Return (1 - t) x + t noise."""
        t = _of_each(x, t)
        return (1.0 - t) * x + t * noise

    def velocity(
        self, x: Float[Tensor, "B C *n"], noise: Float[Tensor, "B C *n"], t: Float[Tensor, " B"]
    ) -> Float[Tensor, "B C *n"]:
        """Return noise - x, the same at every t."""
        del t
        return noise - x

    def data(
        self, x_t: Float[Tensor, "B C *n"], v: Float[Tensor, "B C *n"], t: float
    ) -> Float[Tensor, "B C *n"]:
        """Return x_t - t v."""
        return x_t - t * v

    def score(
        self, x_t: Float[Tensor, "B C *n"], v: Float[Tensor, "B C *n"], t: float
    ) -> Float[Tensor, "B C *n"]:
        """Return -(x_t + (1 - t) v) / t."""
        return -(x_t + (1.0 - t) * v) / t

    def diffusion(self, t: float) -> float:
        """Return 2 t."""
        return 2.0 * t


class CosinePath:
    """alpha = cos(pi t / 2), sigma = sin(pi t / 2): SiT's "GVP", whose variance stays 1 for data of variance 1."""

    def interpolate(
        self, x: Float[Tensor, "B C *n"], noise: Float[Tensor, "B C *n"], t: Float[Tensor, " B"]
    ) -> Float[Tensor, "B C *n"]:
        """Return cos(pi t / 2) x + sin(pi t / 2) noise."""
        angle = _of_each(x, math.pi / 2.0 * t)
        return angle.cos() * x + angle.sin() * noise

    def velocity(
        self, x: Float[Tensor, "B C *n"], noise: Float[Tensor, "B C *n"], t: Float[Tensor, " B"]
    ) -> Float[Tensor, "B C *n"]:
        """Return pi / 2 (cos(pi t / 2) noise - sin(pi t / 2) x)."""
        angle = _of_each(x, math.pi / 2.0 * t)
        return math.pi / 2.0 * (angle.cos() * noise - angle.sin() * x)

    def data(
        self, x_t: Float[Tensor, "B C *n"], v: Float[Tensor, "B C *n"], t: float
    ) -> Float[Tensor, "B C *n"]:
        """Return cos(pi t / 2) x_t - 2 / pi sin(pi t / 2) v."""
        angle = math.pi / 2.0 * t
        return math.cos(angle) * x_t - 2.0 / math.pi * math.sin(angle) * v

    def score(
        self, x_t: Float[Tensor, "B C *n"], v: Float[Tensor, "B C *n"], t: float
    ) -> Float[Tensor, "B C *n"]:
        """Return -(x_t + 2 / pi v / tan(pi t / 2))."""
        return -(x_t + 2.0 / math.pi / math.tan(math.pi / 2.0 * t) * v)

    def diffusion(self, t: float) -> float:
        """Return 2 sin(pi t / 2)."""
        return 2.0 * math.sin(math.pi / 2.0 * t)


Time = TypeVar("Time", float, Tensor)


def shifted(t: Time, shift: float) -> Time:
    """Return s t / (1 + (s - 1) t): above 1 a shift moves times towards noise; its inverse is that of 1 / s."""
    return shift * t / (1.0 + (shift - 1.0) * t)


def _of_each(x: Float[Tensor, "B C *n"], t: Float[Tensor, " B"]) -> Float[Tensor, "B C2 *n2"]:
    """Return a time an image in a shape that multiplies its latent."""
    return t.view(-1, *[1] * (x.ndim - 1))


def shift_of(given: float | str, latent_shape: Sequence[int]) -> float:
    """Return a shift, of "dimension" RAE's for a latent of d values: sqrt(d / 4096), as noise hides less of a longer one.

    Raises:
        ValueError: another word.
    """
    if given == DIMENSION:
        return time_shift(math.prod(latent_shape))
    return float(given)


LINEAR = "linear"
PATHS: Registry[Path] = Registry("path", {LINEAR: LinearPath(), "cosine": CosinePath()})


def sample_time(
    count: int,
    kind: str = "uniform",
    generator: torch.Generator | None = None,
    device: torch.device | None = None,
    shift: float = 1.0,
) -> Float[Tensor, " B"]:
    """Draw a t for each image: uniform on [0, 1), or "lognormal": sigma = exp(N(0, 1)), t = sigma / (1 + sigma).

    Args:
        count: the number of images.
        kind: the kind of the distribution, before the shift.
        generator, device: the generator and the device of the random numbers.
        shift: the shift of `shifted`.
    """
    if kind == "uniform":
        return shifted(torch.rand(count, generator=generator, device=device), shift)
    if kind == "lognormal":
        return shifted(torch.randn(count, generator=generator, device=device).sigmoid(), shift)
    raise ValueError(f"time sampling must be 'uniform' or 'lognormal', got '{kind}'")
