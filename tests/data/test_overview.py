"""Counts and contact sheets."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image
from tests.data.pictures import write_folder

from sendvae.data import split_names
from sendvae.data.overview import SHEET_EXAMPLES, THUMBNAIL, describe, write_sheet
from sendvae.data.prepare import Preparation, Recipe
from sendvae.errors import UserError


@pytest.fixture
def prepared(tmp_path: Path) -> str:
    names = [f"train/<b>/{i}.png" for i in range(3)] + ["train/cat/0.png", "val/cat/0.png"]
    write_folder(tmp_path / "source", names)
    table = tmp_path / "t.csv"
    table.write_text("image,red\n" + "".join(f"{name},{int('<b>' in name)}\n" for name in names))
    Preparation(str(tmp_path / "source"), tmp_path / "out", Recipe(8), table=table).run()
    return str(tmp_path / "out")


def test_counts(prepared: str) -> None:
    assert split_names(prepared) == ["train", "val"]
    overview = describe(prepared)
    assert overview.class_names == ["<b>", "cat"]
    train, val = overview.splits["train"], overview.splits["val"]
    assert (train.images, train.per_class, train.sizes) == (4, [3, 1], {(8, 8): 4})
    assert (val.images, val.per_class) == (1, [0, 1])
    assert train.prevalence == {"red": 0.75}
    assert val.prevalence == {"red": 0.0}
    assert train.bytes > 4 * 8 * 8  # random pixels cannot be compressed


def test_sheets(prepared: str, tmp_path: Path) -> None:
    with Image.open(write_sheet(prepared, "train", tmp_path / "new" / "sheet.png")) as sheet:
        assert sheet.width > SHEET_EXAMPLES * THUMBNAIL
        assert 2 * THUMBNAIL < sheet.height < 3 * THUMBNAIL  # a row per class
    page = write_sheet(prepared, "train", tmp_path / "sheet.html").read_text()
    assert page.count("<img") == 4
    assert "&lt;b&gt; (3)" in page
    assert "<b>" not in page
    with pytest.raises(UserError, match="a picture or a page"):
        write_sheet(prepared, "train", tmp_path / "sheet.pdf")


def test_what_is_not_prepared(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no prepared data set"):
        describe(str(tmp_path))


def test_the_embedded_set() -> None:
    assert split_names("embedded:emoji") == ["test", "train", "val"]
    assert sum(part.images for part in describe("embedded:emoji").splits.values()) == 10_944
