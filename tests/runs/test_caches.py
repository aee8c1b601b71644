"""Names of caches, what is listed, and what may be removed."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from sendvae.data import LatentCacheWriter
from sendvae.errors import UserError
from sendvae.runs import CacheKey, check_space, list_caches, load_statistics, locked, save_statistics
from sendvae.runs.caches import in_units, is_cache, remove

KEY = CacheKey("tokens", "tiny 4/train", "data/a", {"images": "train abc", "grid": 4})


def write_rows(cache: Path, key: CacheKey = KEY, count: int = 3) -> Path:
    folder = cache / key.name
    description = key.description()
    with LatentCacheWriter(
        folder, {"x": (2,)}, 3, key.fingerprint, shard_size=2, description=description
    ) as writer:
        writer.append({"x": torch.ones(count, 2)})
    return folder


@pytest.mark.parametrize(
    "change", [{"kind": "latents"}, {"content": {"images": "train abc", "grid": 8}}, {"content": {}}]
)
def test_the_name_is_of_the_content(change: dict[str, Any]) -> None:
    fields = {"kind": KEY.kind, "label": KEY.label, "data": KEY.data, "content": KEY.content}
    assert re.fullmatch(r"tokens-tiny-4-train-[0-9a-f]{16}", KEY.name)
    other = CacheKey(**{**fields, **change})
    assert other.fingerprint != KEY.fingerprint
    assert other.name[-16:] != KEY.name[-16:]
    assert CacheKey(**{**fields, "data": "elsewhere"}).name == KEY.name  # wherever the images lie
    swapped = dict(reversed(KEY.content.items()))
    assert CacheKey(**{**fields, "content": swapped}).name == KEY.name


def test_statistics_come_back_and_are_of_their_key(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert load_statistics(tmp_path, KEY) is None
    save_statistics(tmp_path, KEY, {"mean": torch.arange(4.0)})
    found = load_statistics(tmp_path, KEY)
    assert found is not None
    assert found["mean"].tolist() == [0, 1, 2, 3]
    other = CacheKey("tokens", KEY.label, KEY.data, {"images": "train abd", "grid": 4})
    assert load_statistics(tmp_path, other) is None
    assert capsys.readouterr().err == ""
    for name in ("cache.json", "statistics.safetensors"):
        save_statistics(tmp_path, KEY, {"mean": torch.arange(4.0)})
        path = tmp_path / KEY.name / name
        path.write_bytes(path.read_bytes()[:20])
        assert load_statistics(tmp_path, KEY) is None
        assert f"{KEY.name} is damaged" in capsys.readouterr().err
    save_statistics(tmp_path, KEY, {"mean": torch.arange(4.0)})
    shutil.copytree(tmp_path / KEY.name, tmp_path / other.name)
    with pytest.raises(UserError, match="something else"):
        load_statistics(tmp_path, other)


def test_the_list_says_what_and_how_large_and_in_which_state(tmp_path: Path) -> None:
    assert list_caches(tmp_path / "absent") == []
    rows = write_rows(tmp_path)
    begun = write_rows(tmp_path, CacheKey("latents", "f8d4-train", "data/b", {"a": 1}), count=2)
    stats = CacheKey("reference", "inception", "data/c", {"a": 1})
    save_statistics(tmp_path, stats, {"mean": torch.zeros(3)})
    broken = write_rows(tmp_path, CacheKey("tokens", "broken", "data/d", {"a": 1}))
    (broken / "shard-00000.safetensors").write_bytes(b"short")
    unread = write_rows(tmp_path, CacheKey("tokens", "unread", "data/e", {"a": 1}))
    (unread / "cache.json").write_text("{")
    os.utime(rows / "cache.json", (2e9, 2e9))
    found = {one.path.name: one for one in list_caches(tmp_path)}
    assert set(found) == {path.name for path in (rows, begun, broken, unread)} | {stats.name}
    first = found[rows.name]
    assert (first.what, first.data, first.state) == ("tokens: tiny 4/train", "data/a", "whole")
    assert first.size == sum(file.stat().st_size for file in rows.iterdir())
    assert first.used == 2e9
    assert found[begun.name].state == "1 of 2 shards"
    assert found[stats.name].state == "whole"
    assert found[broken.name].state == found[unread.name].state == "damaged"


def test_nothing_is_a_cache_but_our_own(tmp_path: Path) -> None:
    ours = write_rows(tmp_path / "cache")
    folder = ours.parent
    named = folder / "tokens-mine-0123456789abcdef"
    named.mkdir()
    (named / "notes.txt").write_text("precious")
    mixed = folder / "tokens-mixed-0123456789abcdef"
    shutil.copytree(ours, mixed)
    (mixed / "notes.txt").write_text("precious")
    deep = folder / "tokens-deep-0123456789abcdef"
    shutil.copytree(ours, deep)
    (deep / "shard-00009.safetensors").mkdir()
    unnamed = folder / "run"
    shutil.copytree(ours, unnamed)
    outside = tmp_path / "tokens-outside-0123456789abcdef"
    shutil.copytree(ours, outside)
    (folder / "tokens-link-0123456789abcdef").symlink_to(outside)
    (folder / "tokens-file-0123456789abcdef").write_text("precious")
    assert [one.path for one in list_caches(folder)] == [ours]
    for path in folder.iterdir():
        assert is_cache(path) == (path == ours)
        if path != ours:
            with pytest.raises(ValueError, match="no cache"):
                remove(path)
    before = set(folder.iterdir())
    assert remove(ours)
    assert set(folder.iterdir()) == before - {ours}  # and no lock file is left
    assert (outside / "cache.json").is_file()


def test_a_cache_that_is_being_written_is_not_removed(tmp_path: Path) -> None:
    folder = write_rows(tmp_path)
    with locked(folder):
        assert not remove(folder)
        assert folder.is_dir()
    assert remove(folder)


def test_room_is_compared_with_what_is_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = []

    def usage(path: Path) -> shutil._ntuple_diskusage:
        asked.append(path)
        return shutil._ntuple_diskusage(10**12, 10**12 - 5 * 10**9, 5 * 10**9)

    monkeypatch.setattr(shutil, "disk_usage", usage)
    check_space(tmp_path / "not/yet", 4_900_000_000, "tokens")
    assert "tokens: 4.9 GB to write into" in capsys.readouterr().err
    assert asked == [tmp_path]
    with pytest.raises(
        UserError, match=r"do not fit(?s:.*)5\.0 GB free(?s:.*)504 GB(?s:.*)data\.tokens=online"
    ):
        check_space(tmp_path, 504 * 10**9, "tokens")
    check_space(tmp_path, 0, "nothing")
    assert "nothing" not in capsys.readouterr().err


def test_units() -> None:
    assert [in_units(n) for n in (0, 999, 1000, 84_600_000, 503_843_000_000, 2.5e12)] == [
        "0 B", "999 B", "1.0 kB", "84.6 MB", "504 GB", "2.5 TB",
    ]  # fmt: skip
