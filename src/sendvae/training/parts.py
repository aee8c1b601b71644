"""A part of a training step: one loss, and the networks that it trains."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from sendvae.training.micro_batches import MicroBatch
from sendvae.training.parallel import Parallel
from sendvae.training.state import State


@dataclass(frozen=True)
class Losses:
    """The losses of one forward pass.

    Attributes:
        total: the scalar whose gradient is taken.
        scalars: its terms and what else is logged.
    """

    total: Tensor
    scalars: Mapping[str, Tensor]


@dataclass(frozen=True)
class Part:
    """One loss of a step.

    Attributes:
        name: the name that people see.
        losses: a function of a micro-batch, which may leave tensors in it for later parts.
        parallel: averages its gradients over processes.
        trains: names of the networks that it updates.
    """

    name: str
    losses: Callable[[MicroBatch], Losses]
    parallel: Parallel
    trains: tuple[str, ...]

    def train(self, pieces: Sequence[MicroBatch], state: State) -> dict[str, Tensor]:
        """Update every network of this part once, by the gradient of the pieces' mean loss.

        Returns:
            The means of the pieces' scalars, detached, and the gradient norms.
        """
        scalars: dict[str, Tensor] = {}
        for i, piece in enumerate(pieces):
            with self.parallel.backward_of(last=i == len(pieces) - 1):
                found = self.parallel(self.losses, piece)
                (found.total / len(pieces)).backward()
            for name, value in found.scalars.items():
                scalars[name] = scalars.get(name, 0.0) + value.detach() / len(pieces)
        for name in self.trains:
            scalars |= state.update(name, pieces[0].images_seen)
        return scalars
