"""Samples normalised latents from noise."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from sendvae.diffusion.guidance import guided_velocity
from sendvae.diffusion.path import PATHS, Path
from sendvae.diffusion.protocol import Generator
from sendvae.diffusion.samplers import SAMPLERS
from sendvae.diffusion.samplers.protocol import Noise, Velocity

Watch = Callable[[Tensor, float], None]  # (estimate of the data, t), at every network evaluation


@torch.no_grad()
def sample(
    model: Generator,
    noise: Float[Tensor, "B C *n"],
    labels: Int64[Tensor, " B"],
    method: str = "euler-maruyama",
    steps: int = 250,
    guidance_scale: float = 1.0,
    guidance_interval: tuple[float, float] = (0.0, 1.0),
    generator: torch.Generator | None = None,
    *,
    guided_channels: int | None = None,
    time_shift: float = 1.0,
    step_noise: Noise | None = None,
    watch: Watch | None = None,
) -> Float[Tensor, "B C *n"]:
    """Return normalised latents in the dtype of `noise`; the state is integrated in float64.

    On a device without float64 (MPS) the state is float32, which a warning says.

    Args:
        model: the generator, which gives velocities and the path to which they belong.
        noise: N(0, 1), the state at t = 1.
        labels: classes, or the null label for unconditional samples.
        method: a name in SAMPLERS.
        steps: network evaluations (for "heun" about twice as many, for "dopri5" the first step's inverse).
        guidance_scale: 1 is the conditional model.
        guidance_interval: noise levels t (1 is noise) at which guidance applies.
        generator: the source of the noise that an SDE sampler adds: one randn of the state's shape and type a noisy
            step.
        guided_channels: how many of the first channels are guided; None: all.
        time_shift: above 1 more of the steps lie near noise: s t / (1 + (s - 1) t) of equal steps of t.
        step_noise: gives that noise instead of `generator`, float64, on any device.
        watch: is shown the data that the velocity points to at t = 0 (linear path: x_t - t v), and changes nothing;
            what it raises ends the sampling.

    Raises:
        ValueError: both `generator` and `step_noise` are given; a shift for a sampler that takes none.
    """
    if generator is not None and step_noise is not None:
        raise ValueError("give either a generator or step_noise, not both")
    state = noise.to(state_dtype(noise.device))

    def draw() -> Tensor:
        if step_noise is not None:
            return _moved(step_noise(), state)
        return torch.randn(state.shape, dtype=state.dtype, device=state.device, generator=generator)

    path = PATHS[model.path]
    velocity = guided_velocity(model, labels, guidance_scale, guidance_interval, noise.dtype, guided_channels)
    if watch is not None:
        velocity = _watched(velocity, watch, path)
    return SAMPLERS[method](velocity, state, steps, draw, path, time_shift).to(noise.dtype)


def _watched(velocity: Velocity, watch: Watch, path: Path) -> Velocity:
    def evaluate(x: Tensor, t: float) -> Tensor:
        v = velocity(x, t)
        watch(path.data(x, v, t), t)
        return v

    return evaluate


def _moved(noise: Tensor, state: Tensor) -> Tensor:
    """Return the noise in the state's type and place; on a GPU, its copy does not wait for running kernels."""
    noise = noise.to(state.dtype)
    if state.is_cuda and not noise.is_cuda:
        return noise.pin_memory().to(state.device, non_blocking=True)
    return noise.to(state.device)


def state_dtype(device: torch.device) -> torch.dtype:
    """Return float64, or float32 with a warning where the device has no float64."""
    try:
        torch.zeros(1, dtype=torch.float64, device=device)
    except (TypeError, RuntimeError):
        warnings.warn(
            f"the device '{device.type}' has no float64: samplers integrate in float32", stacklevel=2
        )
        return torch.float32
    return torch.float64
