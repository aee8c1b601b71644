"""A global batch over processes and pieces: every row keeps its numbers."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from sendvae import distributed
from sendvae.training.micro_batches import micro_batches
from sendvae.training.source import Batch

CPU = torch.device("cpu")


def drawn(rows: int, world: int, parts: int, images_seen: int) -> dict[int, Tensor]:
    """Label of a row -> its numbers, of all processes in turn."""
    found: dict[int, Tensor] = {}
    share = rows // world
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(distributed, "world_size", lambda: world)
        for rank in range(world):
            patch.setattr(distributed, "rank", lambda rank=rank: rank)
            batch = Batch(None, torch.arange(rank * share, (rank + 1) * share))
            pieces = list(micro_batches(batch, 5, images_seen, parts, CPU))
            assert [last for *_, last in pieces] == [False] * (parts - 1) + [True]
            for piece, draws, _ in pieces:
                numbers = torch.cat([draws.uniform("alpha")[:, None], draws.normal("noise", (3,))], 1)
                found.update(zip(piece.labels.tolist(), numbers, strict=True))
    return found


@settings(deadline=None, max_examples=25)
@given(world=st.integers(1, 4), parts=st.integers(1, 4), size=st.integers(1, 3), step=st.integers(0, 1000))
def test_a_rows_numbers_do_not_depend_on_processes_and_pieces(
    world: int, parts: int, size: int, step: int
) -> None:
    rows = world * parts * size
    alone, shared = drawn(rows, 1, 1, step * rows), drawn(rows, world, parts, step * rows)
    assert alone.keys() == shared.keys() == set(range(rows))
    assert all(torch.equal(alone[row], shared[row]) for row in alone)
    other = drawn(rows, 1, 1, (step + 1) * rows)
    assert not any(torch.equal(alone[row], other[row]) for row in alone)
