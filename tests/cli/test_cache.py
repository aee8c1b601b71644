"""`sendvae cache list|prune`."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from sendvae.cli.main import app
from sendvae.errors import UserError
from sendvae.runs import CacheKey, locked, save_statistics

runner = CliRunner()
DAY = 86400


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """Three caches of 4 kB, 40 kB and 400 kB, last used 0, 10 and 20 days ago; and what is none."""
    folder = tmp_path / "cache"
    for i, kind in enumerate(("tokens", "latents", "reference")):
        key = CacheKey(kind, f"label{i}", f"data/{i}", {"i": i})
        save_statistics(folder, key, {"x": torch.zeros(1000 * 10**i)})
        for path in (folder / key.name).iterdir():
            os.utime(path, (time.time() - 10 * i * DAY - 5,) * 2)
    (folder / "notes.txt").write_text("precious")
    (folder / "run").mkdir()
    (folder / "run/cache.json").write_text("{}")
    return folder


def run(*arguments: str | Path) -> str:
    result = runner.invoke(app, ["cache", *map(str, arguments)])
    assert result.exit_code == 0, result.exception
    return result.output


def left(cache: Path) -> list[str]:
    assert (cache / "notes.txt").read_text() == "precious"
    assert (cache / "run/cache.json").read_text() == "{}"
    return sorted(
        path.name.partition("-")[0] for path in cache.iterdir() if path.name not in ("notes.txt", "run")
    )


@pytest.mark.parametrize("command", ["list", "prune"])
def test_every_command_explains_itself_with_an_example(command: str) -> None:
    output = run(command, "--help")
    assert f"sendvae cache {command}" in output
    assert "Example" in output


def test_the_list(cache: Path, tmp_path: Path) -> None:
    lines = run("list", "--cache", cache).splitlines()
    assert lines[0].split() == ["name", "what", "data", "size", "age"]
    assert [line.split()[1:4] for line in lines[1:4]] == [
        ["latents:", "label1", "data/1"], ["reference:", "label2", "data/2"], ["tokens:", "label0", "data/0"],
    ]  # fmt: skip
    sizes = [float(line.split()[-4]) for line in lines[1:4]]
    assert sizes == pytest.approx([40.4, 400, 4.4], abs=0.2)  # of the tensors and cache.json
    assert [line.split()[-3:] for line in lines[1:3]] == [["kB", "10", "d"], ["kB", "20", "d"]]
    assert re.search(r" kB +\d+ s$", lines[3])
    assert re.match(r"3 caches, 44\d kB; age", lines[4])
    assert run("list", "--cache", tmp_path / "absent").startswith("no caches in")


@pytest.mark.parametrize(
    ("options", "remaining"),
    [
        (["--name", "*"], []),
        (["--name", "tokens-*", "--name", "latents-*"], ["reference"]),
        (["--older-than", "5"], ["tokens"]),
        (["--older-than", "15"], ["latents", "tokens"]),
        (["--larger-than", "10kB"], ["tokens"]),
        (["--larger-than", "0.1 MB"], ["latents", "tokens"]),
        (["--larger-than", "10kB", "--older-than", "5", "--name", "latents-*"], ["reference", "tokens"]),
    ],
)
def test_pruning_says_first_and_removes_only_what_meets_every_condition(
    options: list[str], remaining: list[str], cache: Path
) -> None:
    everything = left(cache)
    assert "would free" in run("prune", "--cache", cache, *options)
    assert left(cache) == everything
    assert "freed" in run("prune", "--cache", cache, *options, "--yes")
    assert left(cache) == remaining
    assert "no such cache" in run("prune", "--cache", cache, *options, "--yes")


def test_what_is_being_written_stays(cache: Path) -> None:
    (tokens,) = cache.glob("tokens-*")
    with locked(tokens):
        output = run("prune", "--cache", cache, "--name", "*", "--yes")
    assert "is being written; it stays" in output
    assert re.search(r"freed 44\d kB", output)
    assert left(cache) == ["tokens"]


@pytest.mark.parametrize(
    ("options", "words"),
    [(["--yes"], "nothing says which caches"), (["--larger-than", "huge"], "is no size")],
)
def test_mistakes_are_named(options: list[str], words: str, cache: Path) -> None:
    result = runner.invoke(app, ["cache", "prune", "--cache", str(cache), *options])
    assert isinstance(result.exception, UserError)
    assert words in str(result.exception)
    assert len(left(cache)) == 3
