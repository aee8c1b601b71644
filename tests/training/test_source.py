"""Which view of which image every position of training sees, on any number of processes, from any start."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils.data import _utils

from sendvae import distributed
from sendvae.data import batch_crops, batch_indices, batch_mirrored
from sendvae.training.source import Batch, PositionBatches

LENGTH, BATCH, TOTAL, SEED = 5, 4, 40, 3  # several passes, whose ends lie within batches


def views(start: int = 0, flip: bool = True, crop: bool = True) -> np.ndarray:
    """Image, coin and place of every position that this process sees, (3, positions)."""
    shown = np.concatenate(list(PositionBatches(LENGTH, BATCH, SEED, start, TOTAL, flip, crop)))
    view, image = np.divmod(shown, LENGTH)
    place, mirrored = np.divmod(view, 2)
    return np.stack([image, mirrored, place])


def test_every_position_has_a_view_of_its_own() -> None:
    """One image's windows and coins differ from pass to pass, as the draws of the positions do."""
    image, mirrored, place = views()
    assert np.array_equal(image, batch_indices(0, TOTAL, LENGTH, SEED))
    assert np.array_equal(mirrored, batch_mirrored(0, TOTAL, SEED))
    assert np.array_equal(place, batch_crops(0, TOTAL, SEED))
    assert len(set(place.tolist())) == TOTAL
    assert np.array_equal(views(start=12), views()[:, 12:])
    assert not views(flip=False)[1].any()
    assert not views(crop=False)[2].any()


def test_processes_share_the_views_of_one(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = views().reshape(3, -1, BATCH)
    monkeypatch.setattr(distributed, "world_size", lambda: 2)
    shares = []
    for rank in range(2):
        monkeypatch.setattr(distributed, "rank", lambda rank=rank: rank)
        shares.append(views().reshape(3, -1, BATCH // 2))
    assert np.array_equal(np.concatenate(shares, axis=2), whole)


def test_a_loader_pins_every_tensor_of_a_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    pinned: list[Tensor] = []
    monkeypatch.setattr(Tensor, "pin_memory", lambda tensor: pinned.append(tensor) or tensor + 1)
    batch = Batch(None, torch.tensor([3, 1]), tokens=torch.zeros(2, 1, 1))
    found = _utils.pin_memory.pin_memory(batch)
    assert isinstance(found, Batch)
    assert [tensor is given for tensor, given in zip(pinned, (batch.labels, batch.tokens), strict=True)] == [
        True,
        True,
    ]
    assert found.images is None
    assert found.labels.tolist() == [4, 2]
