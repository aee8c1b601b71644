"""What training changes, named once: networks, what updates them, and their averages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from sendvae.runs import Checkpoint, load_optimizer_tensors, optimizer_tensors
from sendvae.training.ema import EMA
from sendvae.training.optim import Updater
from sendvae.training.parallel import load_state


@dataclass(frozen=True)
class State:
    """All that a step changes, and so all that a checkpoint holds.

    A checkpoint has one group of tensors for each network and average, under its name here, and one for each
    updater: "optimizer_NETWORK", or "optimizer" where there is only one. Rates and gradient norms are named alike:
    "lr_NETWORK" and "grad_norm_NETWORK", or "lr" and "grad_norm".

    Attributes:
        networks: those with weights or buffers that change.
        updaters: the updaters by the name of the network that each trains. Every process must have them in this order.
        averages: the averages of weights.
    """

    networks: Mapping[str, nn.Module]
    updaters: Mapping[str, Updater]
    averages: Mapping[str, EMA[Any]] = field(default_factory=dict)

    def update(self, name: str, images_seen: int) -> dict[str, Tensor]:
        """Update one network from its gradients and clear these; return the gradient norm before clipping."""
        return {self._labelled("grad_norm", name): self.updaters[name].step(images_seen)}

    def rates(self) -> dict[str, float]:
        """Return the learning rates of the last step."""
        return {self._labelled("lr", name): updater.lr for name, updater in self.updaters.items()}

    def tensors(self) -> dict[str, Mapping[str, Tensor]]:
        """Return everything by group, as `restore` expects to find it; the tensors are those in use, not copies."""
        groups: dict[str, Mapping[str, Tensor]] = {
            name: network.state_dict() for name, network in self._modules().items()
        }
        for name, updater in self.updaters.items():
            group = self._labelled("optimizer", name)
            groups[group] = optimizer_tensors(updater.network, updater.optimizer)
        return groups

    def restore(self, checkpoint: Checkpoint) -> None:
        """Go on from a checkpoint, with the same bits.

        Raises:
            UserError: the checkpoint lacks a group.
            RuntimeError, ValueError: a group holds other tensors than its network or updater has.
        """
        for name, network in self._modules().items():
            load_state(network, checkpoint.tensors(name))
        for name, updater in self.updaters.items():
            tensors = checkpoint.tensors(self._labelled("optimizer", name))
            load_optimizer_tensors(updater.network, updater.optimizer, tensors)

    def _modules(self) -> dict[str, nn.Module]:
        return {**self.networks, **{name: average.network for name, average in self.averages.items()}}

    def _labelled(self, kind: str, name: str) -> str:
        return f"{kind}_{name}" if len(self.updaters) > 1 else kind
