"""The kinds of inputs that are damaged, and the commands that read them."""

from __future__ import annotations

import io
import json
import shutil
import struct
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from hypothesis import strategies as st
from tests.data.pictures import encoded, picture, write_folder
from tests.evaluation.samplable import save_run, small_tokenizer
from tests.faults.commands import call
from tests.faults.damage import (
    PICKLE,
    SNIPPETS,
    VALUES,
    changed_document,
    changed_json,
    damaged,
    damaged_text,
)

from sendvae.config import load_config
from sendvae.config.schema_common import Section
from sendvae.tokenizers import save_tokenizer

PREPARE = ["--size", "16", "--processes", "1", "--shard-size", "4"]


@dataclass(frozen=True)
class Case:
    """A command with the damaged files that it reads.

    Attributes:
        arguments: the arguments of the command.
        files: the contents of files by name, which replace those of `Kind.fill`.
    """

    arguments: tuple[str, ...]
    files: dict[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True)
class Kind:
    """A kind of input.

    Attributes:
        name: the name of the kind in the record.
        cases: the number of cases that the whole harness tries.
        fill: writes the undamaged files into a folder, of which every case gets a copy.
        draw: returns the strategy that draws cases, from that folder.
        output: glob patterns of files that a command which fails must not leave.
    """

    name: str
    cases: int
    fill: Callable[[Path], None]
    draw: Callable[[Path], st.SearchStrategy[Case]]
    output: tuple[str, ...] = ()


# Configurations and overrides.

COMMANDS: dict[str, tuple[str, ...]] = {
    "demo/send-vae": ("train", "tokenizer", "FILE"),
    "demo/sit-tiny": ("train", "diffusion", "FILE"),
    "demo/joint": ("train", "joint", "FILE"),
    "sample/paper": ("sample", "run", "--to", "x.npz", "--preset", "FILE"),
    "evaluate/embedded": ("evaluate", "generation", "x.npz", "--reference", "y.npz", "--protocol", "FILE"),
    "evaluate/embedded-reconstruction": (
        "evaluate",
        "reconstruction",
        "x",
        "--data",
        "y",
        "--protocol",
        "FILE",
    ),
    "evaluate/latents": ("evaluate", "latents", "x", "--protocol", "FILE"),
}
TRAINED = tuple(preset for preset, words in COMMANDS.items() if words[0] == "train")


def _resolved(preset: str) -> dict[str, Any]:
    """Return every value of a preset."""
    from sendvae import config

    by_command = {
        "tokenizer": config.TokenizerConfig,
        "diffusion": config.DiffusionConfig,
        "joint": config.JointConfig,
        "generation": config.GenerationConfig,
        "reconstruction": config.ReconstructionConfig,
        "latents": config.LatentsConfig,
    }
    schema: type[Section] = by_command.get(COMMANDS[preset][1], config.SampleConfig)
    return load_config(schema, preset).model_dump(mode="json")


def _words(preset: str, source: str, dry: bool) -> tuple[str, ...]:
    words = [source if word == "FILE" else word for word in COMMANDS[preset]]
    return (*words, "--dry-run" if dry and preset in TRAINED else "--print-config")


@st.composite
def _configurations(draw: st.DrawFn) -> Case:
    preset = draw(st.sampled_from(list(COMMANDS)))
    values = _resolved(preset)
    if draw(st.booleans()):
        text = yaml.safe_dump(draw(changed_document(values)), sort_keys=False)
        data = text.encode(errors="surrogatepass")
    else:
        data = draw(damaged_text(yaml.safe_dump(values, sort_keys=False)))
    return Case(_words(preset, "config.yaml", draw(st.integers(0, 3)) == 0), {"config.yaml": data})


def _keys(values: dict[str, Any], prefix: str = "") -> list[str]:
    found = []
    for key, value in values.items():
        found += [prefix + key, *(_keys(value, f"{prefix}{key}.") if isinstance(value, dict) else [])]
    return found


