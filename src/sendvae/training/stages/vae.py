"""The VAE's own training, which the tokenizer and the joint stage share: L_VAE, its networks, their updates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from sendvae.autoencoding import (
    PatchDiscriminator,
    adaptive_weight,
    hinge_discriminator_loss,
    hinge_generator_loss,
    kl_loss,
    load_perceptual,
    reconstruction_loss,
)
from sendvae.config import JointConfig, TokenizerConfig
from sendvae.errors import UserError
from sendvae.nn.precision import autocast, resolve_precision
from sendvae.tokenizers import Autoencoder, Posterior
from sendvae.tokenizers.load import load_parts
from sendvae.training.optim import Updater, frozen
from sendvae.training.parallel import Parallel


@dataclass(frozen=True)
class VAETerms:
    """One forward pass of the VAE.

    Attributes:
        weighted: the terms of L_VAE times their weights; the sum is the loss.
        scalars: the terms themselves, and ratios of adaptive weights.
        z: the posterior sample that was decoded, raw; gradient reaches the encoder through it.
    """

    weighted: dict[str, Tensor]
    scalars: dict[str, Tensor]
    posterior: Posterior
    z: Tensor
    reconstruction: Tensor

    @property
    def pixels(self) -> Tensor:
        """What adaptive weights compare other gradients with."""
        return self.weighted["reconstruction"] + self.weighted["perceptual"]

    def total(self) -> Tensor:
        return torch.stack(list(self.weighted.values())).sum()

    def gradient_shares(self) -> dict[str, Tensor]:
        """Each term's part in the sum of the norms of their gradients at the posterior mean."""
        norms = {
            name: torch.autograd.grad(loss, self.posterior.mean, retain_graph=True)[0].float().norm()
            for name, loss in self.weighted.items()
        }
        total = torch.stack(list(norms.values())).sum()
        return {f"gradient_share_{name}": norm / total for name, norm in norms.items()}


