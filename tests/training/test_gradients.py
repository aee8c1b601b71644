"""Every network is moved by the gradient of its own loss alone, computed here once more from its definition."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as functional
from tests.training import golden_curves
from tests.training.golden_curves import BATCH, CPU, Trained
from torch import Tensor, nn

from sendvae.data import to_float
from sendvae.randomness import Draws
from sendvae.training.source import Batch
from sendvae.training.stages import DiffusionStage, JointStage, TokenizerStage

ROWS = [3, 17, 8, 11]  # not in order; their labels differ
SEEN = 32  # every term has begun
OBJECTIVE = [
    "direction_weight=0.4",
    "time_shift=2.5",
    "repa.mean_share=0.6",
    "dispersive={weight: 0.3, depth: 2}",
]
Gradients = dict[str, list[Tensor]]


def batch_of(stage: TokenizerStage | DiffusionStage | JointStage) -> Batch:
    return stage.source.__getitems__(ROWS)


def gradients_of_a_step(stage: Trained) -> Gradients:
    """What each optimiser was given, before clipping; None counts as zero."""
    found: Gradients = {}
    for name, updater in stage.state.updaters.items():

        def record(_seen: int, name: str = name, updater: Any = updater) -> Tensor:
            found[name] = [
                torch.zeros_like(p) if p.grad is None else p.grad.clone() for p in updater.parameters
            ]
            updater.optimizer.zero_grad(set_to_none=True)
            return torch.zeros(())

        updater.step = record
    stage.step(batch_of(stage), SEEN)
    return found


def gradient(loss: Tensor, network: nn.Module) -> list[Tensor]:
    parameters = [p for p in network.parameters() if p.requires_grad]
    return list(torch.autograd.grad(loss, parameters, retain_graph=True, materialize_grads=True))


def assert_same(found: list[Tensor], expected: list[Tensor]) -> None:
    assert len(found) == len(expected)
    scale = max(float(tensor.abs().max()) for tensor in expected)
    assert scale > 0
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-5 * scale)


def draws_of(stage: Any) -> Draws:
    return Draws(stage.config.seed, SEEN, BATCH, slice(0, BATCH), CPU)


def time_of(draws: Draws) -> Tensor:
    """Uniform times, moved towards noise as OBJECTIVE says: their odds times 2.5."""
    odds = 2.5 * draws.uniform("time") / (1.0 - draws.uniform("time"))
    return (odds / (1.0 + odds))[:, None, None, None]


def spatially_normalised(tokens: Tensor) -> Tensor:
    """Without .6 of an image's mean token, over the deviations of its channels."""
    deviation = (tokens - tokens.mean(1, keepdim=True)).square().sum(1, keepdim=True) / (tokens.shape[1] - 1)
    return (tokens - 0.6 * tokens.mean(1, keepdim=True)) / (deviation.sqrt() + 1e-6)


def dispersion(hidden: Tensor) -> Tensor:
    """The log of the mean over pairs of exp(-mean squared difference)."""
    differences = (hidden[:, None] - hidden[None]).flatten(2).square().mean(-1)
    return (-differences).exp().mean().log()


def second_block_of(network: Any) -> list[Tensor]:
    """What its second block will return, call after call."""
    outputs: list[Tensor] = []
    network.blocks[1].register_forward_hook(lambda _m, _i, output: outputs.append(output))
    return outputs


