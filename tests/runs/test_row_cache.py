"""Rows computed once: shared by data sets, commands and processes, mended where damaged."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from sendvae.errors import UserError
from sendvae.runs import CacheKey, RowCache, locked
from sendvae.runs.caches import list_caches

COUNT, SHARD, BATCH = 10, 4, 3  # neither the last batch of a shard nor the last shard is full


def cache_of(folder: Path, images: str = "first", count: int = COUNT, flip: bool = False) -> RowCache:
    fields: dict[str, tuple[int, ...]] = {"x": (2,)}
    if flip:
        fields["x_flip"] = (2,)
    key = CacheKey("tokens", "test", f"data/{images}", {"images": images, "flip": flip})
    return RowCache(folder, key, fields, count, torch.float16, SHARD)


class Computation:
    """Rows that tell their data set and position, and a record of which were asked for."""

    def __init__(self, offset: float = 0.0, flip: bool = False) -> None:
        self.offset, self.flip = offset, flip
        self.asked: list[list[int]] = []

    def __call__(self, positions: np.ndarray) -> dict[str, Tensor]:
        self.asked.append(positions.tolist())
        values = torch.from_numpy(positions).float()[:, None] + torch.tensor([self.offset, -0.5])
        return {"x": values, "x_flip": -values} if self.flip else {"x": values}


def expected(offset: float = 0.0) -> list[list[float]]:
    return [[i + offset, i - 0.5] for i in range(COUNT)]


def test_rows_are_computed_once_in_order_and_in_batches_within_shards(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    compute = Computation()
    found = cache_of(tmp_path).filled(compute, BATCH, "things")
    assert found.fields["x"].tolist() == expected()
    assert found.fields["x"].dtype == torch.float16
    assert compute.asked == [[0, 1, 2], [3], [4, 5, 6], [7], [8, 9]]
    assert f"things: {COUNT * 2 * 2} B to write into {tmp_path}" in capsys.readouterr().err
    again = Computation()
    assert cache_of(tmp_path).filled(again, BATCH, "things").fields["x"].tolist() == expected()
    assert again.asked == []
    assert capsys.readouterr().err == ""
    assert [path.name for path in tmp_path.iterdir()] == [cache_of(tmp_path).key.name]  # no lock is left


def test_a_second_data_set_and_flips_have_their_own_folders(tmp_path: Path) -> None:
    caches = [cache_of(tmp_path), cache_of(tmp_path, "second"), cache_of(tmp_path, flip=True)]
    computations = [Computation(), Computation(100.0), Computation(flip=True)]
    for cache, compute in zip(caches, computations, strict=True):
        cache.filled(compute, BATCH, "things")
    for cache, offset in zip(caches, (0.0, 100.0, 0.0), strict=True):
        never = Computation()
        assert cache.filled(never, BATCH, "things").fields["x"].tolist() == expected(offset)
        assert never.asked == []
    assert len(list_caches(tmp_path)) == 3
    mirrored = caches[2].filled(Computation(), BATCH, "things")
    assert mirrored.batch(np.array([7]), np.array([True]))["x"].tolist() == [[-7.0, -6.5]]


def test_what_is_damaged_is_computed_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = cache_of(tmp_path).folder
    cache_of(tmp_path).filled(Computation(), BATCH, "things")
    whole = {path.name: path.read_bytes() for path in folder.iterdir()}
    capsys.readouterr()

    def mended(asked: list[list[int]], message: str) -> None:
        compute = Computation()
        found = cache_of(tmp_path).filled(compute, BATCH, "things")
        assert found.fields["x"].tolist() == expected()
        assert compute.asked == asked
        assert message in capsys.readouterr().err
        assert {path.name: path.read_bytes() for path in folder.iterdir()} == whole

    second = folder / "shard-00001.safetensors"
    second.write_bytes(second.read_bytes()[:-3])
    mended([[4, 5, 6], [7]], "shard-00001.safetensors is damaged")
    second.unlink()
    mended([[4, 5, 6], [7]], "2 of 3 shards are there")
    (folder / "cache.json").write_text('{"count": ')
    mended([[0, 1, 2], [3], [4, 5, 6], [7], [8, 9]], "is computed again")
    (folder / "cache.json").unlink()
    (folder / "shard-00000.safetensors.part").write_bytes(b"killed while writing")
    second.unlink()
    mended([[4, 5, 6], [7]], "to write into")


def test_wrong_numbers_of_rows_are_refused(tmp_path: Path) -> None:
    cache = cache_of(tmp_path)
    cache.filled(Computation(), BATCH, "things")
    compute = Computation()
    with pytest.raises(UserError, match=r"wrong number of rows(?s:.*)10(?s:.*)9(?s:.*)cache prune"):
        RowCache(tmp_path, cache.key, cache.fields, 9, cache.dtype, SHARD).filled(compute, BATCH, "things")
    last, first = (cache.folder / f"shard-0000{number}.safetensors" for number in (2, 0))
    shutil.copy(last, first)
    with pytest.raises(UserError, match="2 in shard-00000"):
        cache.filled(compute, BATCH, "things")
    assert compute.asked == []


def test_what_does_not_fit_is_refused_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = cache_of(tmp_path / "cache")
    compute = Computation()
    assert cache.missing_bytes() == 40
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**9, 10**9, 39))
        with pytest.raises(UserError, match=r"things do not fit(?s:.*)39 B free(?s:.*)40 B"):
            cache.filled(compute, BATCH, "things")
        assert compute.asked == []
        assert list_caches(tmp_path / "cache") == []
    cache.filled(compute, BATCH, "things")
    (cache.folder / "shard-00001.safetensors").unlink()
    assert cache.missing_bytes() == 16
    (cache.folder / "shard-00002.safetensors").write_bytes(b"")
    assert cache.missing_bytes() == 24
    (cache.folder / "cache.json").write_text("")
    assert cache.missing_bytes() == 40


def test_a_whole_cache_is_read_without_writing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache_of(tmp_path).filled(Computation(), BATCH, "things")

    def refuse(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "utime", refuse)
    monkeypatch.setattr("sendvae.runs.row_cache.locked", refuse)
    assert len(cache_of(tmp_path).filled(Computation(), BATCH, "things")) == COUNT


def test_using_a_cache_is_noted(tmp_path: Path) -> None:
    cache = cache_of(tmp_path)
    cache.filled(Computation(), BATCH, "things")
    for path in cache.folder.iterdir():
        os.utime(path, (0, 0))
    cache.filled(Computation(), BATCH, "things")
    (found,) = list_caches(tmp_path)
    assert time.time() - found.used < 60


WRITER = """
import sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from test_row_cache import BATCH, Computation, cache_of
folder, record = Path(sys.argv[2]), Path(sys.argv[3])
class Slow(Computation):
    def __call__(self, positions):
        time.sleep(0.3)
        with record.open("a") as file:
            file.write(" ".join(map(str, positions.tolist())) + "\\n")
        return super().__call__(positions)
