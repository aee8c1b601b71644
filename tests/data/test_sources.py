"""What folders, archives and data sets of other libraries are found to hold."""

from __future__ import annotations

import io
import json
import os
import pickle
import sys
import tarfile
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import fsspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.data.pictures import encoded, write_folder

from sendvae.data.sources import Columns, Found, ImageTable, list_source, number_classes, unique_keys
from sendvae.data.sources.listing import check_member, is_image, label_by_folders, label_from_text
from sendvae.errors import UserError
from sendvae.weights.reach import Unavailable

NAMES = ["cat/a.png", "cat/deep/b.png", "dog/c.png"]
NONE = Columns()


def tar(path: Path, members: dict[str, bytes], mode: str = "w") -> Path:
    with tarfile.open(path, mode) as file:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            file.addfile(info, io.BytesIO(data))
    return path


def zipped(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in members.items():
            file.writestr(name, data)
    return path


def held(source: Path | str, columns: Columns = NONE) -> dict[str, tuple[object, str | None, bytes]]:
    """name -> label, split, bytes; read through a pickled reader, as in a worker."""
    listing = list_source(str(source), columns)
    reader = pickle.loads(pickle.dumps(listing.reader))
    return {image.name: (image.label, image.split, reader.read(image.place)) for image in listing.images}


def by_class(prefix: str = "") -> dict[str, bytes]:
    return {prefix + name: encoded(seed) for seed, name in enumerate(NAMES)}


EXPECTED = {name: (name.split("/")[0], None, encoded(seed)) for seed, name in enumerate(NAMES)}


def test_a_folder(tmp_path: Path) -> None:
    write_folder(tmp_path, NAMES)
    (tmp_path / "cat" / "notes.txt").write_text("no image")
    (tmp_path / ".hidden.png").write_bytes(b"")
    assert held(tmp_path) == EXPECTED


def test_a_folder_on_another_file_system() -> None:
    memory = fsspec.filesystem("memory")
    memory.pipe({f"/photos/{name}": data for name, data in by_class().items()})
    try:
        assert held("memory://photos") == EXPECTED
    finally:
        memory.rm("/photos", recursive=True)


@pytest.mark.parametrize("ending", ["tar", "tar.gz", "tgz", "tar.bz2", "tar.xz"])
def test_a_tar(tmp_path: Path, ending: str) -> None:
    mode = {"tar": "w", "tgz": "w:gz"}.get(ending, "w:" + ending[4:])
    path = tar(tmp_path / f"x.{ending}", by_class("./"), mode)
    assert held(path) == EXPECTED


def test_threads_share_a_tar(tmp_path: Path) -> None:
    members = {f"{i}.png": encoded(i) * (1 + i % 3) for i in range(40)}
    listing = list_source(str(tar(tmp_path / "a.tar", members)), NONE)
    wanted = [listing.images[i % 40] for i in range(4000)]
    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(lambda image: listing.reader.read(image.place), wanted))
    assert all(data == members[image.name] for image, data in zip(wanted, found, strict=True))
    again = pickle.loads(pickle.dumps(listing.reader))
    assert again.read(wanted[3].place) == members[wanted[3].name]


def test_a_zip(tmp_path: Path) -> None:
    members = {**by_class("photos/"), "__MACOSX/photos/._a.png": b"", "photos/": b""}
    assert held(zipped(tmp_path / "x.zip", members)) == {
        f"photos/{name}": value for name, value in EXPECTED.items()
    }


def sample(seed: int, label: int, split: str) -> dict[str, bytes]:
    return {
        f"{seed:04d}.png": encoded(seed),
        f"{seed:04d}.cls": str(label).encode(),
        f"{seed:04d}.json": json.dumps({"kind": f"k{label}", "part": split}).encode(),
    }


def test_webdataset(tmp_path: Path) -> None:
    for number in (0, 1):
        tar(
            tmp_path / f"{number}.tar", {**sample(2 * number, 7, "train"), **sample(2 * number + 1, 3, "dev")}
        )
    plain = held(tmp_path)
    assert [(name, label, split) for name, (label, split, _) in plain.items()] == [
        ("0000.png", 7, None),
        ("0001.png", 3, None),
        ("0002.png", 7, None),
        ("0003.png", 3, None),
    ]
    assert plain["0003.png"][2] == encoded(3)
    by_column = held(f"{tmp_path}/*.tar", Columns(label="kind", split="part"))
    assert [value[:2] for value in by_column.values()] == [("k7", "train"), ("k3", "dev")] * 2
    with pytest.raises(UserError, match=r"no \.json member"):
        held(tmp_path, Columns(label="colour"))


