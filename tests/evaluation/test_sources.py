from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision.transforms as reference_transforms
from PIL import Image
from tests.evaluation.small import pictures

from sendvae.data import center_crop
from sendvae.errors import UserError
from sendvae.evaluation.gather import batch_ranges
from sendvae.evaluation.sources import lightningdit_crop, open_stream


def write(folder: Path, sizes: list[tuple[int, int]]) -> Path:
    folder.mkdir()
    for i, (width, height) in enumerate(sizes):
        pixels = np.random.default_rng(i).integers(0, 256, (height, width, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{i}.png")
    return folder


def test_adm_crop_of_any_size(tmp_path: Path) -> None:
    folder = write(tmp_path / "f", [(40, 30), (31, 70), (16, 16)])
    stream = open_stream(str(folder), size=16, crop="adm")
    images = torch.cat(list(stream.batches(batch_ranges(3, 2))))
    for i, image in enumerate(images):
        expected = center_crop(Image.open(folder / f"{i}.png"), 16)
        assert np.array_equal(image.permute(1, 2, 0).numpy(), np.array(expected))


def test_lightningdit_crop_is_torchvisions() -> None:
    image = Image.fromarray(pictures(1, size=50)[0]).resize((70, 50))
    theirs = reference_transforms.Compose(
        [
            reference_transforms.ToTensor(),
            reference_transforms.Resize(32),
            reference_transforms.CenterCrop(32),
            reference_transforms.Normalize([0.5] * 3, [0.5] * 3),
        ]
    )
    torch.testing.assert_close(lightningdit_crop(32)(image), theirs(image), rtol=0, atol=1e-6)


def test_mixed_sizes_name_the_image(tmp_path: Path) -> None:
    folder = write(tmp_path / "f", [(16, 16), (16, 16), (16, 20)])
    stream = open_stream(str(folder))
    with pytest.raises(UserError, match=r"differ in size(?s:.*)2.png: 16 x 20"):
        list(stream.batches(batch_ranges(3, 2)))


def test_unreadable_and_absent(tmp_path: Path) -> None:
    folder = write(tmp_path / "f", [(16, 16)])
    (folder / "bad.png").write_bytes(b"not a picture")
    with pytest.raises(UserError, match=r"cannot be read(?s:.*)bad.png"):
        list(open_stream(str(folder)).batches(batch_ranges(2, 2)))
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="no images"):
        open_stream(str(tmp_path / "empty"))
    with pytest.raises(UserError, match="no such file or folder"):
        open_stream(str(tmp_path / "absent"))


def test_digest_is_of_the_content(tmp_path: Path) -> None:
    folder = write(tmp_path / "f", [(16, 16), (16, 16)])
    first = open_stream(str(folder)).digest()
    folder.rename(tmp_path / "elsewhere")
    assert open_stream(str(tmp_path / "elsewhere")).digest() == first
    assert open_stream(str(tmp_path / "elsewhere"), limit=1).digest() != first
    (tmp_path / "elsewhere/1.png").write_bytes((tmp_path / "elsewhere/0.png").read_bytes())
    assert open_stream(str(tmp_path / "elsewhere")).digest() != first


def test_crops_are_part_of_the_content(tmp_path: Path) -> None:
    folder = str(write(tmp_path / "f", [(16, 16), (16, 16)]))
    crops: list[tuple[int | None, str]] = [(None, "none"), (8, "adm"), (12, "adm"), (8, "lightningdit")]
    assert len({open_stream(folder, size=size, crop=crop).digest() for size, crop in crops}) == 4
    assert open_stream(folder, size=8, crop="none").digest() == open_stream(folder).digest()


def test_splits_of_prepared_sets() -> None:
    assert open_stream("embedded:emoji", preferred=("test",)).source == "embedded:emoji"
    assert len(open_stream("embedded:emoji", "val", limit=5)) == 5
    with pytest.raises(UserError, match=r"several splits(?s:.*)test, train, val"):
        open_stream("embedded:emoji")
    stream = open_stream("embedded:emoji", "val", size=32)
    with pytest.raises(UserError, match=r"another size(?s:.*)64 x 64(?s:.*)size=64"):
        list(stream.batches([range(2)]))
