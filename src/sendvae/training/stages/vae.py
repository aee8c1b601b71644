"""The VAE's own training, which the tokenizer and the joint stage share: L_VAE, its networks, their updates."""

from __future__ import annotations

from collections.abc import Hashable
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch
from torch import Tensor

from sendvae import distributed
from sendvae.autoencoding import (
    adaptive_weight,
    draw_transformation,
    hinge_discriminator_loss,
    hinge_generator_loss,
    kl_loss,
    reconstruction_loss,
)
from sendvae.config import JointConfig, TokenizerConfig
from sendvae.errors import UserError
from sendvae.nn import LatentNorm
from sendvae.nn.precision import autocast, full_precision, resolve_precision
from sendvae.randomness import stream
from sendvae.tokenizers import Posterior
from sendvae.training.device import placed
from sendvae.training.micro_batches import MicroBatch
from sendvae.training.networks import VAENetworks
from sendvae.training.optim import Updater, frozen
from sendvae.training.parallel import Parallel
from sendvae.training.parts import Losses, Part
from sendvae.training.sync_batch_norm import synchronise_batch_norm


@dataclass(frozen=True)
class VAETerms:
    """One forward pass of the VAE.

    Attributes:
        weighted: the terms of L_VAE times their weights; the sum is the loss.
        scalars: the terms themselves, and ratios of adaptive weights.
        z: the posterior sample, raw; gradient reaches the encoder through it.
        shown: what the reconstruction is held against: the images, turned and shrunk where z was before it was decoded.
    """

    weighted: dict[str, Tensor]
    scalars: dict[str, Tensor]
    posterior: Posterior
    z: Tensor
    reconstruction: Tensor
    shown: Tensor

    @property
    def pixels(self) -> Tensor:
        """Return the pixel terms, weighted: what adaptive weights compare other gradients with."""
        return self.weighted["reconstruction"] + self.weighted["perceptual"]

    def total(self) -> Tensor:
        """Return the loss."""
        return torch.stack(list(self.weighted.values())).sum()

    def gradient_shares(self) -> dict[str, Tensor]:
        """Return each term's part in the sum of the norms of their gradients at the posterior mean."""
        norms = {
            name: torch.autograd.grad(loss, self.posterior.mean, retain_graph=True)[0].float().norm()
            for name, loss in self.weighted.items()
        }
        total = torch.stack(list(norms.values())).sum()
        return {f"gradient_share_{name}": norm / total for name, norm in norms.items()}


