"""The one scheme of randomness: a function of a seed, a position (images seen, or an image's number) and a name."""

from __future__ import annotations

from collections.abc import Callable, Sequence

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
        seed: of the run.
        images_seen: before this step.
        batch_size: of all processes together.
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
