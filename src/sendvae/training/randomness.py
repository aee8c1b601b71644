"""The randomness of a step: a function of the seed, the images seen and a sample's place in the global batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from sendvae import distributed
from sendvae.training.source import Batch


class Draws:
    """Random numbers for some rows of a global batch.

    Every process draws the numbers of the whole batch and takes its rows. So resuming needs no state, and N
    processes, or accumulated gradients, train on the noise that one process with the same batch trains on.

    Args:
        seed: of the run.
        images_seen: before this step.
        batch_size: of all processes together.
        rows: which of them these draws are for.
    """

    def __init__(
        self, seed: int, images_seen: int, batch_size: int, rows: slice, device: torch.device
    ) -> None:
        self.seed, self.images_seen, self.device = seed, images_seen, device
        self.batch_size, self.rows = batch_size, rows

    def draw(self, name: str, function: Callable[[int, torch.Generator], Tensor]) -> Tensor:
        """These rows of `function(batch size, generator)`; each name is a stream of its own."""
        sequence = np.random.SeedSequence([self.seed, self.images_seen, *name.encode()])
        words = sequence.generate_state(2)
        generator = torch.Generator(self.device).manual_seed(int(words[0]) << 31 | int(words[1]) >> 1)
        return function(self.batch_size, generator)[self.rows]

    def uniform(self, name: str) -> Tensor:
        """One number in [0, 1) a row."""
        return self.draw(name, lambda n, generator: torch.rand(n, device=self.device, generator=generator))

    def normal(self, name: str, shape: Sequence[int]) -> Tensor:
        """Standard normal (rows, *shape)."""
        return self.draw(
            name, lambda n, generator: torch.randn(n, *shape, device=self.device, generator=generator)
        )


def micro_batches(
    batch: Batch, seed: int, images_seen: int, parts: int, device: torch.device
) -> Iterator[tuple[Batch, Draws, bool]]:
    """This process's batch in `parts` equal pieces: each with its draws, and whether it is the last."""
    share = len(batch.labels)
    total, first = share * distributed.world_size(), share * distributed.rank()
    size = share // parts
    for i, piece in enumerate(batch.split(size)):
        start = first + i * size
        yield piece, Draws(seed, images_seen, total, slice(start, start + size), device), i == parts - 1
