"""A part of a step: the gradient of the pieces' mean loss, one update, the means of scalars."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch
from torch import Tensor, nn

from sendvae.config.schema_common import OptimizerConfig
from sendvae.randomness import Draws
from sendvae.training.micro_batches import MicroBatch
from sendvae.training.optim import Updater
from sendvae.training.parallel import Parallel
from sendvae.training.parts import Losses, Part
from sendvae.training.source import Batch
from sendvae.training.state import State

CPU = torch.device("cpu")


class Recorded(Parallel):
    """Notes which of the backward passes communicate."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__(network)
        self.communicated: list[bool] = []

    @contextmanager
    def backward_of(self, last: bool) -> Iterator[None]:
        self.communicated.append(last)
        yield


def pieces_of(latents: Tensor, images_seen: int) -> list[MicroBatch]:
    draws = Draws(0, images_seen, len(latents), slice(None), CPU)
    batches = [Batch(None, torch.zeros(len(z), dtype=torch.int64)) for z in latents]
    return [
        MicroBatch(batch, draws, images_seen, latent=z) for batch, z in zip(batches, latents, strict=True)
    ]


def test_the_mean_over_pieces_is_trained_on() -> None:
    network, other = nn.Linear(3, 1, bias=False), nn.Linear(3, 1)
    networks = {"trained": network, "other": other}
    config = OptimizerConfig(lr=1.0, warmup=99, clip=1e9)
    state = State(networks, {name: Updater(m, config, 1000) for name, m in networks.items()})
    parallel, seen = Recorded(network), []

    def losses(piece: MicroBatch) -> Losses:
        assert piece.latent is not None
        loss = network(piece.latent).square().mean()
        seen.append(float(loss.detach()))
        return Losses(loss, {"loss": loss, "twice": 2 * loss})

    latents = torch.randn(4, 2, 3, generator=torch.Generator().manual_seed(1))
    weight = network.weight.detach().clone().requires_grad_()
    untouched = other.weight.detach().clone()
    (gradient,) = torch.autograd.grad((latents @ weight.T).square().mean(), weight)
    scalars = Part("a loss", losses, parallel, ("trained",)).train(pieces_of(latents, images_seen=24), state)
    assert float(scalars["loss"]) == pytest.approx(sum(seen) / 4)
    assert float(scalars["twice"]) == pytest.approx(sum(seen) / 2)
    assert float(scalars["grad_norm_trained"]) == pytest.approx(float(gradient.norm()), rel=1e-5)
    assert list(scalars) == ["loss", "twice", "grad_norm_trained"]
    assert not any(value.requires_grad for value in scalars.values())
    assert parallel.communicated == [False, False, False, True]
    # Adam's first step is the rate, which is that of 24 images seen: 25 hundredths.
    assert torch.allclose(weight - network.weight, 0.25 * gradient.sign(), atol=1e-3)
    assert torch.equal(other.weight, untouched)
