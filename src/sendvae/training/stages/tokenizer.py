"""Fine-tuning a VAE: L_VAE, and the alignment of its noised latents with a foundation model (Eq. 3)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from sendvae import distributed
from sendvae.alignment import adaptive_weight, build_alignment
from sendvae.autoencoding import (
    PatchDiscriminator,
    hinge_discriminator_loss,
    hinge_generator_loss,
    kl_loss,
    load_perceptual,
    reconstruction_loss,
)
from sendvae.config import TokenizerConfig
from sendvae.data import to_float
from sendvae.nn import LatentNorm
from sendvae.nn.precision import autocast, resolve_precision
from sendvae.runs import Checkpoint, load_optimizer_tensors, optimizer_tensors
from sendvae.tokenizers import Autoencoder
from sendvae.training.ema import EMA
from sendvae.training.optim import Updater, frozen
from sendvae.training.parallel import Parallel, load_state
from sendvae.training.randomness import Draws, micro_batches
from sendvae.training.source import Batch, Source
from sendvae.vision import Backbone


class TokenizerStage:
    """One step updates the tokenizer and the mapper, then the discriminator.

    The tokenizer's posterior sample z serves both the decoder (raw) and the alignment (normalised by running
    channel statistics, then noised): gradient reaches the encoder through it, mean and variance alike.

    Args:
        config: the resolved configuration.
        tokenizer: the pre-trained VAE; trained in place.
        source: images, with cached tokens or without.
        backbone: the frozen foundation model; needed where the source has no cached tokens.
        token_width: width of its patch tokens; None without alignment.
    """

    name: str

    def __init__(
        self,
        config: TokenizerConfig,
        tokenizer: Autoencoder,
        source: Source,
        device: torch.device,
        backbone: Backbone | None = None,
        token_width: int | None = None,
        name: str = "tokenizer",
    ) -> None:
        self.config, self.source, self.device, self.backbone = config, source, device, backbone
        self.name = name
        self.precision = resolve_precision(config.loop.precision, device)
        torch.manual_seed(config.seed)  # fresh mappers and discriminators start alike in every method
        total, losses = config.loop.images, config.losses
        self.tokenizer = tokenizer.to(device).train()
        self.perceptual = load_perceptual(losses.perceptual).to(device)
        self.discriminator = PatchDiscriminator(losses.discriminator_width, losses.discriminator_layers).to(
            device
        )
        self.latent_norm = LatentNorm(tokenizer.architecture.z_channels).to(device)
        if tokenizer.latent_stats is not None:
            self.latent_norm.initialise(tokenizer.latent_stats.mean, tokenizer.latent_stats.std)
        self.alignment: nn.Module | None = None
        self.updaters = {
            "tokenizer": Updater(self.tokenizer, config.optimizer, total),
            "discriminator": Updater(self.discriminator, config.optimizer, total, losses.discriminator_lr),
        }
        if config.alignment is not None:
            if token_width is None:
                raise ValueError("alignment needs token_width")
            a = config.alignment
            self.alignment = build_alignment(
                a.method,
                latent_channels=tokenizer.architecture.z_channels,
                token_width=token_width,
                patch_size=self._patch_size(),
                grid=a.grid,
                width=a.width or token_width,
                depth=a.depth,
                heads=a.heads,
                hidden=a.hidden,
            ).to(device)
            self.updaters["alignment"] = Updater(self.alignment, config.optimizer, total, a.lr)
        trained = [self.tokenizer] + ([self.alignment] if self.alignment is not None else [])
        self.parallel = Parallel(*trained)
        self.parallel_discriminator = Parallel(self.discriminator)
        self.ema = EMA(self.tokenizer, config.ema) if config.ema is not None else None

    def step(self, batch: Batch, images_seen: int) -> dict[str, Tensor]:
        parts, weights = self.config.loop.accumulate, self.config.losses
        scalars: dict[str, Tensor] = {}
        latents: list[Tensor] = []
        pairs: list[tuple[Tensor, Tensor]] = []

        def add(terms: Mapping[str, Tensor]) -> None:
            for name, value in terms.items():
                scalars[name] = scalars.get(name, 0.0) + value.detach() / parts

        for piece, draws, last in micro_batches(batch, self.config.seed, images_seen, parts, self.device):
            assert piece.images is not None
            images = to_float(piece.images)
            with self.parallel.backward_of(last):
                total, terms, z, reconstruction = self.parallel(
                    self._losses, piece, images, draws, images_seen
                )
                (total / parts).backward()
            add(terms)
            latents.append(z.detach().float())
            pairs.append((images, reconstruction.detach()))
        scalars["grad_norm_tokenizer"] = self.updaters["tokenizer"].step(images_seen)
        if self.alignment is not None:
            scalars["grad_norm_alignment"] = self.updaters["alignment"].step(images_seen)
        self.latent_norm.update(torch.cat(latents), distributed.all_reduce_mean, distributed.world_size())
        if self.ema is not None:
            self.ema.update(self.tokenizer)

        if images_seen >= weights.discriminator_start:
            for i, (images, reconstruction) in enumerate(pairs):
                with self.parallel_discriminator.backward_of(i == parts - 1):
                    loss = self.parallel_discriminator(self._discriminator_loss, images, reconstruction)
                    (loss / parts).backward()
                add({"discriminator": loss})
            scalars["grad_norm_discriminator"] = self.updaters["discriminator"].step(images_seen)
        return scalars

    def _losses(
        self, batch: Batch, images: Tensor, draws: Draws, images_seen: int
    ) -> tuple[Tensor, dict[str, Tensor], Tensor, Tensor]:
        """The weighted sum of Eq. 3, its terms, the latents, the reconstructions."""
        weights, scalars = self.config.losses, {}
        with autocast(self.precision, self.device):
            posterior = self.tokenizer.encode(images)
            z = posterior.sample(noise=draws.normal("posterior", posterior.mean.shape[1:]))
            reconstruction = self.tokenizer.decode(z)
            scalars["reconstruction"] = reconstruction_loss(reconstruction, images, weights.reconstruction)
            scalars["perceptual"] = self.perceptual(reconstruction, images).mean()
            scalars["kl"] = kl_loss(posterior.mean, posterior.logvar)
            if self.alignment is not None:
                scalars["alignment"] = self._alignment_loss(self.alignment, z, batch, images, draws)
            if images_seen >= weights.adversarial_start:
                with frozen(self.discriminator.parameters()):
                    scalars["adversarial"] = hinge_generator_loss(self.discriminator(reconstruction))
        weighted = {name: self._weight(name) * loss for name, loss in scalars.items()}
        if self.config.alignment is not None and self.config.alignment.weighting == "adaptive":
            pixels = weighted["reconstruction"] + weighted["perceptual"]
            ratio = adaptive_weight(pixels, scalars["alignment"], self.tokenizer.encoder.conv_out.weight)
            weighted["alignment"] = ratio * weighted["alignment"]
            scalars["alignment_ratio"] = ratio
        if images_seen % self.config.gradient_share_every < self.config.loop.batch_size:
            scalars |= _gradient_shares(weighted, posterior.mean)
        total = sum(weighted.values())
        assert isinstance(total, Tensor)
        return total, scalars, z, reconstruction

    def _discriminator_loss(self, images: Tensor, reconstruction: Tensor) -> Tensor:
        with autocast(self.precision, self.device):
            # Two passes: BatchNorm must not mix real and reconstructed images.
            return hinge_discriminator_loss(self.discriminator(images), self.discriminator(reconstruction))

    def _alignment_loss(
        self, alignment: nn.Module, z: Tensor, batch: Batch, images: Tensor, draws: Draws
    ) -> Tensor:
        assert self.config.alignment is not None
        tokens = batch.tokens
        if tokens is None:
            assert self.backbone is not None
            with torch.no_grad():
                tokens = self.backbone.patch_tokens(images, self.config.alignment.grid)
        alpha, noise = draws.uniform("alpha"), draws.normal("alignment noise", z.shape[1:])
        return alignment(self.latent_norm(z.float()), tokens, alpha, noise)

    def _weight(self, term: str) -> float:
        weights = self.config.losses
        return {
            "reconstruction": weights.reconstruction_weight,
            "perceptual": weights.perceptual_weight,
            "kl": weights.kl_weight,
            "adversarial": weights.adversarial_weight,
            "alignment": self.config.alignment.weight if self.config.alignment else 0.0,
        }[term]

    def _patch_size(self) -> int:
        """Latent positions per token along one side."""
        assert self.config.alignment is not None
        grid = self.config.alignment.grid
        size = self.source.images[0].image.shape[-1] // self.tokenizer.architecture.downsampling
        if size % grid:
            raise ValueError(f"alignment.grid={grid} does not divide the latent's side of {size}")
        return size // grid

    def _networks(self) -> dict[str, nn.Module]:
        networks = {
            "tokenizer": self.tokenizer,
            "discriminator": self.discriminator,
            "alignment": self.alignment,
            "latent_norm": self.latent_norm,
            "ema": self.ema.network if self.ema else None,
        }
        return {name: network for name, network in networks.items() if network is not None}

    def tensors(self) -> Mapping[str, Mapping[str, Tensor]]:
        groups: dict[str, Mapping[str, Tensor]] = {
            name: network.state_dict() for name, network in self._networks().items()
        }
        for name, updater in self.updaters.items():
            groups[f"optimizer_{name}"] = optimizer_tensors(updater.network, updater.optimizer)
        return groups

    def rates(self) -> dict[str, float]:
        return {f"lr_{name}": updater.lr for name, updater in self.updaters.items()}

    def restore(self, checkpoint: Checkpoint) -> None:
        for name, network in self._networks().items():
            load_state(network, checkpoint.tensors(name))
        for name, updater in self.updaters.items():
            load_optimizer_tensors(
                updater.network, updater.optimizer, checkpoint.tensors(f"optimizer_{name}")
            )


def _gradient_shares(weighted: Mapping[str, Tensor], z_mean: Tensor) -> dict[str, Tensor]:
    """Each loss's part in the sum of the norms of their gradients at the posterior mean."""
    norms = {
        name: torch.autograd.grad(loss, z_mean, retain_graph=True)[0].float().norm()
        for name, loss in weighted.items()
    }
    total = torch.stack(list(norms.values())).sum()
    return {f"gradient_share_{name}": norm / total for name, norm in norms.items()}
