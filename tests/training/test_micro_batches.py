"""A global batch over processes and pieces: every row keeps its numbers; tokens are cached or computed."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from sendvae import distributed
from sendvae.data import open_embedded, to_float
from sendvae.training.micro_batches import micro_batches
from sendvae.training.source import Batch
from sendvae.vision import load_backbone

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
            pieces = micro_batches(batch, 5, images_seen, parts, CPU)
            assert len(pieces) == parts
            assert {piece.images_seen for piece in pieces} == {images_seen}
            for piece in pieces:
                draws = piece.draws
                numbers = torch.cat([draws.uniform("alpha")[:, None], draws.normal("noise", (3,))], 1)
                found.update(zip(piece.batch.labels.tolist(), numbers, strict=True))
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


def real_batch(tokens: Tensor | None = None) -> Batch:
    found = open_embedded("emoji", "train", limit=4).batch(range(4))
    return Batch(found.images, found.labels, tokens=tokens)


def test_images_are_floats_between_minus_one_and_one() -> None:
    (piece,) = micro_batches(real_batch(), 0, 0, 1, CPU)
    raw = piece.batch.images
    assert raw is not None
    torch.testing.assert_close(piece.images, raw.float() / 127.5 - 1)


def test_tokens_are_the_cached_ones_or_computed() -> None:
    backbone = load_backbone("effnet-lite0", pretrained=False)
    cached = torch.randn(4, 4, backbone.width, generator=torch.Generator().manual_seed(1))
    (with_tokens,) = micro_batches(real_batch(cached), 0, 0, 1, CPU)
    assert torch.equal(with_tokens.tokens(backbone, 2, "fp32"), cached)
    (without,) = micro_batches(real_batch(), 0, 0, 1, CPU)
    raw = without.batch.images
    assert raw is not None
    expected = backbone.patch_tokens(to_float(raw), 2)
    assert torch.equal(without.tokens(backbone, 2, "fp32"), expected)
    assert expected.std() > 0
