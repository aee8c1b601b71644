"""Samplers: functions from (velocity, state, steps, noise) to data, one a file."""

from sendvae.diffusion.samplers.dopri5 import dopri5
from sendvae.diffusion.samplers.euler import euler
from sendvae.diffusion.samplers.euler_maruyama import euler_maruyama
from sendvae.diffusion.samplers.heun import heun
from sendvae.diffusion.samplers.protocol import Sampler
from sendvae.registry import Registry

SAMPLERS: Registry[Sampler] = Registry(
    "sampler", {"euler": euler, "heun": heun, "euler-maruyama": euler_maruyama, "dopri5": dopri5}
)
