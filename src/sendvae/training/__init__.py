"""Training jobs: a generic loop, and one readable stage a job."""

from sendvae.training.caching import cached_latents, cached_tokens, measure_statistics
from sendvae.training.given_latents import write_lightningdit
from sendvae.training.jobs import default_device, train_diffusion, train_joint, train_tokenizer
from sendvae.training.loop import NothingTrained, Stopped, train

__all__ = [
    "NothingTrained",
    "Stopped",
    "cached_latents",
    "cached_tokens",
    "default_device",
    "measure_statistics",
    "train",
    "train_diffusion",
    "train_joint",
    "train_tokenizer",
    "write_lightningdit",
]
