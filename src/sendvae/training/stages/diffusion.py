"""Training a SiT on a frozen tokenizer's latents: velocity matching and the REPA loss."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from sendvae.config import DiffusionConfig
from sendvae.data import to_float
from sendvae.diffusion import SiT, diffusion_objective, sample_time
from sendvae.nn.precision import autocast, resolve_precision
from sendvae.runs import Checkpoint, load_optimizer_tensors, optimizer_tensors
from sendvae.tokenizers import Autoencoder, LatentStats, Posterior
from sendvae.training.ema import EMA
from sendvae.training.optim import Updater
from sendvae.training.source import Batch, Source, position_generator
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
        self.updater = Updater(self.sit, config.optimizer, config.loop.images)
        self.ema = EMA(self.sit, config.ema)

    def step(self, batch: Batch, images_seen: int) -> dict[str, Tensor]:
        generator = position_generator(self.config.seed, images_seen, self.device)
        with autocast(self.precision, self.device):
            z = self.stats.normalize(self._posterior(batch).sample(generator).float())
            terms = diffusion_objective(
                self.sit,
                z,
                batch.labels,
                tokens=self._tokens(batch),
                time=sample_time(z.shape[0], self.config.time_sampling, generator=generator, device=z.device),
                noise=torch.randn(z.shape, device=z.device, generator=generator),
                repa_weight=self.config.repa.weight if self.config.repa else 0.0,
                generator=generator,
            )
        terms["loss"].backward()
        norm = self.updater.step(images_seen)
        self.ema.update(self.sit)
        return {**{name: value.detach() for name, value in terms.items()}, "grad_norm": norm.detach()}

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

    def state(self) -> Mapping[str, Any]:
        return {}

    def restore(self, checkpoint: Checkpoint) -> None:
        self.sit.load_state_dict(dict(checkpoint.tensors("sit")))
        self.ema.network.load_state_dict(dict(checkpoint.tensors("ema")))
        load_optimizer_tensors(self.sit, self.updater.optimizer, checkpoint.tensors("optimizer"))
