"""REPA-E: a VAE and a SiT trained together, the VAE by the REPA loss through the frozen SiT."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sendvae import distributed
from sendvae.config import JointConfig
from sendvae.data import to_float
from sendvae.diffusion import SiT, diffusion_objective, interpolate, sample_time
from sendvae.errors import UserError
from sendvae.nn import LatentNorm
from sendvae.nn.precision import autocast, full_precision, resolve_precision
from sendvae.randomness import Draws
from sendvae.runs import Checkpoint, load_optimizer_tensors, optimizer_tensors
from sendvae.tokenizers import Autoencoder
from sendvae.training.ema import EMA
from sendvae.training.micro_batches import micro_batches
from sendvae.training.optim import Updater, frozen
from sendvae.training.parallel import Parallel, load_state
from sendvae.training.source import Batch, Source
from sendvae.training.stages.vae import VAETraining, add_means
from sendvae.vision import Backbone


class JointStage:
    """One step, in REPA-E's order: the VAE, the discriminator, the SiT, the average.

    The VAE learns L_VAE plus the REPA loss of the SiT's hidden tokens, whose gradient reaches it through the
    sampled latent; the SiT is frozen meanwhile, drops no labels, and its latent normalisation uses the running
    statistics. Then the SiT learns velocities and REPA on the same latents, detached, with the same times and
    noise; now the normalisation uses the batch's statistics and moves the running ones.

    Args:
        config: the resolved configuration.
        tokenizer: the VAE; trained in place; its statistics, if any, begin the normalisation.
        sit: trained in place; must have a REPA projector.
        source: images, with cached tokens or without.
        backbone: the frozen foundation model; needed where the source has no cached tokens.
    """

    def __init__(
        self,
        config: JointConfig,
        tokenizer: Autoencoder,
        sit: SiT,
        source: Source,
        device: torch.device,
        backbone: Backbone | None = None,
        name: str = "joint",
    ) -> None:
        self.config, self.source, self.device, self.backbone = config, source, device, backbone
        self.name = name
        if config.loop.parallel == "fsdp":  # its sharded weights cannot be frozen and freed within a step
            raise UserError("joint training does not shard its SiT", next_step="set loop.parallel=ddp")
        self.precision = resolve_precision(config.loop.precision, device)
        torch.manual_seed(config.seed)
        self.vae = VAETraining(config, tokenizer, device)
        self.tokenizer, self.discriminator = self.vae.tokenizer, self.vae.discriminator
        self.sit = sit.to(device).train()
        self.latent_norm = LatentNorm(tokenizer.architecture.z_channels).to(device)
        if tokenizer.latent_stats is not None:
            self.latent_norm.initialise(tokenizer.latent_stats.mean, tokenizer.latent_stats.std)
        self.averaged = nn.ModuleDict({"sit": self.sit, "latent_norm": self.latent_norm})
        self.ema = EMA(self.averaged, config.ema)
        self.parallel_vae, self.parallel_sit = Parallel(self.tokenizer), Parallel(self.sit)
        self.updaters = {
            **self.vae.updaters,
            "sit": Updater(self.sit, config.optimizer, config.loop.images),
        }

    def step(self, batch: Batch, images_seen: int) -> dict[str, Tensor]:
        parts, seed = self.config.loop.accumulate, self.config.seed
        scalars: dict[str, Tensor] = {}
        pairs: list[tuple[Tensor, Tensor]] = []
        latents: list[Tensor] = []
        pieces: list[tuple[Batch, Draws]] = []
        # The VAE, through the frozen SiT.
        self.sit.eval()
        for piece, draws, last in micro_batches(batch, seed, images_seen, parts, self.device):
            assert piece.images is not None
            images = to_float(piece.images)
            piece = replace(piece, tokens=self._tokens(piece, images))  # for VAE and SiT
            pieces.append((piece, draws))
            with self.parallel_vae.backward_of(last):
                total, terms, z, reconstruction = self.parallel_vae(
                    self._vae_losses, piece, images, draws, images_seen
                )
                (total / parts).backward()
            add_means(scalars, terms, parts)
            pairs.append((images, reconstruction.detach()))
            latents.append(z.detach().float())
        scalars["grad_norm_tokenizer"] = self.updaters["tokenizer"].step(images_seen)
        # The discriminator, on the same reconstructions.
        scalars |= self.vae.train_discriminator(pairs, images_seen)
        # The SiT, on the same latents.
        self.sit.train()
        normalised = self._normalised(torch.cat(latents)).split([len(z) for z in latents])
        for i, (piece, draws) in enumerate(pieces):
            with self.parallel_sit.backward_of(i == parts - 1):
                terms = self.parallel_sit(self._sit_losses, piece, normalised[i], draws)
                (terms["loss"] / parts).backward()
            add_means(scalars, terms, parts)
        scalars["grad_norm_sit"] = self.updaters["sit"].step(images_seen)
        self.ema.update(self.averaged)
        return scalars

    def _vae_losses(
        self, batch: Batch, images: Tensor, draws: Draws, images_seen: int
    ) -> tuple[Tensor, dict[str, Tensor], Tensor, Tensor]:
        """L_VAE and the alignment through the SiT: their weighted sum, the terms, latents, reconstructions."""
        architecture = self.tokenizer.architecture
        side = images.shape[-1] // architecture.downsampling
        noise = draws.normal("posterior", (architecture.z_channels, side, side))
        terms = self.vae.terms(images, noise, images_seen)
        with autocast(self.precision, self.device), frozen(self.sit.parameters()):
            time, noise = self._time_and_noise(terms.z, draws)
            x_t = interpolate(self.latent_norm(terms.z.float()), noise, time)
            hidden = self.sit.features(x_t, time, batch.labels)
        assert batch.tokens is not None
        with full_precision(self.device):
            loss = -F.cosine_similarity(hidden.float(), batch.tokens.float(), dim=-1).mean()
        terms.scalars["alignment"] = loss
        terms.weighted["alignment"] = self.config.alignment_weight * loss
        return terms.total(), terms.scalars, terms.z, terms.reconstruction

    def _sit_losses(self, batch: Batch, z: Tensor, draws: Draws) -> dict[str, Tensor]:
        with autocast(self.precision, self.device):
            time, noise = self._time_and_noise(z, draws)
            return diffusion_objective(
                self.sit,
                z,
                self.sit.drop_labels(batch.labels, draws.uniform("label dropout")),
                time=time,
                noise=noise,
                tokens=batch.tokens,
                repa_weight=self.config.repa.weight,
            )

    def _time_and_noise(self, z: Tensor, draws: Draws) -> tuple[Tensor, Tensor]:
        """The same for VAE and SiT: each name of a draw is a stream of its own."""
        kind = self.config.time_sampling
        time = draws.draw("time", lambda n, generator: sample_time(n, kind, generator, self.device))
        return time, draws.normal("interpolant noise", z.shape[1:])

    def _normalised(self, z: Tensor) -> Tensor:
        """By the statistics of the global batch, which then move the running ones."""
        world = distributed.world_size()
        normalised = self.latent_norm.by_batch(z, distributed.all_reduce_mean)
        self.latent_norm.update(z, distributed.all_reduce_mean, world)
        return normalised

    @torch.no_grad()
    def _tokens(self, batch: Batch, images: Tensor) -> Tensor:
        if batch.tokens is not None:
            return batch.tokens
        assert self.backbone is not None
        with autocast(self.precision, self.device):
            return self.backbone.patch_tokens(images, self.sit.grid)

    def _networks(self) -> dict[str, nn.Module]:
        return {
            "tokenizer": self.tokenizer,
            "discriminator": self.discriminator,
            "sit": self.sit,
            "latent_norm": self.latent_norm,
            "ema": self.ema.network,
        }

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
