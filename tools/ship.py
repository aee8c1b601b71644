"""Turns a finished run into weights that ship with the package: half precision, with its record.

    python -m tools.ship RUN NAME

A tokenizer goes into src/sendvae/tokenizers/weights/NAME, the generator of a diffusion run, without its REPA
projector, into src/sendvae/diffusion/weights/NAME. Beside the weights lie the configuration, the environment and the
scalars of the training. A row in the table of the room makes the name known.
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from sendvae.diffusion import load_generator, save_generator
from sendvae.files import new_folder
from sendvae.runs import RunFolder, load_classes
from sendvae.tokenizers import load_tokenizer, save_tokenizer, trainable

PACKAGE = Path(__file__).parents[1] / "src/sendvae"
RECORD = {
    "config.yaml": "training-config.yaml",
    "environment.json": "training-environment.json",
    "metrics.jsonl": "training-metrics.jsonl",
}
LICENCE = "Apache-2.0"


def ship(source: Path, name: str, package: Path = PACKAGE) -> Path:
    """Write the folder of shipped weights of a finished run, whole or not at all; return it.

    Raises:
        ValueError: the run is of another kind.
        FileExistsError: weights of that name are there already.
    """
    run = RunFolder(source)
    config = run.configuration()
    rooms = {"tokenizer": "tokenizers", "diffusion": "diffusion"}
    if config["kind"] not in rooms:
        raise ValueError(f"{source} is a run of kind {config['kind']}, expected one of {', '.join(rooms)}")
    target = package / rooms[config["kind"]] / "weights" / name
    if target.exists():
        raise FileExistsError(f"{target} is there: shipped weights are never replaced")
    card = {
        "trained from": config["init"] if config["kind"] == "tokenizer" else config["tokenizer"],
        "trained on": f"{config['data']['source']}, {config['data']['split']} split",
        "images seen": config["loop"]["images"],
        "licence": LICENCE,
    }
    with new_folder(target) as folder, _saved(run, config, card) as saved:
        for path in saved.iterdir():
            shutil.copy(path, folder)
        for given, kept in RECORD.items():
            shutil.copy(run.path / given, folder / kept)
    return target


@contextmanager
def _saved(run: RunFolder, config: dict[str, Any], card: dict[str, Any]) -> Iterator[Path]:
    """Yield a folder with the weights in half precision, which is removed after the block."""
    folder = run.path / "shipped"
    try:
        if config["kind"] == "tokenizer":
            tokenizer = trainable(load_tokenizer(str(run.path)), run.path)
            save_tokenizer(tokenizer, folder, card, torch.float16)
        else:
            generator = load_generator(run.path)
            bare = type(generator)(**{**generator.arguments, "repa_width": None})
            weights = generator.state_dict()
            bare.load_state_dict({key: weights[key] for key in bare.state_dict()})
            save_generator(bare.half(), folder)
            load_classes(run.path, generator.null_label).save(folder)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path)
    parser.add_argument("name")
    arguments = parser.parse_args()
    print(ship(arguments.run, arguments.name))
