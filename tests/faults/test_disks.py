"""Full disks, disks that can only be read, and shards that vanish, met by commands in this process."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.faults.commands import Ended, NotHere, call, disk, files_limited, remount
from tests.faults.mishaps import FULL, READ_ONLY, assert_fault
from tests.faults.stages import STAGES, given

QUICK = ("preparation of images", "caching of latents")
LIMIT = 512  # bytes of a file


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return given(tmp_path_factory.mktemp("given"))


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Make a small file system."""
    with contextlib.ExitStack() as stack:

        def mount(size: str) -> Path:
            try:
                return stack.enter_context(disk(tmp_path / "disk", size))
            except NotHere as missing:
                pytest.skip(str(missing))

        yield mount


def give(name: str, made: Path, place: Path) -> Ended:
    """Give the command of a stage in this process."""
    arguments = STAGES[name].arguments(made)
    if name == "preparation of images":
        arguments += ["--processes", "1"]
    place.mkdir(exist_ok=True)
    return call(arguments, place)


def assert_whole(name: str, made: Path, place: Path, tmp_path: Path) -> None:
    """Given again, the command ends as one that nobody disturbed."""
    assert (ended := give(name, made, place)).code == 0, ended.said
    assert (ended := give(name, made, tmp_path / "unbroken")).code == 0, ended.said
    assert STAGES[name].left(place) == STAGES[name].left(tmp_path / "unbroken") != {}


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("name", QUICK)
def test_a_full_disk_is_said_and_room_mends_it(
    name: str, made: Path, mounted: Callable[[str], Path], tmp_path: Path
) -> None:
    place = mounted("40k")
    assert_fault(give(name, made, place), FULL)
    remount(place, "size=10m")
    assert_whole(name, made, place, tmp_path)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("name", QUICK)
def test_a_file_that_may_not_grow_is_said(name: str, made: Path, tmp_path: Path) -> None:
    with files_limited(LIMIT):
        ended = give(name, made, tmp_path / "out")
    assert_fault(ended, ("would be larger than this file system or user may have",))
    assert_whole(name, made, tmp_path / "out", tmp_path)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("name", QUICK)
def test_a_disk_that_can_only_be_read_takes_nothing_and_serves_what_is_whole(
    name: str, made: Path, mounted: Callable[[str], Path], tmp_path: Path
) -> None:
    place = mounted("10m")
    remount(place, "ro")
    assert_fault(give(name, made, place), READ_ONLY)
    remount(place, "rw")
    assert_whole(name, made, place, tmp_path)
    remount(place, "ro")
    assert (ended := give(name, made, place)).code == 0, ended.said


@pytest.mark.usefixtures("unchecked")
def test_a_vanished_shard_is_named_and_back_again_work_goes_on(made: Path, tmp_path: Path) -> None:
    own = tmp_path / "given"
    shutil.copytree(made, own)
    shard = own / "shards" / "images-00001.tar"
    shard.rename(tmp_path / "away")
    for ended in (
        give("caching of latents", own, tmp_path / "out"),
        call(["data", "verify", own / "shards"], tmp_path),
    ):
        assert ended.code in (1, 2), ended.said
        assert not ended.is_a_bug, ended.said
        assert shard.name in ended.said
    assert STAGES["caching of latents"].parts(tmp_path / "out")  # of the shard before
    (tmp_path / "away").rename(shard)
    assert_whole("caching of latents", own, tmp_path / "out", tmp_path)
