"""Caches of tensors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from sendvae.data import LatentCache, LatentCacheWriter
from sendvae.data.latent_cache import read_manifest, shard_path, shard_states
from sendvae.errors import UserError

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
    with (
        pytest.raises(ValueError, match="1 rows do not fill"),
        LatentCacheWriter(tmp_path, FIELDS, 10, "x", shard_size=4) as writer,
    ):
        writer.append(rows(0, 5))
    with pytest.raises(UserError, match="not complete"):
        LatentCache(tmp_path)


def test_a_cache_of_something_else_is_refused_and_stays(tmp_path: Path) -> None:
    with LatentCacheWriter(tmp_path, FIELDS, 4, "x", shard_size=4) as writer:
        writer.append(rows(0, 4))
    assert LatentCacheWriter(tmp_path, FIELDS, 4, "x", shard_size=4).position == 4
    with pytest.raises(UserError, match="cache of something else"):
        LatentCacheWriter(tmp_path, FIELDS, 4, "y", shard_size=4)
    with pytest.raises(UserError, match=r"wrong number of rows(?s:.*)given: +4(?s:.*)expected: 5"):
        LatentCacheWriter(tmp_path, FIELDS, 5, "x", shard_size=4)
    assert LatentCache(tmp_path).fields["label"].tolist() == [0, 1, 2, 3]


def test_damaged_shards_are_told_from_missing_ones_and_from_those_with_other_rows(tmp_path: Path) -> None:
    with LatentCacheWriter(tmp_path, FIELDS, 10, "x", shard_size=4) as writer:
        writer.append(rows(0, 10))
    second, third = (shard_path(tmp_path, number) for number in (1, 2))
    whole = second.read_bytes()
    second.write_bytes(whole[:-1])
    assert shard_states(tmp_path, read_manifest(tmp_path)) == ["whole", "damaged", "whole"]
    with pytest.raises(UserError, match="1 of 3 shards are damaged, the first shard-00001"):
        LatentCache(tmp_path)
    second.unlink()
    assert shard_states(tmp_path, read_manifest(tmp_path)) == ["whole", "missing", "whole"]
    second.write_bytes(third.read_bytes())  # of 2 rows, where 4 belong
    with pytest.raises(UserError, match=r"wrong number of rows(?s:.*)2 in shard-00001(?s:.*)expected: 4"):
        LatentCache(tmp_path)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"count": 3}'])
def test_a_damaged_manifest_is_named(text: str, tmp_path: Path) -> None:
    (tmp_path / "cache.json").write_text(text)
    with pytest.raises(UserError, match=r"cache\.json is damaged"):
        LatentCache(tmp_path)


def test_wrong_shapes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="field mean"):
        LatentCacheWriter(tmp_path, FIELDS, 4, "x").append(
            {"mean": torch.zeros(1, 3, 2), "label": torch.zeros(1)}
        )


@pytest.mark.parametrize("world", [1, 2, 3])
def test_processes_share_the_shards(tmp_path: Path, world: int) -> None:
    seen = []
    for rank in range(world):
        with LatentCacheWriter(tmp_path, FIELDS, 22, "x", shard_size=4, rank=rank, world=world) as writer:
            for index in writer.rows(batch=3):
                seen += index.tolist()
                writer.append(rows(int(index[0]), int(index[-1]) + 1))
            assert writer.position == writer.share
    assert sorted(seen) == list(range(22))
    cache = LatentCache(tmp_path)
    assert cache.fields["label"].tolist() == list(range(22))
    order = np.array([21, 0, 4, 3, 20, 4])
    assert cache.batch(order)["label"].tolist() == order.tolist()


def test_a_restart_may_have_another_number_of_processes(tmp_path: Path) -> None:
    for rank, world, stop in ((0, 2, 6), (1, 2, 0), (0, 1, None), (0, 1, None)):
        writer = LatentCacheWriter(tmp_path, FIELDS, 22, "x", shard_size=4, rank=rank, world=world)
        for done, index in enumerate(writer.rows(batch=2)):
            if done == stop:
                break  # as if killed
            writer.append(rows(int(index[0]), int(index[-1]) + 1))
    assert writer.position == 22
    assert list(writer.rows(2)) == []
    assert LatentCache(tmp_path).fields["label"].tolist() == list(range(22))


def test_a_cache_keeps_the_shard_size_that_it_began_with(tmp_path: Path) -> None:
    with LatentCacheWriter(tmp_path, FIELDS, 10, "x", shard_size=4) as writer:
        writer.append(rows(0, 8))
    with LatentCacheWriter(tmp_path, FIELDS, 10, "x", shard_size=5) as writer:
        assert (writer.shard_size, writer.position) == (4, 8)
        writer.append(rows(8, 10))
    assert LatentCache(tmp_path).fields["label"].tolist() == list(range(10))


def test_rows_are_not_loaded_before_they_are_read(tmp_path: Path) -> None:
    """A cache of 64 MiB adds next to nothing to the memory of its process until it is read."""

    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

    with LatentCacheWriter(tmp_path, {"mean": (1024, 1024)}, 16, "x", shard_size=4) as writer:
        for _ in range(4):
            writer.append({"mean": torch.ones(4, 1024, 1024)})
    before = resident()
    cache = LatentCache(tmp_path)
    assert float(cache.batch(np.array([9]))["mean"].sum()) == 2**20
    assert resident() - before < 32 * 2**20


def test_mirrored_rows_come_from_the_fields_of_mirrored_images(tmp_path: Path) -> None:
    plain, flipped = torch.arange(7.0)[:, None], -torch.arange(7.0)[:, None]
    with LatentCacheWriter(tmp_path, {"mean": (1,), "mean_flip": (1,)}, 7, "x", shard_size=3) as writer:
        writer.append({"mean": plain, "mean_flip": flipped})
    cache = LatentCache(tmp_path)
    indices, mirrored = np.array([6, 1, 1, 4, 0]), np.array([True, False, True, True, False])
    assert cache.batch(indices, mirrored)["mean"].flatten().tolist() == [-6.0, 1.0, -1.0, -4.0, 0.0]
    assert list(cache.batch(indices, mirrored)) == ["mean"]
    assert cache.batch(indices, np.zeros(5, bool))["mean"].flatten().tolist() == [6.0, 1.0, 1.0, 4.0, 0.0]
