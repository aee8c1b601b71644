"""Latents -> velocity -> latents: generators, their objective, their samplers."""

from sendvae.diffusion.lightningdit import LightningDiT
from sendvae.diffusion.load import (
    load_checkpoint_file,
    load_generator,
    load_sit,
    save_generator,
    trained_generator,
)
from sendvae.diffusion.models import DIFFUSION_MODELS, DiffusionModelSpec, locate_generator, named_model
from sendvae.diffusion.objective import diffusion_objective, velocity_errors
from sendvae.diffusion.path import PATHS, sample_time, shift_of
from sendvae.diffusion.projectors import PROJECTORS
from sendvae.diffusion.protocol import Generator
from sendvae.diffusion.repa import repa_loss
from sendvae.diffusion.sample import Watch, sample
from sendvae.diffusion.samplers import SAMPLERS
from sendvae.diffusion.sit import SiT
from sendvae.diffusion.zoo import GENERATORS, SIZES, GeneratorName, build_generator, build_sit

__all__ = [
    "DIFFUSION_MODELS",
    "GENERATORS",
    "PATHS",
    "PROJECTORS",
    "SAMPLERS",
    "SIZES",
    "DiffusionModelSpec",
    "Generator",
    "GeneratorName",
    "LightningDiT",
    "SiT",
    "Watch",
    "build_generator",
    "build_sit",
    "diffusion_objective",
    "load_checkpoint_file",
    "load_generator",
    "load_sit",
    "locate_generator",
    "named_model",
    "repa_loss",
    "sample",
    "sample_time",
    "save_generator",
    "shift_of",
    "trained_generator",
    "velocity_errors",
]