class VAETraining:
    """The tokenizer, what judges its reconstructions, what updates both, and what normalises its latents.

    Args:
        config: losses, optimiser and loop of either stage.
        networks: ready-made; the tokenizer and the discriminator are trained in place.
        encoder_only: leaves as it is what decodes.

    Raises:
        UserError: an adaptive adversarial weight for a decoder that is not trained.
    """

    def __init__(
        self,
        config: TokenizerConfig | JointConfig,
        networks: VAENetworks,
        device: torch.device,
        encoder_only: bool = False,
    ) -> None:
        self.config, self.device = config, device
        self.precision = resolve_precision(config.loop.precision, device)
        losses, total = config.losses, config.loop.images
        self.tokenizer = placed(networks.tokenizer, device).train()
        if encoder_only:
            if losses.adversarial_weighting == "adaptive":
                raise UserError(
                    "an adaptive adversarial weight needs gradients of the decoder, which is not trained",
                    given="trained=encoder, losses.adversarial_weighting=adaptive",
                    next_step="set losses.adversarial_weighting=fixed",
                )
            for parameter in self.tokenizer.decoder_parameters():
                parameter.requires_grad_(False)
        self.latent_norm = LatentNorm(self.tokenizer.latent_channels).to(device)
        if self.tokenizer.latent_stats is not None:
            self.latent_norm.initialise(self.tokenizer.latent_stats.mean, self.tokenizer.latent_stats.std)
        self.perceptual = placed(networks.perceptual, device)
        self.discriminator = placed(networks.discriminator, device)
        if losses.discriminator_sync and distributed.world_size() > 1:
            synchronise_batch_norm(self.discriminator)
        self.updaters = {
            "tokenizer": Updater(self.tokenizer, config.optimizer, total),
            "discriminator": Updater(self.discriminator, config.optimizer, total, losses.discriminator_lr),
        }
        self.discriminator_part = Part(
            "discriminator", self.discriminator_losses, Parallel(self.discriminator), ("discriminator",)
        )

    def phase(self, images_seen: int) -> Hashable:
        """Return which of the losses with a start are there at a position."""
        losses = self.config.losses
        return images_seen >= losses.adversarial_start, images_seen >= losses.discriminator_start

    def terms_of(self, piece: MicroBatch) -> VAETerms:
        """Return `terms` of a micro-batch, and leave in it what later parts of a step need."""
        images = piece.images
        noise = piece.draws.normal("posterior", self.tokenizer.latent_shape(images.shape[-1]))
        terms = self.terms(images, noise, piece.images_seen)
        piece.latent, piece.reconstruction = terms.z.detach().float(), terms.reconstruction.detach()
        piece.shown = terms.shown
        return terms

    def terms(self, images: Tensor, noise: Tensor, images_seen: int) -> VAETerms:
        """Return L_VAE of images (B, 3, H, W) in [-1, 1].

        Args:
            images: the originals.
            noise: standard normal (B, C, h, w), which draws the posterior sample.
            images_seen: the images seen before this step; the adversarial term begins at `losses.adversarial_start`.
        """
        losses, scalars = self.config.losses, {}
        with autocast(self.precision, self.device):
            posterior = self.tokenizer.encode(images)
            z = posterior.sample(noise=noise)
            decoded, shown = self._transformed(z, images, images_seen)
            reconstruction = self.tokenizer.decode(decoded)
        scalars["reconstruction"] = reconstruction_loss(reconstruction, shown, losses.reconstruction)
        with self._judging():
            scalars["perceptual"] = self.perceptual(reconstruction, shown).mean()
        scalars["kl"] = kl_loss(posterior.mean, posterior.logvar)
        if images_seen >= losses.adversarial_start:
            with self._judging(), frozen(self.discriminator.parameters()):
                scalars["adversarial"] = hinge_generator_loss(self.discriminator(reconstruction.float()))
        weights = {
            "reconstruction": losses.reconstruction_weight,
            "perceptual": losses.perceptual_weight,
            "kl": losses.kl_weight,
            "adversarial": losses.adversarial_weight,
        }
        weighted = {name: weights[name] * loss for name, loss in scalars.items()}
        terms = VAETerms(weighted, scalars, posterior, z, reconstruction, shown)
        if losses.adversarial_weighting == "adaptive" and "adversarial" in weighted:
            ratio = adaptive_weight(
                terms.pixels,
                scalars["adversarial"],
                self.tokenizer.decoder_out,
                shown[0].numel(),
            )
            weighted["adversarial"] = ratio * weighted["adversarial"]
            scalars["adversarial_ratio"] = ratio
        return terms

    def discriminator_losses(self, piece: MicroBatch) -> Losses:
        """Return the hinge loss between a micro-batch's images and their reconstructions."""
        assert piece.reconstruction is not None
        originals = piece.images if piece.shown is None else piece.shown
        with self._judging():
            # Two passes: BatchNorm must not mix real and reconstructed images.
            real, fake = self.discriminator(originals), self.discriminator(piece.reconstruction.float())
            loss = hinge_discriminator_loss(real, fake)
        return Losses(loss, {"discriminator": loss})

    def _transformed(self, z: Tensor, images: Tensor, images_seen: int) -> tuple[Tensor, Tensor]:
        """Return what is decoded and what it shall be: as they are, or both turned and shrunk alike (EQ-VAE).

        The whole batch is, whichever process or piece has it.
        """
        options = self.config.equivariance if isinstance(self.config, TokenizerConfig) else None
        if options is None:
            return z, images
        generator = stream(self.config.seed, images_seen, "equivariance")
        found = draw_transformation(generator, z.shape[-1], options.probability, options.smallest)
        if found is None:
            return z, images
        return found.of(z), found.of(images, images.shape[-1] // z.shape[-1])

    def _judging(self) -> AbstractContextManager[object]:
        """Return the precision of the perceptual network and the discriminator (`losses.precision`)."""
        if self.config.losses.precision == "fp32":
            return full_precision(self.device)
        return autocast(self.precision, self.device)
