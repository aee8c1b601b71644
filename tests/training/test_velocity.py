"""Times of the stages with a generator."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from sendvae.config import DiffusionConfig, load_config
from sendvae.randomness import Draws
from sendvae.training.micro_batches import MicroBatch
from sendvae.training.source import Batch
from sendvae.training.stages.velocity import time_and_noise

ROWS = 4


def times(kind: str, shift: object) -> Tensor:
    config = load_config(DiffusionConfig, "demo/sit-tiny", [f"time_sampling={kind}", f"time_shift={shift}"])
    draws = Draws(config.seed, 8, ROWS, slice(None), torch.device("cpu"))
    piece = MicroBatch(Batch(None, torch.zeros(ROWS, dtype=torch.long)), draws, 8)
    return time_and_noise(piece, torch.zeros(ROWS, 64, 16, 16), config)[0]


@pytest.mark.parametrize("kind", ["uniform", "lognormal"])
def test_times_are_shifted_by_the_dimension_of_one_latent(kind: str) -> None:
    """sqrt(64 x 16 x 16 / 4096) = 2: all odds are doubled, whatever the size of the batch."""
    plain, moved = (times(kind, shift).double() for shift in (1.0, "dimension"))
    torch.testing.assert_close(moved / (1 - moved), 2 * plain / (1 - plain), rtol=1e-4, atol=1e-4)
    assert not torch.allclose(plain, times("lognormal" if kind == "uniform" else "uniform", 1.0).double())
