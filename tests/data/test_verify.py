"""Shards against their hashes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from tests.data.pictures import write_folder

from sendvae.data import open_images
from sendvae.data.prepare import Preparation, Recipe
from sendvae.data.verify import check, verify
from sendvae.errors import UserError


@pytest.fixture
def prepared(tmp_path: Path) -> Path:
    write_folder(tmp_path / "source", [f"{name}/{i}.png" for name in ("ant", "bee") for i in range(4)])
    Preparation(str(tmp_path / "source"), tmp_path / "out", Recipe(8, "png", shard_size=3)).run()
    return tmp_path / "out"


def change(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 255
    path.write_bytes(bytes(data))


def test_what_was_written_is_whole(prepared: Path) -> None:
    assert check(str(prepared)) == (3, 8, [])
    assert verify("embedded:emoji").findings == []


def test_one_changed_byte_is_found_and_its_image_named(prepared: Path) -> None:
    index = open_images(str(prepared), "train").index  # pyrefly: ignore
    place = index.keys.index("bee/0")
    change(prepared / "images-00001.tar", int(index.offsets[place] + index.sizes[place] // 2))
    (finding,) = verify(str(prepared)).findings
    assert finding.startswith("images-00001.tar: its SHA-256 is another")
    assert "1 of its 3 images cannot be read: bee/0" in finding
    with pytest.raises(UserError, match="is damaged"):
        check(str(prepared))


def test_a_changed_header_spares_the_images(prepared: Path) -> None:
    change(prepared / "images-00000.tar", 3)
    (finding,) = verify(str(prepared)).findings
    assert "all of its 3 images can be decoded" in finding


def test_shards_that_are_short_or_missing(prepared: Path) -> None:
    shard = prepared / "images-00000.tar"
    shard.write_bytes(shard.read_bytes()[:700])
    (prepared / "images-00002.tar").unlink()
    short, missing = verify(str(prepared)).findings
    assert "images-00000.tar: it has 700 bytes, not" in short
    assert "3 of its 3 images cannot be read: ant/0, ant/1, ant/2" in short
    assert "images-00002.tar: it is missing; 2 of its 2 images" in missing


@pytest.mark.parametrize(("column", "value"), [("label", 2), ("label", -1), ("shard", 3), ("split", 1)])
def test_rows_beyond_the_manifest_are_refused(prepared: Path, column: str, value: int) -> None:
    with np.load(prepared / "index.npz") as arrays:
        index = dict(arrays)
    index[column] = index[column].astype(np.int64)
    index[column][4] = value
    np.savez(prepared / "index.npz", **index)
    with pytest.raises(UserError, match=rf"{column} {value} of bee/0"):
        open_images(str(prepared), "train")


def test_another_count_than_the_manifests(prepared: Path) -> None:
    path = prepared / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["splits"]["train"] = 9
    path.write_text(json.dumps(manifest))
    assert verify(str(prepared)).findings == ["split 'train': the index has 8 images, the manifest 9"]