class VAETraining:
    """The tokenizer, what judges its reconstructions, and what updates both.

    Args:
        config: losses, optimiser and loop of either stage.
        tokenizer: trained in place.
        encoder_only: leaves decoder and post-quantisation as they are.
    """

    def __init__(
        self,
        config: TokenizerConfig | JointConfig,
        tokenizer: Autoencoder,
        device: torch.device,
        encoder_only: bool = False,
    ) -> None:
        self.config, self.device = config, device
        self.precision = resolve_precision(config.loop.precision, device)
        losses, total = config.losses, config.loop.images
        self.tokenizer = tokenizer.to(device).train()
        if encoder_only:
            if losses.adversarial_weighting == "adaptive":
                raise UserError(
                    "an adaptive adversarial weight needs gradients of the decoder, which is not trained",
                    given="trained=encoder, losses.adversarial_weighting=adaptive",
                    next_step="set losses.adversarial_weighting=fixed",
                )
            tokenizer.decoder.requires_grad_(False)
            tokenizer.post_quant_conv.requires_grad_(False)
        # On the meta device a run is only estimated, and nothing is loaded.
        self.perceptual = load_perceptual(losses.perceptual, pretrained=device.type != "meta").to(device)
        self.discriminator = PatchDiscriminator(losses.discriminator_width, losses.discriminator_layers)
        if losses.discriminator_init is not None:
            _warm_start(self.discriminator, losses.discriminator_init)
        self.discriminator.to(device)
        self.updaters = {
            "tokenizer": Updater(self.tokenizer, config.optimizer, total),
            "discriminator": Updater(self.discriminator, config.optimizer, total, losses.discriminator_lr),
        }
        self.parallel_discriminator = Parallel(self.discriminator)

    def terms(self, images: Tensor, noise: Tensor, images_seen: int) -> VAETerms:
        """L_VAE of images in [-1, 1]; `noise` draws the posterior sample."""
        losses, scalars = self.config.losses, {}
        with autocast(self.precision, self.device):
            posterior = self.tokenizer.encode(images)
            z = posterior.sample(noise=noise)
            reconstruction = self.tokenizer.decode(z)
            scalars["reconstruction"] = reconstruction_loss(reconstruction, images, losses.reconstruction)
            scalars["perceptual"] = self.perceptual(reconstruction, images).mean()
            scalars["kl"] = kl_loss(posterior.mean, posterior.logvar)
            if images_seen >= losses.adversarial_start:
                with frozen(self.discriminator.parameters()):
                    scalars["adversarial"] = hinge_generator_loss(self.discriminator(reconstruction))
        weights = {
            "reconstruction": losses.reconstruction_weight,
            "perceptual": losses.perceptual_weight,
            "kl": losses.kl_weight,
            "adversarial": losses.adversarial_weight,
        }
        weighted = {name: weights[name] * loss for name, loss in scalars.items()}
        terms = VAETerms(weighted, scalars, posterior, z, reconstruction)
        if losses.adversarial_weighting == "adaptive" and "adversarial" in weighted:
            ratio = adaptive_weight(
                terms.pixels,
                scalars["adversarial"],
                self.tokenizer.decoder.conv_out.weight,
                images[0].numel(),
            )
            weighted["adversarial"] = ratio * weighted["adversarial"]
            scalars["adversarial_ratio"] = ratio
        return terms

    def train_discriminator(
        self, pairs: Sequence[tuple[Tensor, Tensor]], images_seen: int
    ) -> dict[str, Tensor]:
        """One update from (images, detached reconstructions), a pair for each accumulated piece."""
        if images_seen < self.config.losses.discriminator_start:
            return {}
        mean = torch.zeros((), device=self.device)
        for i, (images, reconstruction) in enumerate(pairs):
            with self.parallel_discriminator.backward_of(i == len(pairs) - 1):
                loss = self.parallel_discriminator(self._discriminator_loss, images, reconstruction)
                (loss / len(pairs)).backward()
            mean += loss.detach() / len(pairs)
        norm = self.updaters["discriminator"].step(images_seen)
        return {"discriminator": mean, "grad_norm_discriminator": norm}

    def _discriminator_loss(self, images: Tensor, reconstruction: Tensor) -> Tensor:
        with autocast(self.precision, self.device):
            # Two passes: BatchNorm must not mix real and reconstructed images.
            return hinge_discriminator_loss(self.discriminator(images), self.discriminator(reconstruction))


def add_means(scalars: dict[str, Tensor], terms: Mapping[str, Tensor], parts: int) -> None:
    """Adds one of `parts` pieces' scalars to their means."""
    for name, value in terms.items():
        scalars[name] = scalars.get(name, 0.0) + value.detach() / parts


def _warm_start(discriminator: PatchDiscriminator, source: str) -> None:
    """Takes the discriminator that a released checkpoint keeps or stands beside.

    Raises:
        UserError: there is none, or it is of another size.
    """
    weights = load_parts(source).get("discriminator")
    if weights is None:
        raise UserError(
            "no discriminator to start from",
            given=f"losses.discriminator_init={source}",
            expected="a checkpoint that holds one, or a discriminator's file",
            next_step="leave it out, and delay losses.adversarial_start until a fresh one has trained",
        )
    expected = {name: tuple(tensor.shape) for name, tensor in discriminator.state_dict().items()}
    found = {name: tuple(tensor.shape) for name, tensor in weights.items()}
    if expected != found:
        differing = sorted(name for name in expected | found if expected.get(name) != found.get(name))
        raise UserError(
            f"the discriminator of {source} does not fit",
            given=f"differing: {', '.join(differing[:4])}",
            expected=f"{len(expected)} tensors of a PatchGAN with losses.discriminator_width and _layers",
            next_step="set losses.discriminator_width and losses.discriminator_layers to the checkpoint's",
        )
    discriminator.load_state_dict(weights)
