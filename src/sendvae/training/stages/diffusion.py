"""Training a SiT on a frozen tokenizer's latents: velocity matching and the REPA loss."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from sendvae import distributed
from sendvae.config import DiffusionConfig
from sendvae.data import to_float
from sendvae.diffusion import SiT, diffusion_objective, sample_time
from sendvae.nn.precision import autocast, resolve_precision
from sendvae.randomness import Draws
from sendvae.runs import Checkpoint, load_optimizer_tensors, optimizer_tensors
from sendvae.tokenizers import Autoencoder, LatentStats, Posterior
from sendvae.training.ema import EMA
from sendvae.training.micro_batches import micro_batches
from sendvae.training.optim import Updater
from sendvae.training.parallel import Parallel, load_state, shard
from sendvae.training.source import Batch, Source
from sendvae.vision import Backbone


class DiffusionStage:
    """One step draws z from the posterior, normalises it with fixed channel statistics, and updates the SiT.

    Args:
        config: the resolved configuration.
        sit: the transformer; trained in place.
        stats: statistics of the tokenizer's latents.
        source: cached latents (and tokens), or images.
        tokenizer: needed where latents are not cached.
        backbone: needed where REPA is on and tokens are not cached.
    """

    def __init__(
        self,
        config: DiffusionConfig,
        sit: SiT,
        stats: LatentStats,
        source: Source,
        device: torch.device,
        tokenizer: Autoencoder | None = None,
        backbone: Backbone | None = None,
        name: str = "diffusion",
    ) -> None:
        self.config, self.source, self.device, self.stats = config, source, device, stats
        self.tokenizer, self.backbone, self.name = tokenizer, backbone, name
        self.precision = resolve_precision(config.loop.precision, device)
        self.sit = sit.to(device).train()
        self.ema = EMA(self.sit, config.ema)
        if config.loop.parallel == "fsdp" and distributed.world_size() > 1:
            shard(self.sit)
            shard(self.ema.network)
        self.parallel = Parallel(self.sit)
        self.updater = Updater(self.sit, config.optimizer, config.loop.images)

    def step(self, batch: Batch, images_seen: int) -> dict[str, Tensor]:
        parts = self.config.loop.accumulate
        scalars: dict[str, Tensor] = {}
        for piece, draws, last in micro_batches(batch, self.config.seed, images_seen, parts, self.device):
            with self.parallel.backward_of(last):
                terms = self.parallel(self._losses, piece, draws)
                (terms["loss"] / parts).backward()
            for name, value in terms.items():
                scalars[name] = scalars.get(name, 0.0) + value.detach() / parts
        scalars["grad_norm"] = self.updater.step(images_seen)
        self.ema.update(self.sit)
        return scalars

    def _losses(self, batch: Batch, draws: Draws) -> dict[str, Tensor]:
        config = self.config
        with autocast(self.precision, self.device):
            posterior = self._posterior(batch)
            shape = posterior.mean.shape[1:]
            z = self.stats.normalize(posterior.sample(noise=draws.normal("posterior", shape)).float())
            return diffusion_objective(
                self.sit,
                z,
                self.sit.drop_labels(batch.labels, draws.uniform("label dropout")),
                tokens=self._tokens(batch),
                time=draws.draw(
                    "time", lambda n, generator: sample_time(n, config.time_sampling, generator, self.device)
                ),
                noise=draws.normal("interpolant noise", shape),
                repa_weight=config.repa.weight if config.repa else 0.0,
            )

    @torch.no_grad()
    def _posterior(self, batch: Batch) -> Posterior:
        if batch.latent_mean is not None and batch.latent_std is not None:
            return Posterior(batch.latent_mean, 2.0 * batch.latent_std.log())
        assert self.tokenizer is not None
        assert batch.images is not None
        return self.tokenizer.encode(to_float(batch.images))

    @torch.no_grad()
    def _tokens(self, batch: Batch) -> Tensor | None:
        if self.config.repa is None or batch.tokens is not None:
            return batch.tokens
        assert self.backbone is not None
        assert batch.images is not None
        return self.backbone.patch_tokens(to_float(batch.images), self.sit.grid)

    def tensors(self) -> Mapping[str, Mapping[str, Tensor]]:
        return {
            "sit": self.sit.state_dict(),
            "ema": self.ema.tensors(),
            "optimizer": optimizer_tensors(self.sit, self.updater.optimizer),
        }

    def rates(self) -> dict[str, float]:
        return {"lr": self.updater.lr}

    def restore(self, checkpoint: Checkpoint) -> None:
        load_state(self.sit, checkpoint.tensors("sit"))
        load_state(self.ema.network, checkpoint.tensors("ema"))
        load_optimizer_tensors(self.sit, self.updater.optimizer, checkpoint.tensors("optimizer"))
