"""Readers of published attribute sets, on small copies of the same layouts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from sendvae.data import ImageSet, center_crop
from sendvae.data.attribute_sets import (
    AnnotatedImages,
    is_attribute_set,
    read_attribute_set,
    read_awa2,
    read_celeba,
    read_deepfashion,
    read_table,
)
from sendvae.data.attribute_sets.annotated import split_by_hash
from sendvae.errors import UserError

ATTRIBUTES = ["5_o_Clock_Shadow", "Bald", "Young"]
FACES = {
    "000001.jpg": (1, -1, 1),
    "000002.jpg": (-1, -1, -1),
    "000003.jpg": (1, 1, -1),
    "000004.jpg": (-1, 1, 1),
}
PARTITION = {"000001.jpg": 0, "000002.jpg": 0, "000003.jpg": 1, "000004.jpg": 2}


def picture(path: Path, seed: int, width: int = 178, height: int = 218) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


def write_celeba(folder: Path, kaggle: bool = False) -> Path:
    for i, name in enumerate(FACES):
        picture(folder / "img_align_celeba" / name, i)
    if kaggle:
        lines = [
            ",".join(["image_id", *ATTRIBUTES]),
            *(",".join([k, *map(str, v)]) for k, v in FACES.items()),
        ]
        (folder / "list_attr_celeba.csv").write_text("\n".join(lines) + "\n")
        lines = ["image_id,partition", *(f"{k},{v}" for k, v in PARTITION.items())]
        (folder / "list_eval_partition.csv").write_text("\n".join(lines) + "\n")
        return folder
    (folder / "Anno").mkdir()
    (folder / "Eval").mkdir()
    rows = [f"{k}  {'  '.join(f'{v:2d}' for v in values)}" for k, values in FACES.items()]
    text = "\n".join([str(len(FACES)), " ".join(ATTRIBUTES) + " ", *rows]) + "\n"
    (folder / "Anno/list_attr_celeba.txt").write_text(text)
    lines = [f"{k} {v}" for k, v in PARTITION.items()]
    (folder / "Eval/list_eval_partition.txt").write_text("\n".join(lines) + "\n")
    return folder


@pytest.mark.parametrize("kaggle", [False, True])
def test_celeba(tmp_path: Path, kaggle: bool) -> None:
    found = read_celeba(write_celeba(tmp_path, kaggle))
    assert found.attributes == tuple(ATTRIBUTES)
    assert list(found.keys) == list(FACES)
    assert found.splits == ["train", "train", "val", "test"]
    assert np.array_equal(found.values, np.array(list(FACES.values())) == 1)
    images = AnnotatedImages(found, "train", size=32)
    assert isinstance(images, ImageSet)
    assert len(images) == 2
    expected = center_crop(Image.open(tmp_path / "img_align_celeba/000002.jpg"), 32)
    assert np.array_equal(images.batch([1]).images[0].permute(1, 2, 0).numpy(), np.array(expected))
    assert np.array_equal(images.attributes.values, found.values[:2])
    assert images.fingerprint != AnnotatedImages(found, "train", size=16).fingerprint
    assert images.fingerprint != AnnotatedImages(found, "train", size=32, limit=1).fingerprint


def test_other_pixels_under_the_same_names_are_another_set(tmp_path: Path) -> None:
    prints = [
        AnnotatedImages(read_celeba(write_celeba(tmp_path / name)), "train", 32).fingerprint for name in "ab"
    ]
    assert prints[0] == prints[1]
    picture(tmp_path / "b/img_align_celeba/000002.jpg", 9)
    assert AnnotatedImages(read_celeba(tmp_path / "b"), "train", 32).fingerprint != prints[0]
    assert AnnotatedImages(read_celeba(tmp_path / "b"), "test", 32).fingerprint != prints[0]
    (tmp_path / "b/img_align_celeba/000001.jpg").unlink()
    with pytest.raises(UserError, match=r"cannot be read(?s:.*)000001.jpg"):
        _ = AnnotatedImages(read_celeba(tmp_path / "b"), "train", 32).fingerprint


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.replace(" 1 ", " 2 ", 1), "line 3, is not as published(?s:.*)3 times 1 or -1"),
        (lambda t: t.replace("000002.jpg  -1", "000002.jpg"), "line 4, is not as published"),
        (lambda t: "\n".join(t.splitlines()[:-1]), "is truncated(?s:.*)3 images(?s:.*)4"),
        (lambda t: t.split("\n", 1)[1], "line 1, is not as published(?s:.*)the number of images"),
    ],
)
def test_damaged_celeba(tmp_path: Path, change, message: str) -> None:
    path = write_celeba(tmp_path) / "Anno/list_attr_celeba.txt"
    path.write_text(change(path.read_text()))
    with pytest.raises(UserError, match=message):
        read_celeba(tmp_path)


def test_incomplete_celeba(tmp_path: Path) -> None:
    write_celeba(tmp_path)
    (tmp_path / "img_align_celeba/000001.jpg").unlink()
    images = AnnotatedImages(read_celeba(tmp_path), "train", size=32)
    with pytest.raises(UserError, match=r"cannot be read(?s:.*)000001.jpg"):
        images.batch([0])
    path = tmp_path / "Eval/list_eval_partition.txt"
    path.write_text(path.read_text().replace("000004.jpg 2\n", ""))
    with pytest.raises(UserError, match=r"lacks images(?s:.*)000004.jpg"):
        read_celeba(tmp_path)
    path.unlink()
    with pytest.raises(UserError, match=r"lacks list_eval_partition.txt(?s:.*)Eval/list_eval_partition"):
        read_celeba(tmp_path)


FASHION = {
    "img/Sheer_Blouse/img_1.jpg": ("train", (-1, 1, 0), 3),
    "img/Sheer_Blouse/img_2.jpg": ("val", (1, 1, -1), 3),
    "img/Dress/img_1.jpg": ("test", (0, -1, 1), 41),
}


def write_deepfashion(folder: Path) -> Path:
    (folder / "Anno_coarse").mkdir(parents=True)
    (folder / "Eval").mkdir()
    for i, name in enumerate(FASHION):
        picture(folder / name, i, 40, 60)
    count = len(FASHION)
    cloth = "3\nattribute_name  attribute_type\na-line              3\nabstract print      1\nacid wash denim     2\n"
    (folder / "Anno_coarse/list_attr_cloth.txt").write_text(cloth)
    rows = [f"{k}     {' '.join(f'{v:2d}' for v in values)} " for k, (_, values, _) in FASHION.items()]
    text = "\n".join([str(count), "image_name  attribute_labels", *rows]) + "\n"
    (folder / "Anno_coarse/list_attr_img.txt").write_text(text)
    rows = [f"{k}  {split}" for k, (split, _, _) in FASHION.items()]
    text = "\n".join([str(count), "image_name  evaluation_status", *rows]) + "\n"
    (folder / "Eval/list_eval_partition.txt").write_text(text)
    rows = [f"{k}  {category}" for k, (*_, category) in FASHION.items()]
    text = "\n".join([str(count), "image_name  category_label", *rows]) + "\n"
    (folder / "Anno_coarse/list_category_img.txt").write_text(text)
    return folder


def test_deepfashion(tmp_path: Path) -> None:
    found = read_deepfashion(write_deepfashion(tmp_path))
    assert found.attributes == ("a-line", "abstract print", "acid wash denim")
    assert found.splits == ["train", "val", "test"]
    assert found.values.tolist() == [[False, True, False], [True, True, False], [False, False, True]]
    assert found.labels.tolist() == [0, 0, 1]
    assert found.class_names == ("3", "41")
    assert AnnotatedImages(found, "test", 32).batch([0]).images.shape == (1, 3, 32, 32)
    (tmp_path / "Anno_coarse/list_category_img.txt").unlink()
    assert read_deepfashion(tmp_path).class_names == ("unlabelled",)


def write_boxes(folder: Path) -> Path:
    corners = ("005 010 035 050", "000 000 041 100", "012 008 030 026")  # the second is larger than its image
    rows = [f"{k}     {box}" for k, box in zip(FASHION, corners, strict=True)]
    path = folder / "Anno_coarse/list_bbox.txt"
    path.write_text("\n".join(["3", "image_name  x_1  y_1  x_2  y_2", *rows]) + "\n")
    return path


def test_deepfashion_in_boxes(tmp_path: Path) -> None:
    write_boxes(write_deepfashion(tmp_path))
    found = read_deepfashion(tmp_path, box=True)
    for split, name, box in (
        ("train", "img/Sheer_Blouse/img_1.jpg", (5, 10, 35, 50)),
        ("val", "img/Sheer_Blouse/img_2.jpg", (0, 0, 40, 60)),
        ("test", "img/Dress/img_1.jpg", (12, 8, 30, 26)),
    ):
        expected = center_crop(Image.open(tmp_path / name).convert("RGB").crop(box), 16)
        image = AnnotatedImages(found, split, 16).batch([0]).images[0]
        assert np.array_equal(image.permute(1, 2, 0).numpy(), np.array(expected)), split
    whole = read_deepfashion(tmp_path)
    assert whole.boxes is None
    prints = {AnnotatedImages(one, "test", 16).fingerprint for one in (found, whole)}
    assert len(prints) == 2  # latents are cached under it
    assert read_attribute_set(f"deepfashion:{tmp_path}", box=True).boxes is not None
    with pytest.raises(UserError, match="celeba has no boxes"):
        read_attribute_set("celeba:x", box=True)


@pytest.mark.parametrize(
    ("given", "wrong", "message"),
    [
        ("005 010 035 050", "005 010 035", "line 3(?s:.*)upper left"),
        ("005 010 035 050", "005 010 005 050", "line 3(?s:.*)upper left"),
        ("005 010 035 050", "005 050 035 010", "line 3(?s:.*)upper left"),
        ("005 010 035 050", "005 010 x35 050", "line 3(?s:.*)upper left"),
        ("img/Dress/img_1.jpg     012 008 030 026\n", "", r"no box of an image(?s:.*)img/Dress/img_1.jpg"),
    ],
)
def test_damaged_boxes(tmp_path: Path, given: str, wrong: str, message: str) -> None:
    path = write_boxes(write_deepfashion(tmp_path))
    path.write_text(path.read_text().replace(given, wrong))
    with pytest.raises(UserError, match=message):
        read_deepfashion(tmp_path, box=True)


def test_a_box_outside_its_image(tmp_path: Path) -> None:
    path = write_boxes(write_deepfashion(tmp_path))
    path.write_text(path.read_text().replace("012 008 030 026", "040 000 080 026"))
    images = AnnotatedImages(read_deepfashion(tmp_path, box=True), "test", 16)
    with pytest.raises(UserError, match=r"Dress/img_1.jpg(?s:.*)outside its 40 x 60 pixels"):
        images.batch([0])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.replace("-1  1  0", "-1  1"), "line 3(?s:.*)3 times 1, 0 or -1"),
        (lambda t: t.replace("-1  1  0", "-1  7  0"), "line 3(?s:.*)3 times"),
        (lambda t: t.replace("-1  1  0", "-1  x  0"), "line 3(?s:.*)3 times"),
        (lambda t: t.replace("3\n", "4\n", 1), "is truncated(?s:.*)3 images"),
        (lambda t: t.replace("3\n", "2\n", 1), "line 5(?s:.*)2 images"),
    ],
)
def test_damaged_deepfashion(tmp_path: Path, change, message: str) -> None:
    path = write_deepfashion(tmp_path) / "Anno_coarse/list_attr_img.txt"
    path.write_text(change(path.read_text()))
    with pytest.raises(UserError, match=message):
        read_deepfashion(tmp_path)


def write_awa2(folder: Path) -> Path:
    for i, name in enumerate(("antelope", "grizzly+bear", "killer+whale")):
        for j in range(10):
            picture(folder / "JPEGImages" / name / f"{name}_{10001 + j}.jpg", 10 * i + j, 30, 20)
    (folder / "classes.txt").write_text("      1\tantelope\n      2\tgrizzly+bear\n      3\tkiller+whale\n")
    (folder / "predicates.txt").write_text("      1\tblack\n      2\tfurry\n")
    (folder / "predicate-matrix-binary.txt").write_text("0 1\n1 1\n1 0\n")
    (folder / "testclasses.txt").write_text("killer+whale\n")
    return folder


def test_awa2(tmp_path: Path) -> None:
    found = read_awa2(write_awa2(tmp_path))
    assert found.attributes == ("black", "furry")
    assert found.class_names == ("antelope", "grizzly+bear", "killer+whale")
    assert len(found.keys) == 30
    assert np.array_equal(found.values, np.array([[0, 1], [1, 1], [1, 0]], bool)[found.labels])
    for label in range(3):  # stratified
        splits = [s for s, other in zip(found.splits, found.labels, strict=True) if other == label]
        assert sorted(splits) == ["test"] * 2 + ["train"] * 7 + ["val"]
    apart = read_awa2(tmp_path, "classes")
    tested = {int(n) for s, n in zip(apart.splits, apart.labels, strict=True) if s == "test"}
    others = {int(n) for s, n in zip(apart.splits, apart.labels, strict=True) if s != "test"}
    assert (tested, others) == ({2}, {0, 1})
    assert AnnotatedImages(apart, "test", 16).batch([0, 9]).labels.tolist() == [2, 2]


def write_proposed(folder: Path, **changes: list[int]) -> Path:
    """As in xlsa17.zip, of the images of `write_awa2`, in an order that is not that of their names."""
    keys = sorted(f"{p.parent.name}/{p.name}" for p in (folder / "JPEGImages").glob("*/*.jpg"))
    order = np.random.default_rng(0).permutation(len(keys))
    paths = np.empty((len(keys), 1), object)
    paths[:, 0] = [f"/BS/someone/work/Animals_with_Attributes2//JPEGImages/{keys[i]}" for i in order]
    whales = [place for place, i in enumerate(order) if keys[i].startswith("killer")]
    others = [place for place, i in enumerate(order) if not keys[i].startswith("killer")]
    places = {"trainval_loc": others[:16], "test_seen_loc": others[16:], "test_unseen_loc": whales} | changes
    (folder / "xlsa17/data/AWA2").mkdir(parents=True, exist_ok=True)
    columns = {name: np.array(rows, np.uint16)[:, None] + 1 for name, rows in places.items()}
    savemat(folder / "xlsa17/data/AWA2/att_splits.mat", columns | {"att": np.ones((85, 50))})
    features = {"features": np.ones((8, 30)), "image_files": paths}
    savemat(folder / "xlsa17/data/AWA2/res101.mat", features, do_compression=True)
    return folder


def test_the_proposed_split_of_awa2(tmp_path: Path) -> None:
    write_proposed(write_awa2(tmp_path))
    unseen, seen = (read_awa2(tmp_path, split) for split in ("proposed-unseen", "proposed-seen"))
    assert {k for k, s in zip(unseen.keys, unseen.splits, strict=True) if s == "test"} == {
        f"killer+whale/killer+whale_{10001 + j}.jpg" for j in range(10)
    }
    tested = {k for k, s in zip(seen.keys, seen.splits, strict=True) if s == "test"}
    assert len(tested) == 4
    assert not any("whale" in key for key in seen.keys)
    assert tested.isdisjoint(unseen.keys)
    for found in (unseen, seen):
        splits = [s for s, label in zip(found.splits, found.labels, strict=True) if label < 2 and s != "test"]
        assert (len(splits), splits.count("val")) == (16, 2)
        assert len(found.values) == len(found.keys) == len(found.groups)
        matrix = np.array([[0, 1], [1, 1], [1, 0]], bool)
        assert np.array_equal(found.values, matrix[found.labels])
        assert [found.class_names[label] for label in found.labels] == [
            key.split("/")[0] for key in found.keys
        ]
    assert set(unseen.groups) == {"antelope", "grizzly+bear", "killer+whale"}
    digest = unseen.digest
    write_proposed(
        tmp_path, trainval_loc=[0], test_seen_loc=list(range(1, 20)), test_unseen_loc=list(range(20, 30))
    )
    assert read_awa2(tmp_path, "proposed-seen").digest != digest


def test_a_damaged_proposed_split(tmp_path: Path) -> None:
    write_awa2(tmp_path)
    with pytest.raises(UserError, match=r"lacks res101.mat(?s:.*)xlsa17/data/AWA2/res101.mat"):
        read_awa2(tmp_path, "proposed-seen")
    every, some = list(range(10)), list(range(10, 20))
    for wrong in ([*range(20, 29)], [*range(20, 31)], [*range(19, 30)]):  # one lacks, one too many, one twice
        write_proposed(tmp_path, trainval_loc=every, test_seen_loc=some, test_unseen_loc=wrong)
        with pytest.raises(UserError, match=r"is not as published(?s:.*)each of 1 to 30 once"):
            read_awa2(tmp_path, "proposed-seen")
    write_proposed(tmp_path, trainval_loc=every, test_seen_loc=some, test_unseen_loc=[*range(20, 30)])
    picture(tmp_path / "JPEGImages/antelope/antelope_99999.jpg", 0)
    with pytest.raises(UserError, match=r"differ in images(?s:.*)antelope_99999.jpg"):
        read_awa2(tmp_path, "proposed-seen")
    (tmp_path / "JPEGImages/antelope/antelope_99999.jpg").unlink()
    (tmp_path / "JPEGImages/antelope/antelope_10001.jpg").unlink()
    with pytest.raises(UserError, match=r"differ in images(?s:.*)antelope_10001.jpg"):
        read_awa2(tmp_path, "proposed-seen")
    path = tmp_path / "xlsa17/data/AWA2/res101.mat"
    whole = path.read_bytes()
    for damaged in (b"", b"no MATLAB file", whole[: len(whole) // 2], whole[:-3]):
        path.write_bytes(damaged)
        with pytest.raises(UserError, match=r"res101.mat cannot be read(?s:.*)xlsa17.zip with image_files"):
            read_awa2(tmp_path, "proposed-seen")
    savemat(path, {"features": np.ones(3)})
    with pytest.raises(UserError, match=r"cannot be read(?s:.*)image_files"):
        read_awa2(tmp_path, "proposed-seen")


def test_damaged_awa2(tmp_path: Path) -> None:
    write_awa2(tmp_path)
    (tmp_path / "testclasses.txt").write_text("unicorn\n")
    with pytest.raises(UserError, match="unicorn"):
        read_awa2(tmp_path, "classes")
    (tmp_path / "predicate-matrix-binary.txt").write_text("0 1\n1 1\n")
    with pytest.raises(UserError, match="2 rows"):
        read_awa2(tmp_path)
    (tmp_path / "predicate-matrix-binary.txt").write_text("0 1\n1 2\n1 0\n")
    with pytest.raises(UserError, match="line 2"):
        read_awa2(tmp_path)


def test_a_table_of_any_images(tmp_path: Path) -> None:
    for i in range(20):
        picture(tmp_path / "photos" / f"{i:02d}.png", i, 20, 24)
    table = tmp_path / "table.csv"
    rows = [f"{i:02d}.png,{i % 2},{-1 if i % 3 else 1},c{i % 2},g{i // 2}" for i in range(20)]
    table.write_text("\n".join(["image,even,third,label,group", *rows]) + "\n")
    found = read_table(str(tmp_path / "photos"), table)
    assert found.attributes == ("even", "third")
    assert found.class_names == ("c0", "c1")
    assert found.values[:4].tolist() == [[False, True], [True, False], [False, False], [True, True]]
    by_group = dict(zip(found.groups, found.splits, strict=True))
    assert all(by_group[g] == s for g, s in zip(found.groups, found.splits, strict=True))
    assert {s: found.splits.count(s) for s in ("train", "val", "test")} == {"train": 14, "val": 2, "test": 4}
    splits = ["train", "validation", "test", "train"] * 5
    rows = [f"{i:02d}.png,{i % 2},{split}" for i, split in enumerate(splits)]
    table.write_text("\n".join(["image,even,split", *rows]) + "\n")
    assert read_table(str(tmp_path / "photos"), table).splits == ["train", "val", "test", "train"] * 5
    table.write_text("\n".join(["image,split", *(f"{i:02d}.png,train" for i in range(20))]) + "\n")
    with pytest.raises(UserError, match="has no attributes"):
        read_table(str(tmp_path / "photos"), table)


def test_names_of_sets(tmp_path: Path) -> None:
    assert is_attribute_set("celeba:x")
    assert not is_attribute_set("embedded:emoji")
    assert not is_attribute_set("data/celeba")
    write_awa2(tmp_path)
    assert read_attribute_set(f"awa2:{tmp_path}", split="classes").name == "AwA2-classes"
    with pytest.raises(UserError, match="has one split"):
        read_attribute_set("celeba:x", split="classes")
    with pytest.raises(UserError, match="--attributes"):
        read_attribute_set(f"table:{tmp_path}")
    with pytest.raises(UserError, match="no file of attributes"):
        read_attribute_set(f"awa2:{tmp_path}", tmp_path / "x.csv")
    (tmp_path / "faces").mkdir(exist_ok=True)
    write_celeba(tmp_path / "faces")
    path = tmp_path / "faces/Eval/list_eval_partition.txt"
    path.write_text(path.read_text().replace("000003.jpg 1", "000003.jpg 0"))
    faces = read_celeba(tmp_path / "faces")
    with pytest.raises(UserError, match=r"no image in its split 'val'(?s:.*)test, train"):
        AnnotatedImages(faces, "val", 32)


def test_splits_by_hash_do_not_depend_on_order_or_company() -> None:
    names = [f"image{i}" for i in range(50)]
    split = dict(zip(names, split_by_hash(names, [0] * 50), strict=True))
    reverse = names[::-1]
    assert dict(zip(reverse, split_by_hash(reverse, [0] * 50), strict=True)) == split