@st.composite
def _overrides(draw: st.DrawFn) -> Case:
    preset = draw(st.sampled_from(list(COMMANDS)))
    keys = st.sampled_from(_keys(_resolved(preset)))
    odd = st.sampled_from(
        ["", ".", "a.b.c", "kind", "extends", "expected", "loop", "data.source.x", "é", "--x", "a b"]
    )
    values = st.one_of(
        st.sampled_from(VALUES).map(
            lambda value: yaml.safe_dump(value, default_flow_style=True).removesuffix("\n...\n").strip()
        ),
        st.sampled_from(SNIPPETS),
        st.text(max_size=12),
        st.integers().map(str),
        st.floats().map(str),
    )
    texts = []
    for _ in range(draw(st.integers(1, 3))):
        key = draw(st.one_of(keys, keys, keys, odd))
        texts.append(f"{key}={draw(values)}" if draw(st.integers(0, 19)) else key)
    words = _words(preset, preset, draw(st.integers(0, 3)) == 0)
    # As a shell hands them over: without null bytes, and in no encoding that UTF-8 is not.
    return Case((*words, *(text.replace("\x00", "").encode(errors="replace").decode() for text in texts)))


# Images, archives, tables.

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "TIFF", "BMP", "PPM", "ICO", "TGA", "JPEG2000")


def _picture(kind: str, mode: str) -> bytes:
    buffer = io.BytesIO()
    image = picture(3).convert(mode)
    try:
        image.save(buffer, kind)
    except (OSError, ValueError):  # a format without that mode
        buffer = io.BytesIO()
        picture(3).save(buffer, kind)
    return buffer.getvalue()


@st.composite
def _images(draw: st.DrawFn) -> Case:
    kind = draw(st.sampled_from(FORMATS))
    data = _picture(kind, draw(st.sampled_from(["RGB", "L", "P", "RGBA", "CMYK", "I;16", "F", "1", "LA"])))
    ending = draw(st.sampled_from([kind.lower().replace("jpeg2000", "jp2"), "png", "jpg", "tif"]))
    return Case(
        ("data", "prepare", "source", "out", *PREPARE), {f"source/a/odd.{ending}": draw(damaged(data))}
    )


def _fill_images(folder: Path) -> None:
    write_folder(folder / "source", ["a/whole.png", "b/whole.png"])


