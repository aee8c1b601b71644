"""Exponential moving average of a network's weights."""

from __future__ import annotations

import copy
from typing import Generic, TypeVar

import torch
from torch import Tensor, nn

from sendvae.distributed import local

Network = TypeVar("Network", bound=nn.Module)


class EMA(Generic[Network]):
    """An average of a network's weights: theta_ema <- decay * theta_ema + (1 - decay) * theta.

    Floating buffers are averaged, too; integer ones (BatchNorm's counters) are copied, as REPA-E does.

    Attributes:
        network: a copy with the averaged weights, in evaluation mode, without gradients.

    Args:
        network: where the average starts.
        decay: the decay in [0, 1]; .9999 in REPA-E.
    """

    def __init__(self, network: Network, decay: float) -> None:
        self.decay = decay
        self.network: Network = copy.deepcopy(network)
        self.network.eval().requires_grad_(False)

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        """Move the average towards the weights of `network`, which has the tensors of the one it started from."""
        averaged, current = self.network.state_dict(), network.state_dict()
        floating = [name for name, tensor in averaged.items() if tensor.is_floating_point()]
        torch._foreach_lerp_(
            [local(averaged[name]) for name in floating],
            [local(current[name]) for name in floating],
            1.0 - self.decay,
        )
        for name in averaged.keys() - set(floating):
            averaged[name].copy_(current[name])

    def tensors(self) -> dict[str, Tensor]:
        """Return the averaged tensors by name; of a sharded network, this process's shards."""
        return dict(self.network.state_dict())
