"""The one scheme of randomness: numbers depend on a seed, a position (images seen, or an image's number) and a name."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor


def stream(seed: int, position: int, name: str, device: torch.device | None = None) -> torch.Generator:
    """Return a generator on `device` (the CPU by default), with a stream of its own for each (seed, position, name)."""
    words = np.random.SeedSequence([seed, position, *name.encode()]).generate_state(2)
    return torch.Generator(device or "cpu").manual_seed(int(words[0]) << 31 | int(words[1]) >> 1)


def resample(seed: int, number: int, count: int) -> Tensor:
    """Return the indices (count,) int64 that bootstrap resample `number` draws from `count` items, with replacement."""
    return torch.randint(count, (count,), generator=stream(seed, number, "resample"))


class Draws:
    """Random numbers for some rows of a global batch.

    Every process draws the numbers of the whole batch and takes its rows. So resuming needs no state, and N
    processes, or accumulated gradients, train on the noise that one process with the same batch trains on.

    Args:
        seed: the seed of the run.
        images_seen: the number of images seen before this step.
        batch_size: the global batch size, of all processes together.
        rows: the rows of the global batch that these draws are for.
        device: the device on which the numbers are drawn.
    """

    def __init__(
        self, seed: int, images_seen: int, batch_size: int, rows: slice, device: torch.device
    ) -> None:
        self.seed, self.images_seen, self.device = seed, images_seen, device
        self.batch_size, self.rows = batch_size, rows

    def draw(self, name: str, function: Callable[[int, torch.Generator], Tensor]) -> Tensor:
        """Return these rows of `function(batch_size, generator)`. Each name has a stream of its own."""
        held = HeldDraws.active
        return self.drawn(name, function) if held is None else held.take(self, name, function)

    def drawn(self, name: str, function: Callable[[int, torch.Generator], Tensor]) -> Tensor:
        """Return what `draw` returns, drawn anew even where `HeldDraws` holds the tensor."""
        generator = stream(self.seed, self.images_seen, name, self.device)
        return function(self.batch_size, generator)[self.rows]

    def uniform(self, name: str) -> Tensor:
        """Return one uniform number in [0, 1) per row: (rows,)."""
        return self.draw(name, lambda n, generator: torch.rand(n, device=self.device, generator=generator))

    def normal(self, name: str, shape: Sequence[int]) -> Tensor:
        """Return standard normal numbers of shape (rows, *shape)."""
        return self.draw(
            name, lambda n, generator: torch.randn(n, *shape, device=self.device, generator=generator)
        )


class HeldDraws:
    """Random numbers that stay at one place in memory, where a recorded step reads them each time it is replayed.

    Attributes:
        active: the instance whose tensors `Draws` returns at present; None if everything is drawn anew.
    """

    active: HeldDraws | None = None

    def __init__(self) -> None:
        self._made: dict[str, tuple[Tensor, Callable[[int, torch.Generator], Tensor]]] = {}

    @contextmanager
    def __call__(self) -> Iterator[None]:
        """Make every `Draws` in the block return the held tensors. A new name is drawn once and held from then on."""
        HeldDraws.active = self
        try:
            yield
        finally:
            HeldDraws.active = None

    def take(self, draws: Draws, name: str, function: Callable[[int, torch.Generator], Tensor]) -> Tensor:
        """Return the held tensor of a name; draw it first if the name is new."""
        if name not in self._made:
            self._made[name] = draws.drawn(name, function), function
        return self._made[name][0]

    def refill(self, draws: Draws) -> None:
        """Draw the held tensors anew and in place, for the position of `draws`."""
        for name, (tensor, function) in self._made.items():
            tensor.copy_(draws.drawn(name, function))
