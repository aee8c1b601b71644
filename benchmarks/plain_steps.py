"""Steps of training as one would write them first: autocast, AdamW, clipping, averages parameter by parameter."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F
from diffusers.models.autoencoders.vae import DecoderOutput
from diffusers.models.modeling_outputs import AutoencoderKLOutput
from torch import Tensor, nn

from benchmarks.plain_networks import LPIPS, Alignment, SiT, plain_vae
from sendvae import diffusion
from sendvae.alignment.methods import MapperAlignment
from sendvae.autoencoding import lpips
from sendvae.config import DiffusionConfig, JointConfig, TokenizerConfig
from sendvae.tokenizers import Autoencoder
from sendvae.training.source import Batch
from sendvae.training.stages import DiffusionStage, JointStage, TokenizerStage

NORM_EPS, NORM_MOMENTUM = 1e-4, 0.1  # of REPA-E's BatchNorm of latents
Losses = dict[str, Tensor]


class Draws(Protocol):
    """The source of a step's random numbers. A test gives the numbers of our stages."""

    def normal(self, name: str, shape: tuple[int, ...], /) -> Tensor: ...
    def uniform(self, name: str, /) -> Tensor: ...


@dataclass(frozen=True)
class Fresh:
    """Random numbers of torch's own generator, for a number of rows."""

    rows: int

    def normal(self, _name: str, shape: tuple[int, ...]) -> Tensor:
        return torch.randn(self.rows, *shape)

    def uniform(self, _name: str) -> Tensor:
        return torch.rand(self.rows)


class Trained:
    """A network with its optimiser."""

    def __init__(
        self,
        network: nn.Module,
        config: TokenizerConfig | DiffusionConfig | JointConfig,
        lr: float | None = None,
    ):
        settings = config.optimizer
        self.network, self.clip = network, settings.clip
        self.optimizer = torch.optim.AdamW(
            [p for p in network.parameters() if p.requires_grad],
            lr=lr or settings.lr,
            betas=(settings.betas[0], settings.betas[1]),
            weight_decay=settings.weight_decay,
        )

    def step(self) -> None:
        """Clip the gradients and take a step by them."""
        nn.utils.clip_grad_norm_(self.network.parameters(), self.clip)
        self.optimizer.step()


def update(loss: Tensor, *trained: Trained) -> None:
    """Take one step of every network by the gradient of a loss."""
    for one in trained:
        one.optimizer.zero_grad()
    loss.backward()
    for one in trained:
        one.step()


class Average:
    """An exponential average of weights."""

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.network, self.decay = copy.deepcopy(network).eval().requires_grad_(False), decay

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        for own, new in zip(self.network.parameters(), network.parameters(), strict=True):
            own.mul_(self.decay).add_(new, alpha=1 - self.decay)


def repa_loss(projected: Tensor, tokens: Tensor) -> Tensor:
    """Return minus the mean cosine."""
    return -F.cosine_similarity(projected.float(), tokens, dim=-1).mean()


def velocity_losses(
    sit: SiT, z: Tensor, labels: Tensor, tokens: Tensor, draws: Draws, config: DiffusionConfig | JointConfig
) -> Losses:
    """Return velocity matching and REPA on normalised latents."""
    assert config.repa is not None
    time, noise = draws.uniform("time"), draws.normal("interpolant noise", z.shape[1:])
    share = time[:, None, None, None]
    labels = torch.where(draws.uniform("label dropout") < sit.label_dropout, sit.null, labels)
    velocity, projected = sit((1 - share) * z + share * noise, time, labels)
    losses = {"velocity": F.mse_loss(velocity.float(), noise - z), "repa": repa_loss(projected, tokens)}
    return losses | {"loss": losses["velocity"] + config.repa.weight * losses["repa"]}


class PlainGenerator:
    """A step of SiT with REPA on cached latents and tokens.

    Args:
        stage: the stage of ours whose weights it begins with.
        precision: "bf16" for autocast, or "fp32".
    """

    def __init__(self, stage: DiffusionStage, precision: str) -> None:
        self.config, self.bf16 = stage.config, precision == "bf16"
        assert isinstance(stage.generator, diffusion.SiT)
        self.sit = SiT(stage.generator)
        self.average = Average(self.sit, stage.config.ema)
        self.trained = Trained(self.sit, stage.config)

    def step(self, batch: Batch, draws: Draws | None = None) -> Losses:
        """Train on a batch; return the losses."""
        draws = draws or Fresh(len(batch.labels))
        assert batch.latent_mean is not None
        assert batch.latent_std is not None
        assert batch.tokens is not None
        z = batch.latent_mean + batch.latent_std * draws.normal("posterior", batch.latent_mean.shape[1:])
        with torch.autocast("cpu", torch.bfloat16, enabled=self.bf16):
            losses = velocity_losses(self.sit, z, batch.labels, batch.tokens, draws, self.config)
        update(losses["loss"], self.trained)
        self.average.update(self.sit)
        return losses