def autoencode(stage: Any, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Latents, reconstructions, and L_VAE by the formulas of the paper."""
    losses = stage.config.losses
    posterior = stage.tokenizer.encode(images)
    z = posterior.mean + posterior.std * draws_of(stage).normal("posterior", (4, 8, 8))
    y = stage.tokenizer.decode(z)
    mean, logvar = posterior.mean, posterior.logvar
    kl = 0.5 * (mean.square() + logvar.exp() - 1.0 - logvar).sum() / BATCH
    total = (
        losses.reconstruction_weight * (y - images).abs().mean()
        + losses.perceptual_weight * stage.vae.perceptual(y, images).mean()
        + losses.kl_weight * kl
        - losses.adversarial_weight * stage.discriminator(y).mean()
    )
    return z, y, total


def hinges(stage: Any, images: Tensor, y: Tensor) -> Tensor:
    real, fake = stage.discriminator(images), stage.discriminator(y.detach())
    return 0.5 * ((1.0 - real).relu().mean() + (1.0 + fake).relu().mean())


def pixels(batch: Batch) -> Tensor:
    assert batch.images is not None
    return to_float(batch.images)


def test_the_tokenizers_the_mappers_and_the_discriminators_gradient(tmp_path: Path) -> None:
    stage = golden_curves.send(tmp_path, "alignment.weight=0.7", "loop.accumulate=1")
    alone = copy.deepcopy(stage)
    batch, draws, images = batch_of(alone), draws_of(alone), pixels(batch_of(alone))
    z, y, vae = autoencode(alone, images)
    std = (alone.latent_norm.running_var + 1e-4).sqrt()[:, None, None]
    normalised = (z - alone.latent_norm.running_mean[:, None, None]) / std
    alpha = draws.uniform("alpha")[:, None, None, None]
    noised = alpha * normalised + (1.0 - alpha) * draws.normal("alignment noise", (4, 8, 8))
    assert alone.alignment is not None
    assert batch.tokens is not None
    predicted = alone.alignment.mapper(noised)
    aligned = (1.0 - functional.cosine_similarity(predicted, batch.tokens.float(), dim=-1)).mean()
    found = gradients_of_a_step(stage)
    assert found.keys() == {"tokenizer", "alignment", "discriminator"}
    assert_same(found["tokenizer"], gradient(vae + 0.7 * aligned, alone.tokenizer))
    assert_same(found["alignment"], gradient(0.7 * aligned, alone.alignment))
    assert_same(found["discriminator"], gradient(hinges(alone, images, y), alone.discriminator))


def test_the_gradients_of_joint_training(tmp_path: Path) -> None:
    stage = golden_curves.joint(tmp_path, "alignment_weight=1.3", "label_dropout=0.5", *OBJECTIVE)
    stage.generator.label_dropout = 0.5
    alone = copy.deepcopy(stage)
    batch, draws, images = batch_of(alone), draws_of(alone), pixels(batch_of(alone))
    assert batch.tokens is not None
    tokens = spatially_normalised(batch.tokens.float())
    time, noise = time_of(draws), draws.normal("interpolant noise", (4, 8, 8))

    z, y, vae = autoencode(alone, images)
    norm = alone.latent_norm
    running = (z - norm.running_mean[:, None, None]) / (norm.running_var + 1e-4).sqrt()[:, None, None]
    x_t = (1.0 - time) * running + time * noise
    hidden = alone.generator.eval().forward_with_features(x_t, time.flatten(), batch.labels)[1]
    assert hidden is not None
    vae = vae - 1.3 * functional.cosine_similarity(hidden, tokens, dim=-1).mean()

    rows = z.detach()
    variance = rows.var((0, 2, 3), correction=0)[:, None, None]
    by_batch = (rows - rows.mean((0, 2, 3))[:, None, None]) / (variance + 1e-4).sqrt()
    labels = torch.where(draws.uniform("label dropout") < 0.5, alone.generator.null_label, batch.labels)
    assert 0 < int((labels == alone.generator.null_label).sum()) < BATCH  # some are dropped
    x_t = (1.0 - time) * by_batch + time * noise
    second = second_block_of(alone.generator)
    velocity, hidden = alone.generator.train().forward_with_features(x_t, time.flatten(), labels)
    assert hidden is not None
    repa = -functional.cosine_similarity(hidden, tokens, dim=-1).mean()
    direction = 1.0 - functional.cosine_similarity(velocity, noise - by_batch, dim=1).mean()
    own = (velocity - (noise - by_batch)).square().mean() + alone.config.repa.weight * repa + 0.4 * direction
    own = own + 0.3 * dispersion(second[0])

    found = gradients_of_a_step(stage)
    assert found.keys() == {"tokenizer", "discriminator", "sit"}
    assert_same(found["tokenizer"], gradient(vae, alone.tokenizer))
    assert_same(found["discriminator"], gradient(hinges(alone, images, y), alone.discriminator))
    assert_same(found["sit"], gradient(own, alone.generator))


@pytest.mark.parametrize("flipped", [False, True])
def test_the_sit_learns_normalised_latents(flipped: bool, tmp_path: Path) -> None:
    """(sample of the posterior - mean) / std of its channel, with the cached moments of the view that is shown."""
    stage = golden_curves.diffusion(tmp_path, *OBJECTIVE)
    alone, rows = copy.deepcopy(stage), [row + len(stage.source) * flipped for row in ROWS]
    batch, draws = alone.source.__getitems__(rows), draws_of(alone)
    assert batch.latent_mean is not None
    assert batch.latent_std is not None
    assert batch.tokens is not None
    mean, std = (value[:, None, None] for value in (alone.stats.mean, alone.stats.std))
    sampled = batch.latent_mean + batch.latent_std * draws.normal("posterior", (4, 8, 8))
    z = (sampled - mean) / std
    time, noise = time_of(draws), draws.normal("interpolant noise", (4, 8, 8))
    dropped = draws.uniform("label dropout") < alone.generator.label_dropout
    labels = torch.where(dropped, alone.generator.null_label, batch.labels)
    second = second_block_of(alone.generator)
    velocity, hidden = alone.generator.forward_with_features(
        (1.0 - time) * z + time * noise, time.flatten(), labels
    )
    assert hidden is not None
    velocity_loss = (velocity - (noise - z)).square().mean()
    tokens = spatially_normalised(batch.tokens.float())
    repa = -functional.cosine_similarity(hidden, tokens, dim=-1).mean()
    direction = 1.0 - functional.cosine_similarity(velocity, noise - z, dim=1).mean()

    found: list[Tensor] = []
    updater: Any = stage.state.updaters["sit"]
    updater.step = lambda _seen: (found.extend(p.grad.clone() for p in updater.parameters), torch.zeros(()))[
        1
    ]
    scalars = stage.step(stage.source.__getitems__(rows), SEEN)
    assert float(scalars["velocity"]) == pytest.approx(float(velocity_loss.detach()), rel=1e-5)
    assert float(scalars["repa"]) == pytest.approx(float(repa.detach()), rel=1e-4)
    assert alone.config.repa is not None
    total = velocity_loss + alone.config.repa.weight * repa + 0.4 * direction + 0.3 * dispersion(second[0])
    assert_same(found, gradient(total, alone.generator))
