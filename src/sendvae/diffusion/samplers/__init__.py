"""Samplers: functions from (velocity, noise, steps, generator) to data, one a file."""

from collections.abc import Callable

from torch import Tensor

from sendvae.diffusion.samplers.dopri5 import dopri5
from sendvae.diffusion.samplers.euler import euler
from sendvae.diffusion.samplers.euler_maruyama import euler_maruyama
from sendvae.diffusion.samplers.heun import heun
from sendvae.registry import Registry

SAMPLERS: Registry[Callable[..., Tensor]] = Registry(
    "sampler", {"euler": euler, "heun": heun, "euler-maruyama": euler_maruyama, "dopri5": dopri5}
)
