"""Preparation: pixels, restarts, splits, and what is refused."""

from __future__ import annotations

import fcntl
import io
import json
import os
import random
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.data.pictures import contents, encoded, picture, write_folder
from tests.data.test_crop import by_definition

from sendvae.data import open_images, prepare_shard
from sendvae.data.encode import ENCODINGS, encode_cropped
from sendvae.data.prepare import Preparation, Recipe
from sendvae.data.sources import Columns
from sendvae.errors import UserError

SMALL = Recipe(size=8, shard_size=3)
NAMES = [f"{name}/{i}.png" for name in ("ant", "bee") for i in range(4)]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Eight images and a damaged one."""
    write_folder(tmp_path / "source", NAMES)
    (tmp_path / "source" / "ant" / "9.jpg").write_bytes(encoded(0, "JPEG")[:200])
    return tmp_path / "source"


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_prepared_images_are_the_adm_crop(source: Path, tmp_path: Path, encoding: str) -> None:
    manifest = Preparation(str(source), tmp_path / "out", Recipe(8, encoding, 3)).run()
    images = open_images(str(tmp_path / "out"), "train")
    assert images.class_names == ("ant", "bee")
    assert images.keys == [name.removesuffix(".png") for name in NAMES]
    batch = images.batch(range(8))
    assert batch.labels.tolist() == [0] * 4 + [1] * 4
    for seed in range(8):
        expected = by_definition(picture(seed), 8)
        assert np.array_equal(batch.images[seed].permute(1, 2, 0).numpy(), expected)
    assert manifest["class_counts"] == {"train": [4, 4]}
    assert (manifest["samples"], manifest["skipped"], manifest["encoding"]) == (8, 1, encoding)
    (skipped,) = (tmp_path / "out" / "skipped.jsonl").read_text().splitlines()
    assert json.loads(skipped)["image"] == "ant/9.jpg"
    assert "OSError" in json.loads(skipped)["reason"]


def test_shards_are_tars_that_others_read(source: Path, tmp_path: Path) -> None:
    Preparation(str(source), tmp_path / "out", SMALL).run()
    names = []
    for shard in sorted((tmp_path / "out").glob("*.tar")):
        with tarfile.open(shard) as tar:
            names += tar.getnames()
    assert names == [name.replace(".png", ".webp") for name in NAMES]


def test_long_and_foreign_names(tmp_path: Path) -> None:
    long = f"{'x' * 200}/{'ü' * 80}.png"
    write_folder(tmp_path / "source", [long])
    Preparation(str(tmp_path / "source"), tmp_path / "out", SMALL).run()
    images = open_images(str(tmp_path / "out"), "train")
    assert images.keys == [long.removesuffix(".png")]
    assert images[0].image.shape == (3, 8, 8)


def test_stopped_anywhere_it_ends_with_the_same_bytes(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Preparation(str(source), tmp_path / "whole", SMALL).run()
    expected = contents(tmp_path / "whole")
    original = encode_cropped
    for stop in range(9):
        calls = iter(range(100))

        def failing(*arguments: object, calls=calls, stop=stop) -> bytes:
            if next(calls) == stop:
                raise KeyboardInterrupt
            return original(*arguments)  # pyrefly: ignore

        folder = tmp_path / f"stopped-{stop}"
        with monkeypatch.context() as patched:
            patched.setattr(prepare_shard, "encode_cropped", failing)
            with pytest.raises(KeyboardInterrupt):
                Preparation(str(source), folder, SMALL).run()
        assert not (folder / "manifest.json").exists()
        again = Preparation(str(source), folder, SMALL)
        assert again.done == stop // 3 * 3
        again.run()
        assert contents(folder) == expected


def test_a_shard_that_vanished_is_made_again(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where none of a shard's images was good, and there is no file to vanish."""
    for i in range(3):
        (source / "bee" / f"z{i}.png").write_bytes(b"no image")
    Preparation(str(source), tmp_path / "whole", SMALL).run()
    folder = tmp_path / "out"

    def killed(_: Preparation) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Preparation, "_finish", killed)
        with pytest.raises(KeyboardInterrupt):
            Preparation(str(source), folder, SMALL).run()
    assert Preparation(str(source), folder, SMALL).done == 12
    (folder / "images-00001.tar").unlink()
    again = Preparation(str(source), folder, SMALL)
    assert again.done == 9
    again.run()
    assert contents(folder) == contents(tmp_path / "whole")


