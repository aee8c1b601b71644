"""The emoji that ship with the package."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch

from sendvae.data import AttributeTable, EmbeddedImages, decode, open_embedded, to_float, to_uint8
from sendvae.errors import UserError

SPLITS = ("train", "val", "test")
MAX_BYTES = 20_000_000


@pytest.fixture(scope="module")
def sets() -> dict[str, EmbeddedImages]:
    return {split: open_embedded("emoji", split) for split in SPLITS}


def test_sizes(sets: dict[str, EmbeddedImages]) -> None:
    counts = [len(sets[split]) for split in SPLITS]
    assert sum(counts) == 10_944
    np.testing.assert_allclose(np.array(counts) / sum(counts), [0.6, 0.2, 0.2], atol=0.02)
    files = [path for path in sets["train"].folder.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= MAX_BYTES


def test_no_concept_is_in_two_splits(sets: dict[str, EmbeddedImages]) -> None:
    groups = [set(images.attributes.groups) for images in sets.values()]
    assert not (groups[0] & groups[1])
    assert not (groups[0] & groups[2])
    assert not (groups[1] & groups[2])


def test_attributes_have_enough_positives_everywhere(sets: dict[str, EmbeddedImages]) -> None:
    for images in sets.values():
        assert 40 <= len(images.attributes.names) <= 60
        positives = images.attributes.values.sum(0)
        assert positives.min() >= 50
        assert (len(images) - positives).min() >= 50


def test_attributes_belong_to_their_images(sets: dict[str, EmbeddedImages]) -> None:
    """Skin tones are in the keys' code points, makers in their prefix."""
    table = sets["test"].attributes
    column = table.names.index("dark skin")
    assert [("1f3ff" in key) for key in table.keys] == table.values[:, column].tolist()
    maker = table.names.index("by noto")
    assert [key.startswith("noto") for key in table.keys] == table.values[:, maker].tolist()


def test_images_are_decoded_once_and_agree_with_single_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    images = open_embedded("emoji", "test", limit=20)
    alone = images[7]
    assert "pixels" not in vars(images)  # whoever asks for one image does not wait for all
    assert torch.equal(alone.image, decode(images.index.read(7)))
    assert torch.equal(images.batch([3, 7]).images[1], alone.image)
    assert "pixels" in vars(images)
    monkeypatch.setattr("sendvae.data.images.decode", None)
    again = images[7]
    assert torch.equal(again.image, alone.image)
    assert (
        (again.label, again.key)
        == (alone.label, alone.key)
        == (int(images.labels_of([7])[0]), images.keys[7])
    )


def test_shards_match_their_hashes(sets: dict[str, EmbeddedImages]) -> None:
    for shard in sets["train"].index.manifest["shards"]:
        data = (sets["train"].folder / shard["name"]).read_bytes()
        assert hashlib.sha256(data).hexdigest() == shard["sha256"]


def test_licences_name_every_maker(sets: dict[str, EmbeddedImages]) -> None:
    text = "\n".join(sets["train"].licences)
    for word in ("Apache", "CC-BY 4.0", "MIT", "Noto", "Twemoji", "Fluent"):
        assert word in text


def test_unknown_set() -> None:
    with pytest.raises(UserError, match="did you mean 'emoji'"):
        open_embedded("emojis", "train")


def test_float_and_back_is_lossless() -> None:
    values = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16).expand(1, 3, 16, 16)
    assert torch.equal(to_uint8(to_float(values)), values)
    assert to_float(values).min() == -1.0
    assert to_float(values).max() == 1.0
    assert to_uint8(torch.tensor([[[-3.0]], [[0.0]], [[3.0]]])).flatten().tolist() == [0, 128, 255]


def test_attribute_table_round_trip(tmp_path: Path) -> None:
    table = AttributeTable(("a", "b"), ("x", "y", "z"), np.array([[1, 0, 1], [0, 0, 1]], bool), ("g", "h"))
    table.save(tmp_path / "t.json")
    again = AttributeTable.load(tmp_path / "t.json")
    assert (again.keys, again.names, again.groups) == (table.keys, table.names, table.groups)
    assert np.array_equal(again.values, table.values)
    assert np.array_equal(again.rows(["b"]), [[False, False, True]])
    with pytest.raises(UserError, match="without attributes"):
        again.rows(["c"])


def test_splits_share_a_table_that_is_read_once_and_again_when_it_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[Path] = []
    original = Path.read_text
    monkeypatch.setattr(Path, "read_text", lambda path: read.append(path) or original(path))
    path = tmp_path / "t.json"
    for truth in (True, False):
        AttributeTable(("a",), ("x",), np.array([[truth]]), ("g",)).save(path)
        for _ in range(3):
            assert AttributeTable.load(path).rows(["a"]).tolist() == [[truth]]
    assert read == [path, path]
    with pytest.raises(ValueError, match="read-only"):
        AttributeTable.load(path).values[0, 0] = True
    path.unlink()
    with pytest.raises(UserError, match="no attribute table"):
        AttributeTable.load(path)


def test_a_part_of_an_attribute_table_has_its_own_order() -> None:
    values = np.array([[1, 0], [0, 0], [1, 1]], bool)
    whole = AttributeTable(("a", "b", "c"), ("hat", "smile"), values, ("x", "y", "z"))
    part = whole.only(["c", "a"])
    assert (part.keys, part.names, part.groups) == (("c", "a"), ("hat", "smile"), ("z", "x"))
    assert np.array_equal(part.values, [[True, True], [True, False]])
    with pytest.raises(UserError, match="images without attributes"):
        whole.only(["a", "d"])
