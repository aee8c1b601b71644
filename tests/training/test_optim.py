"""Learning rates and clipping."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from sendvae.config.schema_common import OptimizerConfig
from sendvae.training.optim import Updater, frozen, learning_rate


def test_rate_over_a_run() -> None:
    config = OptimizerConfig(lr=1.0, warmup=10, schedule="cosine")
    assert learning_rate(config, 1.0, 0, 110) == pytest.approx(1 / 11)
    assert learning_rate(config, 1.0, 10, 110) == 1.0
    assert learning_rate(config, 1.0, 60, 110) == pytest.approx(0.5)
    assert learning_rate(config, 1.0, 110, 110) == pytest.approx(0.0)
    assert learning_rate(OptimizerConfig(lr=2.0), 2.0, 10**9, 10) == 2.0


def test_gradient_is_clipped_to_the_norm() -> None:
    """With clipping to 1, SGD-like first steps of Adam are equal whatever the gradient's size."""
    network = nn.Linear(2, 1, bias=False)
    updater = Updater(network, OptimizerConfig(lr=0.1, clip=0.5), total=10)
    network.weight.grad = torch.tensor([[30.0, 40.0]])
    assert float(updater.step(0)) == pytest.approx(50.0)
    moments = updater.optimizer.state[network.weight]["exp_avg"]
    torch.testing.assert_close(moments, 0.1 * torch.tensor([[0.3, 0.4]]))
    assert network.weight.grad is None


def test_frozen_passes_gradient_but_computes_none() -> None:
    network, x = nn.Linear(2, 1), torch.randn(3, 2, requires_grad=True)
    with frozen(network.parameters()):
        network(x).sum().backward()
    assert x.grad is not None
    assert network.weight.grad is None
    assert network.weight.requires_grad
