"""Training a generator on a frozen tokenizer's latents: velocity matching and the REPA loss."""

from __future__ import annotations

from collections.abc import Hashable

import torch
from torch import Tensor

from sendvae import distributed
from sendvae.config import DiffusionConfig
from sendvae.diffusion import Generator
from sendvae.nn.precision import autocast, full_precision, resolve_precision
from sendvae.tokenizers import LatentStats, Posterior, Tokenizer
from sendvae.training.compiling import compile_regions
from sendvae.training.ema import EMA
from sendvae.training.micro_batches import MicroBatch, micro_batches
from sendvae.training.optim import Updater
from sendvae.training.parallel import Parallel, shard
from sendvae.training.parts import Losses, Part
from sendvae.training.source import Batch, Source
from sendvae.training.stages.velocity import velocity_losses
from sendvae.training.state import State
from sendvae.vision import Backbone


class DiffusionStage:
    """One step draws z from the posterior, normalises it with fixed channel statistics, and updates the generator.

    Args:
        config: the resolved configuration.
        generator: trained in place.
        stats: statistics of the tokenizer's latents.
        source: cached latents (and tokens), or images.
        device: where everything runs.
        tokenizer: needed where latents are not cached.
        backbone: needed where REPA is on and tokens are not cached.
        name: what progress lines call this run.
    """

    def __init__(
        self,
        config: DiffusionConfig,
        generator: Generator,
        stats: LatentStats,
        source: Source,
        device: torch.device,
        tokenizer: Tokenizer | None = None,
        backbone: Backbone | None = None,
        name: str = "diffusion",
    ) -> None:
        self.config, self.source, self.device = config, source, device
        self.stats = stats.to(device)
        self.tokenizer, self.backbone, self.name = tokenizer, backbone, name
        self.precision = resolve_precision(config.loop.precision, device)
        self.generator = generator.to(device).train()
        self.ema = EMA(self.generator, config.ema)
        if config.loop.parallel == "fsdp" and distributed.world_size() > 1:
            shard(self.generator)
            shard(self.ema.network)
        self.generator_part = Part("generator", self.losses, Parallel(self.generator), ("sit",))
        self.parts = (self.generator_part,)
        self.state = State(
            {"sit": self.generator},
            {"sit": Updater(self.generator, config.optimizer, config.loop.images)},
            {"ema": self.ema},
        )
        compile_regions((self.generator, tokenizer, backbone), config.loop.compile, device)

    def step(self, batch: Batch, images_seen: int) -> dict[str, Tensor]:
        """Train on this process's share of a batch; return scalars, detached."""
        config = self.config
        pieces = micro_batches(batch, config.seed, images_seen, config.loop.accumulate, self.device)
        scalars = self.generator_part.train(pieces, self.state)
        self.ema.update(self.generator)
        return scalars

    def phase(self, images_seen: int) -> Hashable:
        """Return what a step does at a position: always the same."""
        del images_seen
        return "all"

    def losses(self, piece: MicroBatch) -> Losses:
        """Return the velocity and REPA losses of one posterior sample an image, normalised."""
        with autocast(self.precision, self.device):
            posterior = self._posterior(piece)
            noise = piece.draws.normal("posterior", posterior.mean.shape[1:])
            z = self.stats.normalize(posterior.sample(noise=noise).float())
            tokens = (
                piece.tokens(self.backbone, self.generator.grid, self.precision) if self.config.repa else None
            )
            return velocity_losses(self.generator, z, piece, tokens, self.config)

    @torch.no_grad()
    def _posterior(self, piece: MicroBatch) -> Posterior:
        """Return the cached posterior, or the same computed now, in float32 as for the cache."""
        batch = piece.batch
        if batch.latent_mean is not None and batch.latent_std is not None:
            return Posterior(batch.latent_mean, 2.0 * batch.latent_std.log())
        assert self.tokenizer is not None
        with full_precision(self.device):
            return self.tokenizer.encode(piece.images)