def test_a_finished_folder_is_left_alone(source: Path, tmp_path: Path) -> None:
    first = Preparation(str(source), tmp_path / "out", SMALL).run()
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()}
    again = Preparation(str(source), tmp_path / "out", SMALL)
    assert again.done == again.total == 9
    assert again.run() == first
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()} == before


def test_a_folder_of_something_else_is_refused(source: Path, tmp_path: Path) -> None:
    Preparation(str(source), tmp_path / "out", SMALL).run()
    before = contents(tmp_path / "out")
    with pytest.raises(UserError, match="prepared differently"):
        Preparation(str(source), tmp_path / "out", Recipe(size=4, shard_size=3)).run()
    (source / "bee" / "new.png").write_bytes(encoded(77))
    with pytest.raises(UserError, match="holds other images"):
        Preparation(str(source), tmp_path / "out", SMALL).run()
    assert contents(tmp_path / "out") == before
    with pytest.raises(UserError, match="is prepared already"):
        Preparation(str(tmp_path / "out"), tmp_path / "twice", SMALL)


def test_two_at_once_are_refused(source: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    handle = os.open(tmp_path / "out", os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)
    try:
        with pytest.raises(UserError, match="another process is preparing"):
            Preparation(str(source), tmp_path / "out", SMALL).run()
    finally:
        os.close(handle)


def test_no_readable_image(tmp_path: Path) -> None:
    write_folder(tmp_path / "source", ["a.png"])
    (tmp_path / "source" / "a.png").write_bytes(b"no image")
    with pytest.raises(UserError, match="no image could be read"):
        Preparation(str(tmp_path / "source"), tmp_path / "out", SMALL).run()
    assert not (tmp_path / "out" / "manifest.json").exists()


def test_where_every_image_is_too_small_another_attempt_may_be_made(tmp_path: Path) -> None:
    write_folder(tmp_path / "source", ["a.png", "b.png"])
    with pytest.raises(UserError, match="every image is smaller than 32 pixels") as refused:
        Preparation(str(tmp_path / "source"), tmp_path / "out", Recipe(32)).run()
    assert str(refused.value.next_step).startswith("--allow-enlarging")
    again = Preparation(str(tmp_path / "source"), tmp_path / "out", Recipe(32, allow_enlarging=True)).run()
    assert (again["samples"], again["skipped"], again["too_small"]) == (2, 0, 0)
    write_folder(tmp_path / "more", ["a.png"])
    picture(5, 40, 50).save(tmp_path / "more" / "large.png")
    assert Preparation(str(tmp_path / "more"), tmp_path / "some", Recipe(32)).run()["too_small"] == 1


def test_splits_of_folders_and_by_fraction(tmp_path: Path) -> None:
    write_folder(tmp_path / "split", ["train/a/1.png", "validation/a/1.png", "test/b/1.png"])
    manifest = Preparation(str(tmp_path / "split"), tmp_path / "out", SMALL).run()
    assert manifest["splits"] == {"test": 1, "train": 1, "val": 1}
    assert open_images(str(tmp_path / "out"), "test")[0].label == 1
    with pytest.raises(UserError, match="has a split 'val' already"):
        Preparation(str(tmp_path / "split"), tmp_path / "x", Recipe(8, val_fraction=0.5))

    write_folder(tmp_path / "flat", [f"{i}.png" for i in range(400)])
    splits = [
        {item.key: item.split for item in Preparation(str(tmp_path / "flat"), tmp_path / "x", recipe).items}
        for recipe in (Recipe(8, val_fraction=0.25), Recipe(8, val_fraction=0.5))
    ]
    held_out = [{key for key, split in by_key.items() if split == "val"} for by_key in splits]
    assert 57 < len(held_out[0]) < 143 < len(held_out[1]) < 257  # five standard deviations at least
    assert held_out[0] < held_out[1]  # an image does not change sides because others do


def test_attributes_and_columns_of_a_table(source: Path, tmp_path: Path) -> None:
    lines = [f"{name},{i % 2},{'val' if i > 5 else 'train'},{int(i < 3)}" for i, name in enumerate(NAMES)]
    table = tmp_path / "t.csv"
    table.write_text("\n".join(["image,parity,part,low", *lines, "ant/9.jpg,0,train,0"]) + "\n")
    columns = Columns(label="parity", split="part")
    Preparation(str(source), tmp_path / "out", SMALL, columns, table).run()
    train = open_images(str(tmp_path / "out"), "train")
    assert len(train) == 6
    assert train.labels_of(range(6)).tolist() == [0, 1, 0, 1, 0, 1]
    assert train.attributes.names == ("low",)
    assert train.attributes.values[:, 0].tolist() == [True] * 3 + [False] * 3
    table.write_text("image,low\nant/0.png,1\n")
    with pytest.raises(UserError, match="has no row for an image"):
        Preparation(str(source), tmp_path / "other", SMALL, table=table).run()


def test_bombs_are_skipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_folder(tmp_path / "source", ["a.png"])
    Image.new("L", (2000, 1)).save(tmp_path / "source" / "long.png")
    Image.new("L", (100, 100)).save(tmp_path / "source" / "wide.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 4000)
    Preparation(str(tmp_path / "source"), tmp_path / "out", SMALL).run()
    skipped = dict(
        json.loads(line).values() for line in (tmp_path / "out" / "skipped.jsonl").read_text().splitlines()
    )
    assert set(skipped) == {"long.png", "wide.png"}
    assert "elongated" in skipped["long.png"]
    assert "DecompressionBombError" in skipped["wide.png"]


def test_no_metadata_is_carried_over() -> None:
    image, buffer = picture(0), io.BytesIO()
    image.save(buffer, "PNG", icc_profile=b"profile" * 50)
    assert encode_cropped(buffer.getvalue(), 8, "png").data == encode_cropped(encoded(0), 8, "png").data


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "CMYK", "1", "LA", "I;16"])
def test_other_colour_modes_become_rgb(mode: str) -> None:
    image, buffer = picture(3).convert("L" if mode == "I;16" else mode), io.BytesIO()
    image.convert(mode).save(buffer, "TIFF")
    with Image.open(io.BytesIO(encode_cropped(buffer.getvalue(), 8, "png").data)) as cropped:
        expected = by_definition(image.convert("RGB"), 8)
        assert mode == "I;16" or np.array_equal(np.array(cropped), expected)


