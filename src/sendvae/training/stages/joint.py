"""REPA-E: a VAE and a generator trained together, the VAE by the REPA loss through the frozen generator."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from sendvae import distributed
from sendvae.config import JointConfig
from sendvae.diffusion import PATHS, Generator, repa_loss
from sendvae.errors import UserError
from sendvae.nn.precision import autocast, resolve_precision
from sendvae.training.compiling import compile_regions
from sendvae.training.ema import EMA
from sendvae.training.micro_batches import MicroBatch, micro_batches
from sendvae.training.networks import VAENetworks
from sendvae.training.optim import Updater, frozen
from sendvae.training.parallel import Parallel
from sendvae.training.parts import Losses, Part
from sendvae.training.source import Batch, Source
from sendvae.training.stages.vae import VAETraining
from sendvae.training.stages.velocity import time_and_noise, velocity_losses
from sendvae.training.state import State
from sendvae.vision import Backbone


class JointStage:
    """One step, in REPA-E's order: the VAE, the discriminator, the generator, the average.

    The VAE learns L_VAE plus the REPA loss of the generator's hidden tokens, whose gradient reaches it through the
    sampled latent; the generator is frozen meanwhile, drops no labels, and its latent normalisation uses the running
    statistics. Then the generator learns velocities and REPA on the same latents, detached, with the same times and
    noise; now the normalisation uses the batch's statistics and moves the running ones.

    Args:
        config: the resolved configuration.
        networks: those of `vae_networks`; tokenizer and discriminator are trained in place. The tokenizer's statistics,
            if any, begin the normalisation.
        generator: trained in place; must have a REPA projector.
        source: images, with cached tokens or without.
        device: where everything runs.
        backbone: the frozen foundation model; needed where the source has no cached tokens.
        name: what progress lines call this run.

    Raises:
        UserError: `loop.parallel=fsdp`.
    """

    def __init__(
        self,
        config: JointConfig,
        networks: VAENetworks,
        generator: Generator,
        source: Source,
        device: torch.device,
        backbone: Backbone | None = None,
        name: str = "joint",
    ) -> None:
        self.config, self.source, self.device, self.backbone = config, source, device, backbone
        self.name = name
        if config.loop.parallel == "fsdp":  # its sharded weights cannot be frozen and freed within a step
            raise UserError("joint training does not shard its generator", next_step="set loop.parallel=ddp")
        self.precision = resolve_precision(config.loop.precision, device)
        self.vae = VAETraining(config, networks, device)
        self.tokenizer, self.discriminator = self.vae.tokenizer, self.vae.discriminator
        self.latent_norm = self.vae.latent_norm
        self.generator = generator.to(device).train()
        self.averaged = nn.ModuleDict({"sit": self.generator, "latent_norm": self.latent_norm})
        self.ema = EMA(self.averaged, config.ema)
        self.vae_part = Part(
            "tokenizer, through the frozen generator",
            self.vae_losses,
            Parallel(self.tokenizer),
            ("tokenizer",),
        )
        self.generator_part = Part("generator", self.generator_losses, Parallel(self.generator), ("sit",))
        self.parts = (self.vae_part, self.vae.discriminator_part, self.generator_part)
        self.state = State(
            {
                "tokenizer": self.tokenizer,
                "discriminator": self.discriminator,
                "sit": self.generator,
                "latent_norm": self.latent_norm,
            },
            {**self.vae.updaters, "sit": Updater(self.generator, config.optimizer, config.loop.images)},
            {"ema": self.ema},
        )
        judges = (self.discriminator, self.vae.perceptual, backbone)
        compile_regions((self.tokenizer, self.generator, *judges), config.loop.compile, device)

    def step(self, batch: Batch, images_seen: int) -> dict[str, Tensor]:
        """Train on this process's share of a batch; return scalars, detached."""
        config = self.config
        pieces = micro_batches(batch, config.seed, images_seen, config.loop.accumulate, self.device)
        # The VAE, through the frozen generator.
        self.generator.eval()
        scalars = self.vae_part.train(pieces, self.state)
        # The discriminator, on the same reconstructions.
        if images_seen >= config.losses.discriminator_start:
            scalars |= self.vae.discriminator_part.train(pieces, self.state)
        # The generator, on the same latents.
        self.generator.train()
        self._normalise(pieces)
        scalars |= self.generator_part.train(pieces, self.state)
        self.ema.update(self.averaged)
        return scalars

    def phase(self, images_seen: int) -> Hashable:
        """Return which losses a step has at a position."""
        return self.vae.phase(images_seen)

    def vae_losses(self, piece: MicroBatch) -> Losses:
        """Return L_VAE and the REPA loss of the frozen generator's hidden tokens, by the running statistics."""
        tokens = piece.tokens(self.backbone, self.generator.grid, self.precision)
        piece.batch = replace(piece.batch, tokens=tokens)  # for the generator's losses, too
        terms = self.vae.terms_of(piece)
        with autocast(self.precision, self.device), frozen(self.generator.parameters()):
            time, noise = time_and_noise(piece, terms.z, self.config)
            x_t = PATHS[self.generator.path].interpolate(self.latent_norm(terms.z.float()), noise, time)
            hidden = self.generator.features(x_t, time, piece.batch.labels)
        loss = repa_loss(hidden, tokens, self.config.repa.mean_share)
        terms.scalars["alignment"] = loss
        terms.weighted["alignment"] = self.config.alignment_weight * loss
        return Losses(terms.total(), terms.scalars)

    def generator_losses(self, piece: MicroBatch) -> Losses:
        """Return the velocity and REPA losses of the latents in a micro-batch, normalised."""
        assert piece.latent is not None
        with autocast(self.precision, self.device):
            return velocity_losses(self.generator, piece.latent, piece, piece.batch.tokens, self.config)

    def _normalise(self, pieces: Sequence[MicroBatch]) -> None:
        """Normalise the latents by the statistics of the global batch, which then move the running ones."""
        latents = [piece.latent for piece in pieces if piece.latent is not None]
        z = torch.cat(latents)
        normalised = self.latent_norm.by_batch(z, distributed.all_reduce_mean)
        self.latent_norm.update(z, distributed.all_reduce_mean, distributed.world_size())
        for piece, latent in zip(pieces, normalised.split([len(z) for z in latents]), strict=True):
            piece.latent = latent