def test_webdataset_keys_repeated_in_shards_named_by_split(tmp_path: Path) -> None:
    for split in ("train", "validation"):
        tar(tmp_path / f"in-{split}-00.tar", sample(0, 1, ""))
    found = held(tmp_path)
    assert {name: value[1] for name, value in found.items()} == {
        "in-train-00/0000.png": "train",
        "in-validation-00/0000.png": "val",
    }
    assert [value[1] for value in held(f"{tmp_path}/*.tar").values()] == ["train", "val"]
    assert held(tmp_path / "in-train-00.tar")["0000.png"][1] is None


@pytest.mark.parametrize(
    "name", ["../evil.png", "/etc/evil.png", "a/../../evil.png", "..\\evil.png", "C:\\e.png"]
)
def test_members_that_point_out_of_an_archive(tmp_path: Path, name: str) -> None:
    for path in (
        tar(tmp_path / "x.tar", {"a.png": encoded(0), name: b""}),
        zipped(tmp_path / "x.zip", {"a.png": encoded(0), name: b""}),
    ):
        with pytest.raises(UserError, match="is refused: a member points out"):
            list_source(str(path), NONE)


@given(st.text(alphabet="ab./\\", max_size=12))
def test_what_is_let_in_stays_inside(name: str) -> None:
    try:
        check_member(name, "x.tar")
    except UserError:
        return
    root = Path("/srv/root")
    normal = Path(*name.replace("\\", "/").split("/"))
    assert (root / normal).resolve().is_relative_to(root)


def test_links_in_a_tar_are_listed_as_skipped(tmp_path: Path) -> None:
    path = tmp_path / "x.tar"
    with tarfile.open(path, "w") as file:
        link = tarfile.TarInfo("link.png")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        file.addfile(link)
        info = tarfile.TarInfo("a.png")
        info.size = len(encoded(0))
        file.addfile(info, io.BytesIO(encoded(0)))
    listing = list_source(str(path), NONE)
    assert [image.name for image in listing.images] == ["a.png"]
    assert listing.skipped == [("link.png", "not a plain file in its tar")]


def test_damaged_archives(tmp_path: Path) -> None:
    whole = tar(tmp_path / "x.tar", by_class()).read_bytes()
    second = whole.index(b"cat/deep/b.png")
    scratched = whole[:second] + b"\xff" * 512 + whole[second + 512 :]
    for damaged in (whole[: second + 700], scratched):
        (tmp_path / "x.tar").write_bytes(damaged)
        with pytest.raises(UserError, match="a damaged tar file"):
            list_source(str(tmp_path / "x.tar"), NONE)
    (tmp_path / "x.zip").write_bytes(b"PK\3\4 not a zip")
    with pytest.raises(UserError, match="a damaged zip file"):
        list_source(str(tmp_path / "x.zip"), NONE)