def test_two_processes_give_the_same_bytes(source: Path, tmp_path: Path) -> None:
    seen = []
    for processes in (1, 2):
        Preparation(str(source), tmp_path / str(processes), SMALL).run(seen.append, processes)
    assert sum(seen) == 18
    assert contents(tmp_path / "1") == contents(tmp_path / "2")


@pytest.mark.slow
def test_killed_at_random_times(tmp_path: Path) -> None:
    """SIGKILL to the parent; its workers end with it, and the same command goes on."""
    write_folder(tmp_path / "source", [f"{i % 3}/{i}.png" for i in range(600)])
    command = [sys.executable, "-c", "from sendvae.cli.main import main; main()", "data", "prepare"]
    options = [
        "--size",
        "64",
        "--allow-enlarging",
        "--shard-size",
        "20",
        "--processes",
        "2",
        "--encoding",
        "png",
    ]
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    subprocess.run([*command, tmp_path / "source", whole, *options], check=True, capture_output=True)
    times, kills = random.Random(0), 0
    while not (killed / "manifest.json").exists():
        running = subprocess.Popen(
            [*command, tmp_path / "source", killed, *options], stderr=subprocess.DEVNULL
        )
        deadline = time.monotonic() + 60
        before = len(list(killed.glob("*.tar")))
        while running.poll() is None and time.monotonic() < deadline:
            if len(list(killed.glob("*.tar"))) > before:
                time.sleep(times.uniform(0, 0.2))
                break
            time.sleep(0.005)
        running.send_signal(signal.SIGKILL)
        kills += running.wait() == -signal.SIGKILL
    subprocess.run([*command, tmp_path / "source", killed, *options], check=True, capture_output=True)
    assert kills > 1
    assert contents(killed) == contents(whole)


