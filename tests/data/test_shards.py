"""Tar shards and their index."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import fsspec
import numpy as np
import pytest
import torch
from PIL import Image

from sendvae.data import ShardImages, ShardWriter, open_images
from sendvae.data.shards import open_shards
from sendvae.errors import UserError


def png(value: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.full((8, 8, 3), value, np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def write(folder: Path, count: int = 6, max_bytes: int = 3000) -> None:
    with ShardWriter(folder, "part", ["even", "odd"], max_bytes) as writer:
        for i in range(count):
            writer.write(f"image-{i}", png(i * 10), "png", i % 2, "train" if i < 4 else "test")


def test_images_come_back_by_position(tmp_path: Path) -> None:
    write(tmp_path)
    train = open_images(str(tmp_path), "train")
    assert isinstance(train, ShardImages)
    assert len(train) == 4
    batch = train.batch([3, 0])
    assert batch.labels.tolist() == [1, 0]
    assert batch.images[:, 0, 0, 0].tolist() == [30, 0]
    assert train[2].key == "image-2"
    assert len(open_images(str(tmp_path), "test")) == 2
    assert len(open_images(str(tmp_path), "train", limit=3)) == 3


def test_shards_are_ordinary_tar_files(tmp_path: Path) -> None:
    write(tmp_path)
    shards = sorted(tmp_path.glob("*.tar"))
    assert len(shards) > 1
    names = []
    for shard in shards:
        with tarfile.open(shard) as tar:
            names += [(m.name, m.mtime, m.uid) for m in tar]
    assert names == [(f"image-{i}.png", 0, 0) for i in range(6)]
    assert not list(tmp_path.glob("*.part"))


def test_the_same_samples_give_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write(tmp_path / name)
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()


def test_any_file_system_serves(tmp_path: Path) -> None:
    write(tmp_path)
    memory = fsspec.filesystem("memory")
    memory.put(str(tmp_path) + "/", "/shards", recursive=True)
    try:
        remote, local = (open_images(where, "train") for where in ("memory://shards", str(tmp_path)))
        assert torch.equal(remote.batch(range(4)).images, local.batch(range(4)).images)
        assert remote.fingerprint == local.fingerprint
    finally:
        memory.rm("/shards", recursive=True)


def test_missing_data_and_unknown_split(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no prepared data set"):
        open_shards(tmp_path, "train")
    write(tmp_path)
    with pytest.raises(UserError, match="no split 'validation'"):
        open_shards(tmp_path, "validation")