def test_what_is_no_source(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no images"):
        list_source(str(tmp_path), NONE)
    (tmp_path / "x.txt").write_text("")
    with pytest.raises(UserError, match=r"not a kind of archive(?s:.*)a folder(?s:.*)\.zip, \.tar, "):
        list_source(str(tmp_path / "x.txt"), NONE)
    with pytest.raises(UserError, match="no such file or folder"):
        list_source(str(tmp_path / "none.zip"), NONE)
    write_folder(tmp_path, NAMES)
    with pytest.raises(UserError, match="has no columns"):
        list_source(str(tmp_path), Columns(label="class"))
    with pytest.raises(UserError, match="not a folder or URL"):
        list_source("nowhere://x", NONE)


@pytest.mark.parametrize(
    ("names", "strip", "expected"),
    [
        (["a.png", "b.png"], False, [(None, None)] * 2),
        (["train/x/a.png", "val/x/a.png"], False, [("train", "x"), ("val", "x")]),
        (["validation/a.png", "test/a.png"], False, [("val", None), ("test", None)]),
        (["train/a.png", "car/a.png"], False, [(None, "train"), (None, "car")]),  # a class called train
        (["root/train/x/a.png", "root/val/x/a.png"], True, [("train", "x"), ("val", "x")]),
        (["root/x/a.png", "root/y/a.png"], True, [(None, "x"), (None, "y")]),
        (["x/a.png", "x/b.png"], True, [(None, "x")] * 2),
    ],
)
def test_folders_name_splits_and_classes(
    names: list[str], strip: bool, expected: list[tuple[str | None, str | None]]
) -> None:
    labelled = label_by_folders([Found(name, None) for name in names], strip_root=strip)
    assert [(image.split, image.label) for image in labelled] == expected


def test_class_numbers() -> None:
    def numbers(*labels: str | int | None, names: list[str] | None = None) -> tuple[list[str], list[int]]:
        return number_classes([Found(str(i), None, label) for i, label in enumerate(labels)], names)

    assert numbers("b", "a", "b") == (["a", "b"], [1, 0, 1])
    assert numbers(2, 0) == (["0", "1", "2"], [2, 0])  # numbers keep their meaning
    assert numbers("2012", "007") == (["007", "2012"], [1, 0])  # folders
    assert numbers("a", 7) == (["7", "a"], [1, 0])
    assert numbers(1, 0, names=["zebra", "ant"]) == (["zebra", "ant"], [1, 0])
    assert numbers(None, None) == (["unlabelled"], [0, 0])
    with pytest.raises(UserError, match="some images have no class"):
        numbers("a", None)
    with pytest.raises(UserError, match="a label without a class"):
        numbers(5, names=["zebra", "ant"])


def test_labels_in_texts() -> None:
    texts = ["7", " 12\n", "007", "cat", "12345678", "-1", ""]
    assert [label_from_text(text) for text in texts] == [7, 12, "007", "cat", "12345678", "-1", ""]


def test_keys() -> None:
    found = [Found(name, None) for name in ("x/a.jpg", "x/a.png", "x.y/b.c.png")]
    assert unique_keys(found) == ["x/a_jpg", "x/a_png", "x_y/b_c"]
    with pytest.raises(UserError, match="the same name"):
        unique_keys([Found("a.png", None)] * 2)


def test_image_names() -> None:
    assert is_image("a/B.JPEG")
    assert not is_image("a/B.txt")
    assert not is_image(".cache/a.png")
    assert not is_image("a/._b.png")


def test_a_table_of_classes_splits_and_attributes(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("image,kind,part,red,round,group\na.png,x,train,1,-1,g\nsub/b,y,test,0,1,h\n")
    table, columns = ImageTable.read(path), Columns(label="kind", split="part")
    images = table.label([Found("deep/a.png", 0), Found("sub/b.png", 1)], columns)
    assert [(image.label, image.split) for image in images] == [("x", "train"), ("y", "test")]
    attributes = table.attributes({"A": "deep/a.png", "B": "sub/b.png"}, columns)
    assert attributes is not None
    assert (attributes.keys, attributes.names, attributes.groups) == (
        ("A", "B"),
        ("red", "round"),
        ("g", "h"),
    )
    assert attributes.values.tolist() == [[True, False], [False, True]]
    with pytest.raises(UserError, match="no row for an image"):
        table.row("c.png")
    path.write_text("image,red\na.png,maybe\n")
    with pytest.raises(UserError, match=r"'red' of a\.png is not yes or no"):
        ImageTable.read(path).attributes({"A": "a.png"}, NONE)


def test_hugging_face(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    datasets.disable_progress_bars()
    features = datasets.Features(
        {"img": datasets.Image(), "label": datasets.ClassLabel(names=["zebra", "ant"])}
    )

    def rows(seeds: list[int]) -> object:
        return datasets.Dataset.from_dict(
            {"img": [{"bytes": encoded(i), "path": None} for i in seeds], "label": [i % 2 for i in seeds]},
            features=features,
        )

    (tmp_path / "parquet").mkdir()
    rows([0, 1]).to_parquet(tmp_path / "parquet" / "train-00000.parquet")
    rows([2]).to_parquet(tmp_path / "parquet" / "validation-00000.parquet")
    datasets.DatasetDict(train=rows([0, 1]), validation=rows([2])).save_to_disk(tmp_path / "saved")
    for kind in ("parquet", "saved"):
        assert held(tmp_path / kind) == {
            "train/00000000": (0, "train", encoded(0)),
            "train/00000001": (1, "train", encoded(1)),
            "val/00000000": (0, "val", encoded(2)),
        }
        assert list_source(str(tmp_path / kind), NONE).class_names == ["zebra", "ant"]
        with pytest.raises(UserError, match="no column 'colour'"):
            list_source(str(tmp_path / kind), Columns(label="colour"))


def test_hugging_face_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(UserError, match=r"pip install 'sendvae\[datasets\]'"):
        list_source("hf-hub:owner/name", NONE)


def test_links_to_folders_are_followed_once(tmp_path: Path) -> None:
    """Loops end, a folder counts at its own place, and what is ignored is said."""
    elsewhere = tmp_path / "elsewhere"
    write_folder(elsewhere, ["x.png", "deep/y.png"])
    data = tmp_path / "data"
    write_folder(data, ["cat/a.png", "zebra/z.png"])
    (data / "dog").symlink_to(elsewhere, target_is_directory=True)
    (data / "again").symlink_to(data / "zebra", target_is_directory=True)  # sorts before what it leads to
    (data / "other-dog").symlink_to(elsewhere / "deep", target_is_directory=True)
    (elsewhere / "loop").symlink_to(data, target_is_directory=True)
    (data / "cat" / "copy.png").symlink_to(data / "cat" / "a.png")  # a link to a file is a file
    (data / "cat" / "lost.png").symlink_to(data / "nothing.png")
    listing = list_source(str(data), NONE)
    found = {image.name: image.label for image in listing.images}
    assert found == {
        "cat/a.png": "cat", "cat/copy.png": "cat", "dog/deep/y.png": "dog", "dog/x.png": "dog", "zebra/z.png": "zebra",
    }  # fmt: skip
    assert all(len(listing.reader.read(image.place)) > 0 for image in listing.images)
    assert [name for name, _ in listing.skipped] == ["again", "cat/lost.png", "dog/loop", "other-dog"]
    assert dict(listing.skipped)["cat/lost.png"] == "a link that leads nowhere"
    assert "listed already" in dict(listing.skipped)["dog/loop"]


def test_links_to_themselves_and_round_in_circles_are_skipped(tmp_path: Path) -> None:
    write_folder(tmp_path, ["cat/a.png"])
    (tmp_path / "cat" / "self.png").symlink_to("self.png")
    (tmp_path / "cat" / "one").symlink_to("two")
    (tmp_path / "cat" / "two").symlink_to("one")
    listing = list_source(str(tmp_path), NONE)
    assert [image.name for image in listing.images] == ["cat/a.png"]
    assert dict(listing.skipped) == dict.fromkeys(
        ["cat/self.png", "cat/one", "cat/two"], "a link that leads nowhere"
    )


@pytest.mark.parametrize("name", [b"caf\xe9/a.png", b"cat/\xff.png"])
def test_names_that_are_not_utf8_are_refused_with_the_place(tmp_path: Path, name: bytes) -> None:
    write_folder(tmp_path, ["x.png"])
    path = os.path.join(os.fsencode(tmp_path), name)  # noqa: PTH118
    os.makedirs(os.path.dirname(path))  # noqa: PTH103, PTH120
    os.rename(tmp_path / "x.png", path)  # noqa: PTH104
    with pytest.raises(UserError, match=r"names that are not UTF-8(?s:.*)\\udc(?s:.*)convmv") as refused:
        list_source(str(tmp_path), NONE)
    assert str(refused.value).encode()


@pytest.mark.parametrize(
    "content",
    [
        "image,kind,A\na.png,é,1\n".encode(),
        "\ufeffimage,kind,A\r\na.png,é,1\r\n".encode(),
        "\ufeffimage;kind;A\r\na.png;é;1\r\n\r\n".encode(),
        "image\tkind\tA\na.png\té\t1\n".encode(),
        b'image;kind;A\n"a.png";"\xc3\xa9";"1"\n',
    ],
    ids=["plain", "bom", "semicolon", "tab", "quoted"],
)
def test_tables_of_spreadsheets_are_read(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(content)
    table = ImageTable.read(path)
    assert table.columns == ("kind", "A")
    assert table.row("a.png") == ["é", "1"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            "image,kind\na.png,é\n".encode("latin1"),
            r"not text in UTF-8(?s:.*)byte 0xe9 at 17(?s:.*)iconv -f cp1252",
        ),
        ("image,kind\na.png,x\n".encode("utf16"), r"iconv -f utf16"),
        (b"", "no columns"),
        (b'image,kind\n"a.png,x\n', "is no table"),
        (b"image,kind\na.png\n", "line 2: 1 cells"),
    ],
    ids=["latin1", "utf16", "empty", "quote", "short"],
)
def test_what_is_no_table_says_why(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "t.csv").write_bytes(content)
    with pytest.raises(UserError, match=message):
        ImageTable.read(tmp_path / "t.csv")


@pytest.mark.parametrize("address", ["hf-hub:", "hf-hub:a", "hf-hub:a/", "hf-hub:/b"])
def test_an_address_of_the_hub_without_a_name_is_refused(address: str) -> None:
    with pytest.raises(UserError, match=r"not a data set of the hub(?s:.*)hf-hub:OWNER/NAME"):
        list_source(address, NONE)


def test_an_unreachable_hub_is_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The library would ask six times, with pauses of half a minute in all; then what is cached must do."""
    datasets = pytest.importorskip("datasets")
    from huggingface_hub import constants

    from sendvae.data.sources import huggingface

    seen, before = [], constants.HF_HUB_OFFLINE

    def refuse(*_arguments: object) -> None:
        raise Unavailable("no network")

    def load(*_arguments: object) -> None:
        seen.append((constants.HF_HUB_OFFLINE, datasets.config.HF_HUB_OFFLINE))
        raise ConnectionError("not in the cache")

    monkeypatch.setattr(huggingface, "reach", refuse)
    monkeypatch.setattr(datasets, "load_dataset", load)
    with pytest.raises(UserError, match=r"cannot be loaded(?s:.*)not in the cache"):
        list_source("hf-hub:a/b", NONE)
    assert seen == [(True, True)]
    assert before == constants.HF_HUB_OFFLINE