def test_what_was_done_to_images_is_listed_and_counted(tmp_path: Path) -> None:
    source = tmp_path / "source"
    write_folder(source, ["a.png", "b.png"])
    Image.new("RGBA", (20, 20), (0, 0, 0, 0)).save(source / "clear.png")
    Image.new("RGB", (30, 7)).save(source / "small.png")
    for name in ("notes.txt", "more.TXT", "README"):
        (source / name).write_text("no image")
    refused = Preparation(str(source), tmp_path / "out", Recipe(8, background=(7, 8, 9))).run()
    assert (refused["samples"], refused["skipped"]) == (3, 1)
    assert refused["changed"] == {"transparent parts filled with the background": 1}
    assert refused["other_files"] == {"": 1, ".txt": 2}
    lines = [json.loads(line) for line in (tmp_path / "out" / "skipped.jsonl").read_text().splitlines()]
    assert {"image": "small.png", "reason": "smaller than 8 pixels: 30 x 7"} in lines
    assert {"image": "clear.png", "changed": "transparent parts filled with the background"} in lines
    assert {"extension": ".txt", "files": 2} in lines
    images = open_images(str(tmp_path / "out"), "train")
    clear = images[images.keys.index("clear")].image
    assert clear[:, 0, 0].tolist() == [7, 8, 9]
    taken = Preparation(str(source), tmp_path / "all", Recipe(8, allow_enlarging=True)).run()
    assert (taken["samples"], taken["skipped"], taken["changed"]["enlarged"]) == (4, 0, 1)


def test_a_folder_with_other_files_is_refused(source: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").write_text("mine")
    with pytest.raises(UserError, match="holds other files"):
        Preparation(str(source), tmp_path / "out", SMALL)
    with pytest.raises(UserError, match="the target is a file"):
        Preparation(str(source), tmp_path / "out" / "thesis.tex", SMALL)
    for target in (source, source / "prepared", tmp_path):
        with pytest.raises(UserError, match="lie in each other"):
            Preparation(str(source), target, SMALL)
    assert contents(tmp_path / "out").keys() == {"thesis.tex"}


def test_val_and_test_by_fractions(tmp_path: Path) -> None:
    write_folder(tmp_path / "flat", [f"{i}.png" for i in range(400)])
    both, val = (
        {item.key: item.split for item in Preparation(str(tmp_path / "flat"), tmp_path / "x", recipe).items}
        for recipe in (Recipe(8, val_fraction=0.25, test_fraction=0.25), Recipe(8, val_fraction=0.25))
    )
    assert {key for key in both if both[key] == "val"} == {key for key in val if val[key] == "val"}
    assert 57 < sum(split == "test" for split in both.values()) < 143
    with pytest.raises(UserError, match="nothing is left"):
        Preparation(str(tmp_path / "flat"), tmp_path / "x", Recipe(8, val_fraction=0.5, test_fraction=0.5))


def test_two_rows_of_one_image_are_refused(source: Path, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("image,low\nant/0.png,1\nant/0.png,0\n")
    with pytest.raises(UserError, match="several rows for an image"):
        Preparation(str(source), tmp_path / "out", SMALL, table=tmp_path / "t.csv")


def test_members_whose_names_are_not_utf8(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w", format=tarfile.GNU_FORMAT) as tar:
        for name in (b"a/1.png", b"\xe9t\xe9/\xff.png"):
            member = tarfile.TarInfo(name.decode(errors="surrogateescape"))
            member.size = len(encoded(7))
            tar.addfile(member, io.BytesIO(encoded(7)))
    Preparation(str(tmp_path / "a.tar"), tmp_path / "out", Recipe(8)).run()
    images = open_images(str(tmp_path / "out"), "train")
    assert images.keys == ["a/1", r"\xe9t\xe9/\xff"]
    assert images.class_names == (r"\xe9t\xe9", "a")
    assert images.batch(range(2)).images.shape == (2, 3, 8, 8)


def test_a_share_without_images_is_refused(source: Path, tmp_path: Path) -> None:
    for name in ("val", "test"):
        with pytest.raises(UserError, match=f"the split '{name}' would be empty"):
            Preparation(str(source), tmp_path / "out", Recipe(8, **{f"{name}_fraction": 1e-6}))  # pyrefly: ignore
