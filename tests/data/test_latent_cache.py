"""Caches of tensors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from sendvae.data import LatentCache, LatentCacheWriter

FIELDS = {"mean": (2, 3), "label": ()}


def rows(start: int, stop: int) -> dict[str, torch.Tensor]:
    index = torch.arange(start, stop).float()
    return {"mean": index[:, None, None].expand(-1, 2, 3) + 0.5, "label": index}


def test_rows_come_back_across_shards(tmp_path: Path) -> None:
    with LatentCacheWriter(tmp_path, FIELDS, 10, "x", shard_size=4) as writer:
        for start in range(0, 10, 3):
            writer.append(rows(start, min(start + 3, 10)))
    cache = LatentCache(tmp_path)
    assert len(cache) == 10
    assert cache.shape("mean") == (2, 3)
    picked = cache.batch(np.array([9, 0, 4]))
    assert picked["label"].tolist() == [9, 0, 4]
    assert picked["mean"][:, 1, 2].tolist() == [9.5, 0.5, 4.5]


def test_restart_goes_on_after_the_last_whole_shard(tmp_path: Path) -> None:
    LatentCacheWriter(tmp_path, FIELDS, 10, "x", shard_size=4).append(rows(0, 6))  # never closed
    writer = LatentCacheWriter(tmp_path, FIELDS, 10, "x", shard_size=4)
    assert writer.position == 4
    with writer:
        writer.append(rows(4, 10))
    assert LatentCache(tmp_path).fields["label"].tolist() == list(range(10))


def test_an_incomplete_cache_is_an_error(tmp_path: Path) -> None:
    with LatentCacheWriter(tmp_path, FIELDS, 10, "x", shard_size=4) as writer:
        writer.append(rows(0, 5))
    with pytest.raises(ValueError, match="not complete"):
        LatentCache(tmp_path)


def test_another_fingerprint_starts_anew(tmp_path: Path) -> None:
    with LatentCacheWriter(tmp_path, FIELDS, 4, "x", shard_size=4) as writer:
        writer.append(rows(0, 4))
    assert LatentCacheWriter(tmp_path, FIELDS, 4, "x", shard_size=4).position == 4
    assert LatentCacheWriter(tmp_path, FIELDS, 4, "y", shard_size=4).position == 0


def test_wrong_shapes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="field mean"):
        LatentCacheWriter(tmp_path, FIELDS, 4, "x").append(
            {"mean": torch.zeros(1, 3, 2), "label": torch.zeros(1)}
        )
