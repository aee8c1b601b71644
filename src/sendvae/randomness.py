"""The one scheme of randomness: a function of a seed, a position (images seen, or an image's number) and a name."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor


def stream(seed: int, position: int, name: str, device: torch.device | None = None) -> torch.Generator:
    """Return a generator of its own for every (seed, position, name), on `device` (the CPU by default)."""
    words = np.random.SeedSequence([seed, position, *name.encode()]).generate_state(2)
    return torch.Generator(device or "cpu").manual_seed(int(words[0]) << 31 | int(words[1]) >> 1)


def resample(seed: int, number: int, count: int) -> Tensor:
    """Return which of `count` things resample `number` of a bootstrap draws, with replacement: (count,) int64."""
    return torch.randint(count, (count,), generator=stream(seed, number, "resample"))


class Draws:
    """Random numbers for some rows of a global batch.

    Every process draws the numbers of the whole batch and takes its rows. So resuming needs no state, and N
    processes, or accumulated gradients, train on the noise that one process with the same batch trains on.

    Args:
        seed: the seed of the run.
        images_seen: before this step.
        batch_size: the batch size of all processes together.
        rows: which of them these draws are for.
        device: where the numbers are drawn.
    """

    def __init__(
        self, seed: int, images_seen: int, batch_size: int, rows: slice, device: torch.device
    ) -> None:
        self.seed, self.images_seen, self.device = seed, images_seen, device
        self.batch_size, self.rows = batch_size, rows

    def draw(self, name: str, function: Callable[[int, torch.Generator], Tensor]) -> Tensor:
        """Return these rows of `function(batch size, generator)`; each name is a stream of its own."""
        held = HeldDraws.active
        return self.drawn(name, function) if held is None else held.take(self, name, function)

    def drawn(self, name: str, function: Callable[[int, torch.Generator], Tensor]) -> Tensor:
        """Return what `draw` returns, made anew."""
        generator = stream(self.seed, self.images_seen, name, self.device)
        return function(self.batch_size, generator)[self.rows]

    def uniform(self, name: str) -> Tensor:
        """Return one number in [0, 1) a row."""
        return self.draw(name, lambda n, generator: torch.rand(n, device=self.device, generator=generator))

    def normal(self, name: str, shape: Sequence[int]) -> Tensor:
        """Return standard normal numbers (rows, *shape)."""
        return self.draw(
            name, lambda n, generator: torch.randn(n, *shape, device=self.device, generator=generator)
        )


class HeldDraws:
    """Random numbers that keep their places in memory: a recorded step reads them there each time that it is replayed.

    Attributes:
        active: whose tensors `Draws` gives at present; None: everything is drawn anew.
    """

    active: HeldDraws | None = None

    def __init__(self) -> None:
        self._made: dict[str, tuple[Tensor, Callable[[int, torch.Generator], Tensor]]] = {}

    @contextmanager
    def __call__(self) -> Iterator[None]:
        """Let every `Draws` inside give the tensors that are held; a name that is new is drawn, and held from then on."""
        HeldDraws.active = self
        try:
            yield
        finally:
            HeldDraws.active = None

    def take(self, draws: Draws, name: str, function: Callable[[int, torch.Generator], Tensor]) -> Tensor:
        """Return the tensor of a name."""
        if name not in self._made:
            self._made[name] = draws.drawn(name, function), function
        return self._made[name][0]

    def refill(self, draws: Draws) -> None:
        """Draw every number that is held anew, for the position of `draws`."""
        for name, (tensor, function) in self._made.items():
            tensor.copy_(draws.drawn(name, function))
