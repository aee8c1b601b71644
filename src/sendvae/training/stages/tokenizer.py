"""Fine-tuning a VAE: L_VAE, and the alignment of its noised latents with a foundation model (Eq. 3)."""

from __future__ import annotations

from collections.abc import Hashable

import torch
from torch import Tensor, nn

from sendvae import distributed
from sendvae.alignment import adaptive_weight
from sendvae.config import TokenizerConfig
from sendvae.nn.precision import autocast
from sendvae.training.compiling import compile_regions
from sendvae.training.ema import EMA
from sendvae.training.micro_batches import MicroBatch, micro_batches
from sendvae.training.networks import VAENetworks
from sendvae.training.optim import Updater
from sendvae.training.parallel import Parallel
from sendvae.training.parts import Losses, Part
from sendvae.training.source import Batch, Source
from sendvae.training.stages.vae import VAETerms, VAETraining
from sendvae.training.state import State
from sendvae.vision import Backbone


class TokenizerStage:
    """One step updates the tokenizer and the alignment head, then the discriminator.

    The tokenizer's posterior sample z serves both the decoder (raw) and the alignment (normalised by running
    channel statistics unless configured otherwise, then noised): gradient reaches the encoder through it, mean
    and variance alike.

    Args:
        config: the resolved configuration.
        networks: the networks of `tokenizer_networks`; all but the perceptual one are trained in place.
        source: images, with cached tokens or without.
        device: where everything runs.
        backbone: the frozen foundation model; needed where the source has no cached tokens.
        name: what progress lines call this run.
    """

    def __init__(
        self,
        config: TokenizerConfig,
        networks: VAENetworks,
        source: Source,
        device: torch.device,
        backbone: Backbone | None = None,
        name: str = "tokenizer",
    ) -> None:
        self.config, self.source, self.device, self.backbone = config, source, device, backbone
        self.name = name
        self.vae = VAETraining(config, networks, device, encoder_only=config.trained == "encoder")
        self.tokenizer, self.discriminator = self.vae.tokenizer, self.vae.discriminator
        self.latent_norm = self.vae.latent_norm
        trained: dict[str, nn.Module] = {"tokenizer": self.tokenizer}
        updaters = dict(self.vae.updaters)
        self.alignment: nn.Module | None = None
        if networks.alignment is not None and config.alignment is not None:
            self.alignment = trained["alignment"] = networks.alignment.to(device)
            updaters["alignment"] = Updater(
                self.alignment, config.optimizer, config.loop.images, config.alignment.lr
            )
        self.vae_part = Part("tokenizer", self.losses, Parallel(*trained.values()), tuple(trained))
        self.parts = (self.vae_part, self.vae.discriminator_part)
        self.ema = EMA(self.tokenizer, config.ema) if config.ema is not None else None
        self.state = State(
            {**trained, "discriminator": self.discriminator, "latent_norm": self.latent_norm},
            updaters,
            {"ema": self.ema} if self.ema is not None else {},
        )
        judges = (self.discriminator, self.vae.perceptual, self.alignment, backbone)
        compile_regions((self.tokenizer, *judges), config.loop.compile, device)

    def step(self, batch: Batch, images_seen: int) -> dict[str, Tensor]:
        """Train on this process's share of a batch; return scalars, detached."""
        config = self.config
        pieces = micro_batches(batch, config.seed, images_seen, config.loop.accumulate, self.device)
        # The tokenizer and the alignment head.
        scalars = self.vae_part.train(pieces, self.state)
        if config.alignment is not None and config.alignment.normalisation == "running":
            latents = torch.cat([piece.latent for piece in pieces if piece.latent is not None])
            self.latent_norm.update(latents, distributed.all_reduce_mean, distributed.world_size())
        if self.ema is not None:
            self.ema.update(self.tokenizer)
        # The discriminator, on the same reconstructions.
        if images_seen >= config.losses.discriminator_start:
            scalars |= self.vae.discriminator_part.train(pieces, self.state)
        return scalars

    def phase(self, images_seen: int) -> Hashable:
        """Return which losses a step has at a position; None where it draws on the CPU, or measures gradient shares."""
        if self.config.equivariance is not None or self._measures_shares(images_seen):
            return None
        return self.vae.phase(images_seen)

    def _measures_shares(self, images_seen: int) -> bool:
        return images_seen % self.config.gradient_share_every < self.config.loop.batch_size

    def losses(self, piece: MicroBatch) -> Losses:
        """Return Eq. 3: L_VAE and the weighted alignment; now and then, each term's share in the gradient."""
        terms = self.vae.terms_of(piece)
        if self.alignment is not None:
            loss = self._alignment_loss(self.alignment, terms.z, piece)
            weight = self.alignment_weight(terms, loss)
            terms.scalars["alignment"], terms.weighted["alignment"] = loss, weight * loss
        if self._measures_shares(piece.images_seen):
            terms.scalars.update(terms.gradient_shares())
        return Losses(terms.total(), terms.scalars)

    def alignment_weight(self, terms: VAETerms, loss: Tensor) -> Tensor | float:
        """Return the configured weight of the alignment loss.

        With `alignment.weighting=adaptive` (VA-VAE), times the ratio of the gradient norms of pixels and alignment
        at the encoder's last layer, which is added to the scalars.
        """
        assert self.config.alignment is not None
        if self.config.alignment.weighting == "fixed":
            return self.config.alignment.weight
        layer, elements = self.tokenizer.encoder_out, terms.reconstruction[0].numel()
        ratio = adaptive_weight(terms.pixels, loss, layer, elements)
        terms.scalars["alignment_ratio"] = ratio
        return ratio * self.config.alignment.weight

    def _alignment_loss(self, alignment: nn.Module, z: Tensor, piece: MicroBatch) -> Tensor:
        assert self.config.alignment is not None
        tokens = piece.tokens(self.backbone, self.config.alignment.grid, self.vae.precision)
        alpha, noise = piece.draws.uniform("alpha"), piece.draws.normal("alignment noise", z.shape[1:])
        with autocast(self.vae.precision, self.device):
            z = z.float()
            if self.config.alignment.normalisation != "none":
                z = self.latent_norm(z)
            return alignment(z, tokens, alpha, noise)
