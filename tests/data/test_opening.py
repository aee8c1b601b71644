from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision.transforms as reference_transforms
from PIL import Image
from tests.evaluation.small import pictures

from sendvae.data import (
    AttributeOptions,
    ImageSet,
    TensorImages,
    center_crop,
    open_embedded,
    open_held_out,
    open_images,
    open_splits,
)
from sendvae.data.crop import lightningdit_crop
from sendvae.errors import UserError


def write(folder: Path, sizes: list[tuple[int, int]]) -> Path:
    folder.mkdir()
    for i, (width, height) in enumerate(sizes):
        pixels = np.random.default_rng(i).integers(0, 256, (height, width, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{i}.png")
    return folder


def read(images: ImageSet) -> torch.Tensor:
    """All of them, two at a time."""
    starts = range(0, len(images), 2)
    return torch.cat([images.batch(range(i, min(i + 2, len(images)))).images for i in starts])


def test_adm_crop_of_any_size(tmp_path: Path) -> None:
    folder = write(tmp_path / "f", [(40, 30), (31, 70), (16, 16)])
    images = read(open_images(str(folder), size=16, crop="adm"))
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
    with pytest.raises(UserError, match=r"differ in size(?s:.*)2.png: 16 x 20"):
        read(open_images(str(folder)))


def test_unreadable_and_absent(tmp_path: Path) -> None:
    folder = write(tmp_path / "f", [(16, 16)])
    (folder / "bad.png").write_bytes(b"not a picture")
    with pytest.raises(UserError, match=r"cannot be read(?s:.*)bad.png"):
        read(open_images(str(folder)))
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="no images"):
        open_images(str(tmp_path / "empty"))
    with pytest.raises(UserError, match="no such file or folder"):
        open_images(str(tmp_path / "absent"))


def test_digest_is_of_the_content(tmp_path: Path) -> None:
    folder = write(tmp_path / "f", [(16, 16), (16, 16)])
    first = open_images(str(folder)).fingerprint
    folder.rename(tmp_path / "elsewhere")
    assert open_images(str(tmp_path / "elsewhere")).fingerprint == first
    assert open_images(str(tmp_path / "elsewhere"), limit=1).fingerprint != first
    (tmp_path / "elsewhere/1.png").write_bytes((tmp_path / "elsewhere/0.png").read_bytes())
    assert open_images(str(tmp_path / "elsewhere")).fingerprint != first


def test_crops_are_part_of_the_content(tmp_path: Path) -> None:
    folder = str(write(tmp_path / "f", [(16, 16), (16, 16)]))
    crops: list[tuple[int | None, str]] = [(None, "none"), (8, "adm"), (12, "adm"), (8, "lightningdit")]
    assert len({open_images(folder, size=size, crop=crop).fingerprint for size, crop in crops}) == 4
    assert open_images(folder, size=8, crop="none").fingerprint == open_images(folder).fingerprint


def test_splits_of_prepared_sets() -> None:
    assert open_images("embedded:emoji", preferred=("test",)).split == "test"
    assert len(open_images("embedded:emoji", "val", limit=5)) == 5
    with pytest.raises(UserError, match=r"several splits(?s:.*)test, train, val"):
        open_images("embedded:emoji")
    with pytest.raises(UserError, match=r"another size(?s:.*)64 x 64(?s:.*)size=64"):
        open_images("embedded:emoji", "val", size=32)
    assert list(open_splits("embedded:emoji", limit=3)) == ["train", "val", "test"]
    with pytest.raises(UserError, match=r"no split 'training'(?s:.*)test, train, val"):
        open_images("embedded:emoji", "training")


def test_folders_have_splits_and_classes(tmp_path: Path) -> None:
    for split, name, count in (("train", "b", 3), ("train", "a", 2), ("test", "a", 1)):
        (tmp_path / split).mkdir(exist_ok=True)
        write(tmp_path / split / name, [(16, 16)] * count)
    train = open_images(str(tmp_path), "train")
    assert (len(train), train.class_names, train.split) == (5, ("a", "b"), "train")
    assert train.labels_of(range(5)).tolist() == [0, 0, 1, 1, 1]
    assert train[4].label == 1
    assert len(open_images(str(tmp_path))) == 6
    assert len(open_images(str(tmp_path), limit=2)) == 2
    with pytest.raises(UserError, match=r"no split 'val'(?s:.*)test, train(?s:.*)data prepare"):
        open_images(str(tmp_path), "val")


def test_images_of_no_split_are_for_training(tmp_path: Path) -> None:
    """As `sendvae data prepare` takes them."""
    folder = str(write(tmp_path / "set", [(16, 16)] * 3))
    found = open_images(folder, "train", labelled=True)
    assert (len(found), found.split, found.class_names) == (3, "train", ("unlabelled",))
    with pytest.raises(UserError, match=r"no split 'test'(?s:.*)one of train"):
        open_images(folder, "test")


def test_classes_of_only_some_images_matter_where_labels_do(tmp_path: Path) -> None:
    write(tmp_path / "set", [(16, 16)] * 2)
    write(tmp_path / "set/cats", [(16, 16)])
    images = open_images(str(tmp_path / "set"))
    assert len(images) == 3
    assert len(images.class_names) == 1
    assert images.labels_of(range(3)).tolist() == [0, 0, 0]
    with pytest.raises(UserError, match="some images have no class"):
        open_images(str(tmp_path / "set"), labelled=True)


def test_attribute_sets_open_like_the_others(tmp_path: Path) -> None:
    write(tmp_path / "photos", [(20, 16)] * 30)
    rows = [f"{i}.png,{i % 2},{'test' if i < 10 else 'train'}" for i in range(30)]
    (tmp_path / "t.csv").write_text("\n".join(["image,odd,split", *rows]) + "\n")
    source, options = f"table:{tmp_path / 'photos'}", AttributeOptions(table=tmp_path / "t.csv")
    images = open_images(source, "test", limit=4, size=16, options=options)
    assert images.batch([0, 3]).images.shape == (2, 3, 16, 16)
    assert open_images(source, size=16, preferred=("val", "train"), options=options).split == "train"
    assert [len(part) for part in open_splits(source, size=16, options=options).values()] == [20, 10]
    with pytest.raises(UserError, match="size is missing"):
        open_images(source, "test", options=options)
    with pytest.raises(UserError, match=r"several splits(?s:.*)train, test"):
        open_images(source, size=16, options=options)


def test_images_in_memory() -> None:
    pixels = torch.randint(0, 256, (5, 3, 4, 4), dtype=torch.uint8)
    images = TensorImages(pixels)
    assert torch.equal(images.batch([3, 1]).images, pixels[[3, 1]])
    assert torch.equal(images[2].image, pixels[2])
    other = pixels.clone()
    other[4, 0, 0, 0] ^= 1
    assert TensorImages(other).fingerprint != images.fingerprint
    assert TensorImages(pixels.clone()).fingerprint == images.fingerprint


def test_held_out_images_are_of_another_split_than_was_trained_on(tmp_path: Path) -> None:
    def split(used: str | None) -> str:
        found = open_held_out("embedded:emoji", used, 20)
        assert found is not None
        assert len(found) == 20
        (name,) = [
            name
            for name in ("train", "val", "test")
            if open_embedded("emoji", name, 20).fingerprint == found.fingerprint
        ]
        return name

    assert (split("train"), split(None), split("val")) == ("val", "val", "test")
    assert open_held_out(str(write(tmp_path / "f", [(16, 16)] * 3)), None) is None