class _PlainVAE:
    """The parts that the steps of a tokenizer and of joint training share."""

    def __init__(self, stage: TokenizerStage | JointStage, precision: str) -> None:
        self.bf16, self.losses = precision == "bf16", stage.config.losses
        assert isinstance(stage.tokenizer, Autoencoder)
        assert isinstance(stage.vae.perceptual, lpips.LPIPS)
        self.vae = plain_vae(stage.tokenizer)
        self.perceptual = LPIPS(stage.vae.perceptual)
        self.discriminator = copy.deepcopy(stage.discriminator.main)
        self.latent_norm = nn.BatchNorm2d(
            stage.tokenizer.latent_channels, NORM_EPS, NORM_MOMENTUM, affine=False
        )
        self.latent_norm.load_state_dict(stage.latent_norm.state_dict())
        self.trained = Trained(self.vae, stage.config)
        self.critic = Trained(self.discriminator, stage.config, self.losses.discriminator_lr)

    def autocast(self) -> torch.autocast:
        return torch.autocast("cpu", torch.bfloat16, enabled=self.bf16)

    def reconstruct(self, images: Tensor, draws: Draws) -> tuple[Tensor, Tensor, Losses]:
        """Return the latent, the reconstruction and the terms of L_VAE."""
        encoded = self.vae.encode(images)
        assert isinstance(encoded, AutoencoderKLOutput)
        posterior = encoded.latent_dist
        z = posterior.mean + posterior.std * draws.normal("posterior", posterior.mean.shape[1:])
        decoded = self.vae.decode(z)
        assert isinstance(decoded, DecoderOutput)
        reconstruction = decoded.sample
        self.discriminator.requires_grad_(False)
        terms = {
            "reconstruction": F.l1_loss(reconstruction.float(), images),
            "perceptual": self.perceptual(reconstruction.float(), images).mean(),
            "kl": posterior.kl().mean(),
            "adversarial": -self.discriminator(reconstruction.float()).mean(),
        }
        self.discriminator.requires_grad_(True)
        return z, reconstruction, terms

    def total(self, terms: Losses) -> Tensor:
        """Return the weighted sum of loss terms."""
        o = self.losses
        pixels = o.reconstruction_weight * terms["reconstruction"] + o.perceptual_weight * terms["perceptual"]
        return pixels + o.kl_weight * terms["kl"] + o.adversarial_weight * terms["adversarial"]

    def criticise(self, images: Tensor, reconstruction: Tensor) -> Losses:
        """Train the discriminator; return its loss."""
        with self.autocast():
            real = self.discriminator(images)
            fake = self.discriminator(reconstruction.detach().float())
            loss = 0.5 * (F.relu(1 - real).mean() + F.relu(1 + fake).mean())
        update(loss, self.critic)
        return {"discriminator": loss}


class PlainTokenizer(_PlainVAE):
    """A step of Send-VAE; arguments as of `PlainGenerator`."""

    def __init__(self, stage: TokenizerStage, precision: str) -> None:
        super().__init__(stage, precision)
        assert stage.config.alignment is not None
        assert isinstance(stage.alignment, MapperAlignment)
        self.weight = stage.config.alignment.weight
        self.mapper = Alignment(stage.alignment.mapper)
        self.mapping = Trained(self.mapper, stage.config, stage.config.alignment.lr)

    def step(self, batch: Batch, draws: Draws | None = None) -> Losses:
        """Train on a batch; return the losses."""
        draws, images = draws or Fresh(len(batch.labels)), _pixels(batch)
        assert batch.tokens is not None
        with self.autocast():
            z, reconstruction, terms = self.reconstruct(images, draws)
            alpha, noise = (
                draws.uniform("alpha")[:, None, None, None],
                draws.normal("alignment noise", z.shape[1:]),
            )
            normalised = self.latent_norm.eval()(z.float())
            predicted = self.mapper(alpha * normalised + (1 - alpha) * noise)
            terms["alignment"] = 1 + repa_loss(predicted, batch.tokens)
            total = self.total(terms) + self.weight * terms["alignment"]
        update(total, self.trained, self.mapping)
        self.latent_norm.train()(z.detach().float())
        return terms | self.criticise(images, reconstruction)


class PlainJoint(_PlainVAE):
    """A step of REPA-E; arguments as of `PlainGenerator`."""

    def __init__(self, stage: JointStage, precision: str) -> None:
        super().__init__(stage, precision)
        self.config = stage.config
        assert isinstance(stage.generator, diffusion.SiT)
        self.sit = SiT(stage.generator)
        self.average = Average(self.sit, stage.config.ema)
        self.generator = Trained(self.sit, stage.config)

    def step(self, batch: Batch, draws: Draws | None = None) -> Losses:
        """Train on a batch; return the losses."""
        draws, images = draws or Fresh(len(batch.labels)), _pixels(batch)
        assert batch.tokens is not None
        # The VAE, through the frozen generator.
        trainable = [p for p in self.sit.parameters() if p.requires_grad]
        for parameter in trainable:
            parameter.requires_grad_(False)
        with self.autocast():
            z, reconstruction, terms = self.reconstruct(images, draws)
            time, noise = draws.uniform("time"), draws.normal("interpolant noise", z.shape[1:])
            share = time[:, None, None, None]
            x_t = (1 - share) * self.latent_norm.eval()(z.float()) + share * noise
            terms["alignment"] = repa_loss(self.sit.features(x_t, time, batch.labels), batch.tokens)
            total = self.total(terms) + self.config.alignment_weight * terms["alignment"]
        update(total, self.trained)
        for parameter in trainable:
            parameter.requires_grad_(True)
        # The discriminator, then the generator on the same latents.
        terms |= self.criticise(images, reconstruction)
        latent = self.latent_norm.train()(z.detach().float())
        with self.autocast():
            losses = velocity_losses(self.sit, latent, batch.labels, batch.tokens, draws, self.config)
        update(losses["loss"], self.generator)
        self.average.update(self.sit)
        return terms | losses


def _pixels(batch: Batch) -> Tensor:
    """Return the images in [-1, 1]."""
    assert batch.images is not None
    return batch.images.float() / 127.5 - 1
