"""Every block of README and docs: command lines parse, Python compiles, and all run that are not marked otherwise."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from PIL import Image
from tests.docs.pages import BLOCKS, PAGES, ROOT, Block, blocks

from sendvae.cli.main import app
from sendvae.config import kind_of, preset_names

KINDS = {"console", "python", "yaml", "text", "bibtex"}
OTHERS = {"pip", "make", "torchrun", "git"}  # commands that pages name beside ours
# What makes a command of a page quick, without another meaning.
QUICK = {
    "sendvae train tokenizer": [
        "loop.images=32",
        "loop.batch_size=16",
        "statistics_images=64",
        "loop.threads=1",
    ],
    "sendvae train diffusion": ["loop.images=32", "loop.batch_size=16", "loop.threads=1"],
    "sendvae train joint": ["loop.images=32", "loop.batch_size=16", "statistics_images=64", "loop.threads=1"],
    "sendvae sample": ["steps=2"],
    "sendvae evaluate latents": ["limit=300"],
    "sendvae evaluate reconstruction": ["limit=64"],
}
SHORTER = {"--images": "20", "--steps": "2", "--grid": "2x2"}


def parse(arguments: list[str]) -> tuple[str, dict[str, Any]]:
    """Parse a command line as the command would, without running it. Returns its name and what it was given."""
    command: Any = typer.main.get_command(app)
    name, context = "sendvae", command.make_context("sendvae", list(arguments))
    while hasattr(command, "resolve_command"):
        word, command, rest = command.resolve_command(context, [*context._protected_args, *context.args])
        name = f"{name} {word}"
        context = command.make_context(word, rest, parent=context)
    return name, context.params


def ours(words: list[str]) -> list[str] | None:
    """Return the arguments of our command in a line, as `torchrun ... -- sendvae` has it, too."""
    return words[words.index("sendvae") + 1 :] if "sendvae" in words else None


TYPED = [(block, words) for block in BLOCKS if block.kind == "console" for words in block.commands()]
COMMANDS = [
    pytest.param(arguments, id=f"{block.page}: {' '.join(words)}"[:110])
    for block, words in TYPED
    if (arguments := ours(words)) is not None
]
PYTHON = [
    pytest.param(block, id=f"{block.page}: {block.text[:40]!r}") for block in BLOCKS if block.kind == "python"
]


def test_blocks_are_of_known_kinds() -> None:
    assert len(BLOCKS) > 30
    assert {block.kind for block in BLOCKS} <= KINDS
    assert all(len(block.reason) >= 5 for block in BLOCKS if block.reason)


def test_what_is_typed_is_a_command_that_exists() -> None:
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.M))
    for block, words in TYPED:
        assert words[0] in {*OTHERS, "sendvae"}, f"{block.page}: {words}"
        if words[0] == "make":
            assert words[1] in targets, f"{block.page}: {words}"


@pytest.mark.parametrize("arguments", COMMANDS)
def test_every_command_line_parses(arguments: list[str]) -> None:
    name, given = parse(arguments)
    assert " " in name
    if name.startswith("sendvae train "):
        preset = str(given["config"])
        assert kind_of(preset) == name.removeprefix("sendvae train ")
    if preset := given.get("preset") or given.get("protocol"):
        assert preset in preset_names()


def test_an_option_that_does_not_exist_is_found() -> None:
    with pytest.raises(Exception, match="No such option"):
        parse(["sample", "demo-sit-send", "--gird", "8x8"])


@pytest.mark.parametrize("block", PYTHON)
def test_python_compiles(block: Block) -> None:
    compile(block.text, block.page, "exec")


def test_yaml_is_read() -> None:
    for block in BLOCKS:
        if block.kind == "yaml":
            assert isinstance(yaml.safe_load(block.text), dict)


def prepare(folder: Path) -> None:
    """Put there what pages assume: photographs in two classes."""
    for i in range(12):
        place = folder / "photos" / ("cat", "dog")[i % 2]
        place.mkdir(parents=True, exist_ok=True)
        Image.effect_mandelbrot((80, 72), (-2.0, -1.2, 1.0, 1.2), 20 + i).convert("RGB").save(
            place / f"{i}.png"
        )


def quick(words: list[str]) -> list[str]:
    """Return the command with fewer images, steps and samples."""
    arguments = ours(words)
    assert arguments is not None
    shorter = [SHORTER.get(before, word) for before, word in zip(["", *words[:-1]], words, strict=True)]
    # A study holds to its protocol.
    return [*shorter, *([] if "--study" in words else QUICK.get(parse(arguments)[0], []))]


RUN = [
    page
    for page in PAGES
    if any(block.kind in ("console", "python") and not block.reason for block in blocks(page))
]


@pytest.mark.slow
@pytest.mark.parametrize("page", RUN, ids=[str(page.relative_to(ROOT)) for page in RUN])
def test_a_page_runs_from_top_to_bottom(page: Path, tmp_path: Path) -> None:
    """Every line in order, in a folder of its own: what one line writes another may read."""
    prepare(tmp_path)
    surroundings = os.environ | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "HF_HUB_OFFLINE": "1",
        "OMP_NUM_THREADS": "1",
    }
    for block in blocks(page):
        if block.reason or block.kind not in ("console", "python"):
            continue
        lines = [[sys.executable, "-c", block.text]]
        if block.kind == "console":
            lines = [quick(words) for words in block.commands()]
        for words in lines:
            done = subprocess.run(
                words, cwd=tmp_path, env=surroundings, capture_output=True, text=True, check=False
            )
            assert done.returncode == 0, f"{' '.join(words)}\n{done.stdout[-2000:]}\n{done.stderr[-3000:]}"
