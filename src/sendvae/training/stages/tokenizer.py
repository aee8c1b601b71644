"""Fine-tuning a VAE: L_VAE, and the alignment of its noised latents with a foundation model (Eq. 3)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from sendvae import distributed
from sendvae.alignment import adaptive_weight, build_alignment
from sendvae.config import AlignmentConfig, TokenizerConfig
from sendvae.data import to_float
from sendvae.errors import UserError
from sendvae.nn import LatentNorm
from sendvae.nn.precision import autocast
from sendvae.randomness import Draws
from sendvae.runs import Checkpoint, load_optimizer_tensors, optimizer_tensors
from sendvae.tokenizers import Autoencoder
from sendvae.training.ema import EMA
from sendvae.training.micro_batches import micro_batches
from sendvae.training.optim import Updater
from sendvae.training.parallel import Parallel, load_state
from sendvae.training.source import Batch, Source
from sendvae.training.stages.vae import VAETerms, VAETraining, add_means
from sendvae.vision import Backbone

NOT_OF_THE_HEAD = {"method", "backbone", "weight", "weighting", "normalisation", "lr"}


class TokenizerStage:
    """One step updates the tokenizer and the mapper, then the discriminator.

    The tokenizer's posterior sample z serves both the decoder (raw) and the alignment (normalised by running
    channel statistics unless configured otherwise, then noised): gradient reaches the encoder through it, mean
    and variance alike.

    Args:
        config: the resolved configuration.
        tokenizer: the pre-trained VAE; trained in place.
        source: images, with cached tokens or without.
        backbone: the frozen foundation model; needed where the source has no cached tokens.
        token_width: width of its patch tokens; None without alignment.
    """

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
        torch.manual_seed(config.seed)  # fresh mappers and discriminators start alike in every method
        self.vae = VAETraining(config, tokenizer, device, encoder_only=config.trained == "encoder")
        self.tokenizer, self.discriminator = self.vae.tokenizer, self.vae.discriminator
        self.latent_norm = LatentNorm(tokenizer.architecture.z_channels).to(device)
        if tokenizer.latent_stats is not None:
            self.latent_norm.initialise(tokenizer.latent_stats.mean, tokenizer.latent_stats.std)
        self.updaters = dict(self.vae.updaters)
        self.alignment: nn.Module | None = None
        if config.alignment is not None:
            if token_width is None:
                raise ValueError("alignment needs token_width")
            if config.alignment.normalisation == "fixed" and tokenizer.latent_stats is None:
                raise UserError(
                    "alignment.normalisation=fixed needs the statistics of the latents",
                    given=f"{config.init}, which carries none",
                    next_step="use normalisation=running, or a tokenizer with statistics",
                )
            _check_heads(config.alignment, token_width)
            options = config.alignment.model_dump(exclude=NOT_OF_THE_HEAD)
            self.alignment = build_alignment(
                config.alignment.method,
                latent_channels=tokenizer.architecture.z_channels,
                token_width=token_width,
                patch_size=self._patch_size(),
                **options,
            ).to(device)
            self.updaters["alignment"] = Updater(
                self.alignment, config.optimizer, config.loop.images, config.alignment.lr
            )
        trained = [self.tokenizer] + ([self.alignment] if self.alignment is not None else [])
        self.parallel = Parallel(*trained)
        self.ema = EMA(self.tokenizer, config.ema) if config.ema is not None else None

    def step(self, batch: Batch, images_seen: int) -> dict[str, Tensor]:
        parts = self.config.loop.accumulate
        scalars: dict[str, Tensor] = {}
        latents: list[Tensor] = []
        pairs: list[tuple[Tensor, Tensor]] = []
        for piece, draws, last in micro_batches(batch, self.config.seed, images_seen, parts, self.device):
            assert piece.images is not None
            images = to_float(piece.images)
            with self.parallel.backward_of(last):
                total, terms, z, reconstruction = self.parallel(
                    self._losses, piece, images, draws, images_seen
                )
                (total / parts).backward()
            add_means(scalars, terms, parts)
            latents.append(z.detach().float())
            pairs.append((images, reconstruction.detach()))
        for name, updater in self.updaters.items():  # in this order on every process
            if name != "discriminator":
                scalars[f"grad_norm_{name}"] = updater.step(images_seen)
        if self.config.alignment is not None and self.config.alignment.normalisation == "running":
            self.latent_norm.update(torch.cat(latents), distributed.all_reduce_mean, distributed.world_size())
        if self.ema is not None:
            self.ema.update(self.tokenizer)
        return scalars | self.vae.train_discriminator(pairs, images_seen)

    def _losses(
        self, batch: Batch, images: Tensor, draws: Draws, images_seen: int
    ) -> tuple[Tensor, dict[str, Tensor], Tensor, Tensor]:
        """Eq. 3: the weighted sum, its terms, the latents, the reconstructions."""
        architecture = self.tokenizer.architecture
        side = images.shape[-1] // architecture.downsampling
        noise = draws.normal("posterior", (architecture.z_channels, side, side))
        terms = self.vae.terms(images, noise, images_seen)
        if self.alignment is not None:
            loss = self._alignment_loss(self.alignment, terms.z, batch, images, draws)
            weight = self._alignment_weight(terms, loss)
            terms.scalars["alignment"], terms.weighted["alignment"] = loss, weight * loss
        if images_seen % self.config.gradient_share_every < self.config.loop.batch_size:
            terms.scalars.update(terms.gradient_shares())
        return terms.total(), terms.scalars, terms.z, terms.reconstruction

    def _alignment_loss(
        self, alignment: nn.Module, z: Tensor, batch: Batch, images: Tensor, draws: Draws
    ) -> Tensor:
        assert self.config.alignment is not None
        tokens = batch.tokens
        with autocast(self.vae.precision, self.device):
            if tokens is None:
                assert self.backbone is not None
                with torch.no_grad():
                    tokens = self.backbone.patch_tokens(images, self.config.alignment.grid)
            alpha, noise = draws.uniform("alpha"), draws.normal("alignment noise", z.shape[1:])
            z = z.float()
            if self.config.alignment.normalisation != "none":
                z = self.latent_norm(z)
            return alignment(z, tokens, alpha, noise)

    def _alignment_weight(self, terms: VAETerms, loss: Tensor) -> Tensor | float:
        assert self.config.alignment is not None
        if self.config.alignment.weighting == "fixed":
            return self.config.alignment.weight
        layer, elements = self.tokenizer.encoder.conv_out.weight, terms.reconstruction[0].numel()
        ratio = adaptive_weight(terms.pixels, loss, layer, elements)
        terms.scalars["alignment_ratio"] = ratio
        return ratio * self.config.alignment.weight

    def _patch_size(self) -> int:
        """Latent positions per token along one side."""
        assert self.config.alignment is not None
        grid = self.config.alignment.grid
        size = self.source.images[0].image.shape[-1] // self.tokenizer.architecture.downsampling
        if size % grid:
            raise UserError(
                "the latent does not divide into the tokens' grid",
                given=f"alignment.grid={grid} for a latent of {size} x {size}",
                expected=f"a divisor of {size}",
                next_step="set alignment.grid",
            )
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


def _check_heads(config: AlignmentConfig, token_width: int) -> None:
    width = config.width or token_width
    if config.method == "send" and width % config.heads:
        raise UserError(
            "the mapper's width does not divide into its heads",
            given=f"width {width} (alignment.width, else that of {config.backbone}), alignment.heads={config.heads}",
            expected=f"a divisor of {width}; the paper has 12 for 768 and 16 for 1024",
            next_step="set alignment.heads",
        )
