"""Exponential moving average of a network's weights."""

from __future__ import annotations

import copy
from typing import Generic, TypeVar

import torch
from torch import Tensor, nn

from sendvae.distributed import local

Network = TypeVar("Network", bound=nn.Module)


class EMA(Generic[Network]):
    """theta_ema <- decay * theta_ema + (1 - decay) * theta, for parameters and floating buffers.

    Integer buffers (BatchNorm's counters) are copied, as REPA-E does.
    """

    def __init__(self, network: Network, decay: float) -> None:
        self.decay = decay
        self.network: Network = copy.deepcopy(network)
        self.network.eval().requires_grad_(False)

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
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
        return dict(self.network.state_dict())
