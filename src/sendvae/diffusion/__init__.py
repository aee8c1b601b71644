"""Latents -> velocity -> latents: SiT, its objective, its samplers."""

from sendvae.diffusion.interpolant import interpolate, sample_time, velocity
from sendvae.diffusion.load import load_repa_checkpoint, load_sit, save_sit, sit_from_weights
from sendvae.diffusion.objective import diffusion_objective
from sendvae.diffusion.sample import Watch, sample
from sendvae.diffusion.samplers import SAMPLERS
from sendvae.diffusion.sit import SiT
from sendvae.diffusion.zoo import SIZES, build_sit

__all__ = [
    "SAMPLERS",
    "SIZES",
    "SiT",
    "Watch",
    "build_sit",
    "diffusion_objective",
    "interpolate",
    "load_repa_checkpoint",
    "load_sit",
    "sample",
    "sample_time",
    "save_sit",
    "sit_from_weights",
    "velocity",
]
