"""Windows of larger images: where they lie, how often, and that position and seed alone decide."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from tests.data.pictures import write_folder

from sendvae.data import CroppedImages, ShardImages, batch_crops, batch_mirrored, open_images
from sendvae.data.crop import center_crop
from sendvae.data.prepare import Preparation, Recipe
from sendvae.errors import UserError


def coordinates(height: int, width: int) -> Image.Image:
    """Red says the row, green the column."""
    rows, columns = np.mgrid[:height, :width].astype(np.uint8)
    return Image.fromarray(np.stack([rows, columns, np.zeros_like(rows)], -1))


@pytest.fixture
def images(tmp_path: Path) -> ShardImages:
    """A wide, a tall and a square image, prepared without a crop."""
    for i, (height, width) in enumerate([(8, 12), (11, 8), (8, 8)]):
        path = tmp_path / f"source/a/{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        coordinates(height, width).save(path)
    Preparation(str(tmp_path / "source"), tmp_path / "out", Recipe(8, crop="short-side")).run()
    opened = open_images(str(tmp_path / "out"), "train")
    assert isinstance(opened, ShardImages)
    return opened


def corners(batch: torch.Tensor) -> list[tuple[int, int]]:
    """Top and left of each window; the rest must follow from them."""
    found = []
    for image in batch:
        top, left = int(image[0, 0, 0]), int(image[1, 0, 0])
        side = torch.arange(image.shape[-1])
        assert torch.equal(image[0].long(), (top + side)[:, None].expand_as(image[0]))
        assert torch.equal(image[1].long(), (left + side).expand_as(image[1]))
        found.append((top, left))
    return found


def test_every_window_inside_is_as_likely(images: ShardImages) -> None:
    count, windows = 2000, CroppedImages(images, 7)
    places = batch_crops(0, count, seed=5)
    for index, (down, right) in enumerate([(2, 6), (5, 2), (2, 2)]):  # places along both sides
        found = np.zeros((down, right))
        for start in range(0, count, 1000):
            part = places[start : start + 1000]
            for top, left in corners(windows.cropped([index] * len(part), part).images):
                found[top, left] += 1  # an IndexError if one were outside
        expected = count / (down * right)
        chi2 = ((found - expected) ** 2 / expected).sum()
        assert chi2 < down * right - 1 + 5 * np.sqrt(2 * (down * right - 1))


def test_central_windows_are_adms_crop(images: ShardImages, tmp_path: Path) -> None:
    windows = CroppedImages(images, 8)
    assert corners(windows.batch([0, 1, 2]).images) == [(0, 2), (1, 0), (0, 0)]
    write_folder(tmp_path / "photos", ["a/x.png", "a/y.png"])
    for crop in ("adm", "short-side"):
        Preparation(str(tmp_path / "photos"), tmp_path / crop, Recipe(9, crop=crop)).run()
    adm, wide = (open_images(str(tmp_path / crop), "train") for crop in ("adm", "short-side"))
    assert isinstance(wide, ShardImages)
    assert tuple(wide[0].image.shape) == (3, 9, 11)  # of 20 x 24
    assert torch.equal(CroppedImages(wide, 9).batch([0, 1]).images, adm.batch([0, 1]).images)
    assert torch.equal(CroppedImages(wide, 9)[1].image, adm[1].image)
    source = Image.open(tmp_path / "photos/a/x.png").convert("RGB")
    assert np.array_equal(adm[0].image.permute(1, 2, 0), np.array(center_crop(source, 9)))


def test_sizes_that_do_not_fit_are_refused(images: ShardImages) -> None:
    with pytest.raises(UserError, match=r"smaller than the crop(?s:.*)a/0: 12 x 8(?s:.*)data\.size=9"):
        CroppedImages(images, 9).batch([0])
    with pytest.raises(UserError, match=r"differ in size(?s:.*)data\.crop=random"):
        images.batch([0, 1])


@given(start=st.integers(0, 10**9), seed=st.integers(0, 1000), world=st.sampled_from([1, 2, 4]))
def test_ranks_share_the_same_places(start: int, seed: int, world: int) -> None:
    whole = batch_crops(start, 8, seed)
    shares = [batch_crops(start, 8, seed, rank=r, world=world) for r in range(world)]
    assert np.array_equal(whole, np.concatenate(shares))
    assert np.array_equal(whole[4:], batch_crops(start + 4, 4, seed))
    assert not np.array_equal(whole, batch_crops(start, 8, seed + 1))
    assert bool(((whole >= 0) & (whole < 2**32)).all())


def test_places_are_independent_of_each_other_and_of_coins() -> None:
    """Within four standard deviations: down and right, one position and the next, and the mirror's coin."""
    count = 100_000
    places, coins = batch_crops(0, count, seed=1), batch_mirrored(0, count, seed=1)
    down, right = (places >> 16) / 65536 - 0.5, (places & 65535) / 65536 - 0.5
    limit = 4 / np.sqrt(count)
    for a, b in (
        (down, right),
        (down[1:], down[:-1]),
        (right[1:], right[:-1]),
        (down, coins),
        (right, coins),
    ):
        assert abs(np.corrcoef(a, b)[0, 1]) < limit
    for bit in range(32):  # the lowest hardly move the place, and tell of a shared stream as well
        assert abs(np.corrcoef(places >> bit & 1, coins)[0, 1]) < limit
    assert abs(down.mean()) < limit
    assert down.var() == pytest.approx(1 / 12, rel=0.02)


def test_an_adm_preparation_keeps_its_identity(tmp_path: Path) -> None:
    """The option has not changed what folders prepared before it are recognised by; its other value has."""
    write_folder(tmp_path / "photos", ["a/x.png"])
    made = {
        crop: Preparation(str(tmp_path / "photos"), tmp_path / crop, Recipe(9, crop=crop)).identity
        for crop in ("adm", "short-side")
    }
    assert made["adm"] == "3bd85cbe80ac0829"  # as computed before there was one
    assert made["adm"] != made["short-side"]
