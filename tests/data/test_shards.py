"""Tar shards and their index."""

from __future__ import annotations

import errno
import io
import tarfile
from pathlib import Path

import fsspec
import numpy as np
import pytest
import torch
from PIL import Image

from sendvae.data import ShardImages, ShardWriter, open_images
from sendvae.data.shards import TarShard, open_shards
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


def test_on_a_full_disk_no_half_of_a_shard_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shard = TarShard(tmp_path / "a.tar")
    shard.add("a.png", b"bytes")

    def full() -> None:
        shard.tar.fileobj.close()
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(shard.tar, "close", full)
    shard.discard()
    assert not list(tmp_path.iterdir())


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


MANIFEST = b'{"splits": {"train": 4}, "class_names": ["a"], "skipped": 7, "shards": [{"name": "a.tar", "sha256": "0f"}]}'


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("manifest.json", b"{", r"manifest.json is damaged(?s:.*)again"),
        ("manifest.json", b"\xff\xfe", r"manifest.json is damaged"),
        ("manifest.json", b"[]", r"manifest.json is damaged"),
        ("manifest.json", b'{"splits": {"train": 4}}', r"manifest.json is damaged(?s:.*)lacks 'class_names'"),
        ("manifest.json", b'{"splits": [], "class_names": [], "shards": []}', r"'splits' is no dict"),
        ("manifest.json", MANIFEST.replace(b'"a"', b"3"), r"3 stands where text belongs"),
        ("manifest.json", MANIFEST.replace(b'"0f"', b"[]"), r"\[\] stands where text belongs"),
        ("manifest.json", MANIFEST.replace(b"sha256", b"sha512"), r"lacks 'sha256'"),
        ("manifest.json", MANIFEST.replace(b"4", b'"4"'), r"'4' stands where a number belongs"),
        ("manifest.json", MANIFEST.replace(b"7", b"null"), r"None stands where a number belongs"),
        (
            "manifest.json",
            MANIFEST.replace(b'"sha256"', b'"bytes": "9", "sha256"'),
            r"'9' stands where a number belongs",
        ),
        ("index.npz", b"PK\x03\x04", r"index.npz is damaged"),
        ("index.npz", b"", r"index.npz is damaged"),
        ("index.npz", None, r"has no index.npz"),
    ],
)
def test_a_damaged_data_set_names_the_file(
    tmp_path: Path, name: str, content: bytes | None, message: str
) -> None:
    write(tmp_path)
    if content is None:
        (tmp_path / name).unlink()
    else:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=message):
        open_images(str(tmp_path), "train")


def test_an_index_that_is_cut_short_or_torn_is_damaged(tmp_path: Path) -> None:
    write(tmp_path)
    whole = (tmp_path / "index.npz").read_bytes()
    with np.load(tmp_path / "index.npz") as arrays:
        columns = dict(arrays)
    for size in range(0, len(whole), 97):
        (tmp_path / "index.npz").write_bytes(whole[:size])
        with pytest.raises(UserError, match=r"index.npz is damaged"):
            open_images(str(tmp_path), "train")
    np.savez(tmp_path / "index.npz", **columns | {"label": columns["label"][:2]})
    with pytest.raises(UserError, match=r"damaged(?s:.*)columns of 2, 6 rows"):
        open_images(str(tmp_path), "train")
    for name, column in {
        "offset": np.full(6, np.nan), "size": columns["size"][:, None], "key": columns["label"], "label": columns["key"],
    }.items():  # fmt: skip
        np.savez(tmp_path / "index.npz", **columns | {name: column})
        with pytest.raises(UserError, match=rf"damaged(?s:.*)column {name} of {column.dtype}"):
            open_images(str(tmp_path), "train")


def test_a_damaged_image_is_named_with_its_shard(tmp_path: Path) -> None:
    write(tmp_path)
    train = open_images(str(tmp_path), "train")
    assert isinstance(train, ShardImages)
    index = train.index
    shard = tmp_path / f"part-{index.shards[2]:05d}.tar"
    data = bytearray(shard.read_bytes())
    data[index.offsets[2] : index.offsets[2] + index.sizes[2]] = b"z" * index.sizes[2]
    shard.write_bytes(data)
    for read in (lambda: train[2], lambda: train.batch([0, 2])):
        with pytest.raises(UserError, match=rf"image of a shard is damaged(?s:.*)image-2 in {shard}"):
            read()
    assert train[0].key == "image-0"


def test_an_empty_split_is_refused(tmp_path: Path) -> None:
    write(tmp_path)
    manifest = tmp_path / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"train": 4', '"train": 4, "val": 0'))
    with np.load(tmp_path / "index.npz") as arrays:
        columns = dict(arrays)
    np.savez(tmp_path / "index.npz", **columns)
    with pytest.raises(UserError, match=r"the split 'val' of .* is empty"):
        open_images(str(tmp_path), "val")