print(cache_of(folder).filled(Slow(), BATCH, "things").fields["x"].tolist())
"""


def start_writer(folder: Path, record: Path) -> subprocess.Popen[str]:
    arguments = [str(Path(__file__).parent), str(folder), str(record)]
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def test_of_two_commands_that_write_a_cache_one_waits_and_uses_it(tmp_path: Path) -> None:
    folder, record = tmp_path / "cache", tmp_path / "record"
    writers = [start_writer(folder, record) for _ in range(2)]
    outputs = [writer.communicate(timeout=120) for writer in writers]
    assert [writer.returncode for writer in writers] == [0, 0], outputs
    assert {output for output, _ in outputs} == {f"{expected()}\n"}
    computed = [int(word) for line in record.read_text().splitlines() for word in line.split()]
    assert sorted(computed) == list(range(COUNT))  # each row once


def test_a_waiting_command_says_so_and_goes_on_when_the_other_dies(tmp_path: Path) -> None:
    folder, record = tmp_path / "cache", tmp_path / "record"
    with locked(cache_of(folder).folder):
        writer = start_writer(folder, record)
        assert writer.stderr is not None
        assert "waiting for it" in writer.stderr.readline()
        assert not record.exists()
    output, _ = writer.communicate(timeout=120)
    assert output == f"{expected()}\n"