def _zip(names: list[str], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for seed, name in enumerate(names):
            archive.writestr(name, encoded(seed))
    return buffer.getvalue()


def _tar(names: list[str], mode: str = "w") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:  # type: ignore[call-overload]
        for seed, name in enumerate(names):
            member = tarfile.TarInfo(name)
            data = encoded(seed)
            if name.startswith("link"):
                member.type, member.linkname = tarfile.SYMTYPE, "../../outside.png"
                archive.addfile(member)
                continue
            if name.endswith(".cls"):
                data = b"1"
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


MEMBERS = (
    "a/1.png", "b/2.png", "3.png", "../outside.png", "/tmp/outside.png", "a/../../outside.png", "link.png", "a/b/c/d.png", "x.cls",
    "é.png", "a\\b.png", " .png", "a/1.png", "CON.png", "a" * 90 + ".png", "x.json", "1.jpg", "..", "a//b.png",
)  # fmt: skip


@st.composite
def _archives(draw: st.DrawFn) -> Case:
    names = draw(st.lists(st.sampled_from(MEMBERS), min_size=1, max_size=5))
    if draw(st.booleans()):
        name, data = "source.zip", _zip(list(dict.fromkeys(names)), draw(st.sampled_from([0, 8])))
    else:
        name, data = "source.tar", _tar(names)
    if draw(st.integers(0, 3)):
        data = draw(damaged(data))
    return Case(("data", "prepare", name, "out", *PREPARE), {name: data})


TABLE = "image,smiling,hat,class,split\n" + "".join(
    f"{c}/{i}.png,{i % 2},{(i + 1) % 2},{c},{'val' if i == 3 else 'train'}\n" for c in "ab" for i in range(4)
)


@st.composite
def _tables(draw: st.DrawFn) -> Case:
    text = TABLE.replace(",", draw(st.sampled_from([",", ",", ",", ";", "\t", "|", " "])))
    options = draw(
        st.sampled_from(
            [(), ("--label-column", "class"), ("--split-column", "split"), ("--label-column", "hat")]
        )
    )
    data = draw(damaged_text(text))
    return Case(
        ("data", "prepare", "source", "out", "--attributes", "table.csv", *PREPARE, *options),
        {"table.csv": data},
    )


def _fill_tables(folder: Path) -> None:
    write_folder(folder / "source", [f"{c}/{i}.png" for c in "ab" for i in range(4)])


# Prepared images.


def _fill_shards(folder: Path) -> None:
    names = [f"train/{'ab'[i % 2]}/{i}.png" for i in range(9)] + ["val/a/0.png"]
    write_folder(folder / "source", names)
    ended = call(["data", "prepare", "source", "shards", *PREPARE], folder)
    assert ended.code == 0, ended.said
    shutil.rmtree(folder / "source")
    save_tokenizer(small_tokenizer(), folder / "vae")


@st.composite
def _shards(draw: st.DrawFn, folder: Path) -> Case:
    name = draw(
        st.sampled_from(
            ["manifest.json", "manifest.json", "index.npz", "images-00000.tar", "images-00001.tar"]
        )
    )
    data = (folder / "shards" / name).read_bytes()
    if name == "manifest.json":
        data = draw(changed_json(data.decode()))
    elif name == "index.npz":
        data = draw(st.one_of(damaged(data), _other_arrays(data)))
    else:
        data = draw(damaged(data))
    words = draw(
        st.sampled_from(
            [
                ("data", "verify", "shards"),
                ("data", "inspect", "shards"),
                ("data", "inspect", "shards", "--sheet", "sheet.png"),
                ("reconstruct", "vae", "--data", "shards", "--split", "train", "--to", "out"),
            ]
        )
    )
    return Case(words, {f"shards/{name}": data})


def _npz(arrays: dict[str, np.ndarray]) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


@st.composite
def _other_arrays(draw: st.DrawFn, data: bytes) -> bytes:
    """Draw an npz file of which an array is another, or gone."""
    with np.load(io.BytesIO(data), allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    name = draw(st.sampled_from(sorted(arrays)))
    array = arrays.pop(name)
    others = [
        array[:-1], array[:0], np.array(0), array[None], array.astype(str), np.zeros(3), -np.ones_like(array, np.int64),
        np.full(array.shape, 2**62), np.full(array.shape, np.nan), array.astype(np.complex64) if array.dtype.kind in "iuf" else array,
        np.array([_Evil()] * max(1, len(array)) if array.ndim else _Evil(), dtype=object), np.asfortranarray(array), array[..., :1],
    ]  # fmt: skip
    chosen = draw(st.integers(-1, len(others) - 1))
    if chosen >= 0:
        arrays[name] = others[chosen]
    return _npz(arrays)


class _Evil:
    """An object that makes the canary when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        import os

        return os.system, ("touch canary",)


def _fill_npz(folder: Path) -> None:
    pixels = np.stack([np.asarray(picture(i, 16, 16)) for i in range(6)])
    (folder / "images.npz").write_bytes(_npz({"arr_0": pixels, "arr_1": np.arange(6)}))
    width = 1280  # of MobileNet's features
    statistics = {"mu": np.zeros(width), "sigma": np.eye(width)}
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **statistics)
    (folder / "reference.npz").write_bytes(buffer.getvalue())
    save_tokenizer(small_tokenizer(), folder / "vae")


@st.composite
def _archives_of_arrays(draw: st.DrawFn, folder: Path) -> Case:
    name = draw(st.sampled_from(["images.npz", "images.npz", "images.npz", "reference.npz"]))
    data = (folder / name).read_bytes()
    data = draw(st.one_of(damaged(data), _other_arrays(data)))
    read = ("reconstruct", "vae", "--data", "images.npz", "--to", "out")
    if name == "reference.npz":
        read = (
            "evaluate", "generation", "images.npz", "--reference", "reference.npz", "--features", "mobilenet-v2",
            "--output", "out", "--cache", "cache", "intervals.jackknife=0", "metrics=[fd]",
        )  # fmt: skip
    return Case(read, {name: data})


# Weights.


def _fill_weights(folder: Path) -> None:
    save_tokenizer(small_tokenizer(), folder / "vae")


@st.composite
def _safetensors(draw: st.DrawFn, folder: Path) -> Case:
    words = (
        "export",
        "vae",
        "--to",
        draw(st.sampled_from(["safetensors", "diffusers", "ldm"])),
        "--output",
        "out",
    )
    if draw(st.integers(0, 3)) == 0:
        name = draw(st.sampled_from([path.name for path in sorted((folder / "vae").glob("*.json"))]))
        return Case(words, {f"vae/{name}": draw(changed_json((folder / "vae" / name).read_text()))})
    data = (folder / "vae/model.safetensors").read_bytes()
    return Case(words, {"vae/model.safetensors": draw(st.one_of(damaged(data), _other_header(data)))})


@st.composite
def _other_header(draw: st.DrawFn, data: bytes) -> bytes:
    """Draw a safetensors file whose header gives other names, types, shapes or places."""
    (size,) = struct.unpack("<Q", data[:8])
    header = draw(changed_document(json.loads(data[8 : 8 + size])))
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data[8 + size :]


def _fill_checkpoints(folder: Path) -> None:
    save_tokenizer(small_tokenizer(), folder / "vae")
    save_run(folder / "run", Path("vae"))
    torch.save({"state_dict": small_tokenizer().state_dict()}, folder / "weights.ckpt")
    torch.save({"ema": {"x": torch.zeros(3)}, "args": None}, folder / "generator.pt")


STEP = "run/checkpoints/step-000000007"


@st.composite
def _checkpoints(draw: st.DrawFn, folder: Path) -> Case:
    sampled = ("sample", "run", "--to", "out.npz", "--images", "2", "--steps", "1", "--checkpoint", "7")
    reads: dict[str, tuple[tuple[str, ...], ...]] = {
        f"{STEP}/ema.safetensors": (("export", STEP, "--to", "safetensors", "--output", "out"), sampled),
        f"{STEP}/state.json": (("export", STEP, "--to", "safetensors", "--output", "out"), sampled),
        "run/config.yaml": (("export", "run", "--to", "safetensors", "--output", "out"), sampled),
        "run/classes.json": (sampled,),
        "weights.ckpt": (("export", "weights.ckpt", "--to", "safetensors", "--output", "out"),),
        "generator.pt": (
            (
                "sample",
                "generator.pt",
                "--tokenizer",
                "vae",
                "--to",
                "out.npz",
                "--images",
                "2",
                "--steps",
                "1",
            ),
        ),
    }
    name = draw(st.sampled_from([name for name in reads if (folder / name).is_file()]))
    data = (folder / name).read_bytes()
    if name.endswith(".json"):
        data = draw(changed_json(data.decode()))
    elif name.endswith(".yaml"):
        data = draw(damaged_text(data.decode()))
    elif name.endswith(".safetensors"):
        data = draw(st.one_of(damaged(data), _other_header(data)))
    else:
        data = draw(st.one_of(damaged(data), _other_pickle(data), st.just(PICKLE)))
    return Case(draw(st.sampled_from(reads[name])), {name: data})


@st.composite
def _other_pickle(draw: st.DrawFn, data: bytes) -> bytes:
    """Draw a file of torch.save whose pickle is damaged, or makes the canary, in a whole archive."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as new:
        for member in old.namelist():
            content = old.read(member)
            if member.endswith("data.pkl"):
                content = draw(st.one_of(damaged(content), st.just(PICKLE), st.just(b"\x80\x02" + PICKLE)))
            new.writestr(member, content)
    return buffer.getvalue()


def _nothing(_folder: Path) -> None:
    return


PREPARED = ("out/*.tar", "out/manifest.json", "out/index.npz")
KINDS = {
    kind.name: kind
    for kind in (
        Kind("configurations", 400, _nothing, lambda _folder: _configurations(), ("[!c]*",)),
        Kind("overrides", 600, _nothing, lambda _folder: _overrides(), ("*",)),
        Kind("images", 250, _fill_images, lambda _folder: _images(), PREPARED),
        Kind("archives", 250, _nothing, lambda _folder: _archives(), PREPARED),
        Kind("CSV tables", 200, _fill_tables, lambda _folder: _tables(), PREPARED),
        Kind("prepared shards", 350, _fill_shards, _shards, ("sheet.png",)),
        Kind("npz files", 150, _fill_npz, _archives_of_arrays, ("out/results.json",)),
        Kind("safetensors", 200, _fill_weights, _safetensors, ("out",)),
        Kind("checkpoints", 200, _fill_checkpoints, _checkpoints, ("out", "out.npz")),
    )
}
