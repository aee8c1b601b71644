"""The stages that mishaps befall: a command of the smallest size for each, and what it must leave in the end."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.data.pictures import write_folder
from tests.evaluation.samplable import save_run, small_tokenizer
from tests.faults.commands import call

from sendvae.tokenizers import save_tokenizer

# The fields of a journal's line that depend on the machine.
OF_MACHINE = {"images_per_second", "tflops", "mfu", "memory_gib"}
TRAINING = [
    "data.limit=32",
    "loop.precision=fp32",
    "loop.cuda_graph=false",
    "--run",
    "run",
    "--cache",
    "cache",
]
IMAGES = 24


@dataclass(frozen=True)
class Stage:
    """A command that mishaps befall.

    Attributes:
        name: the name of the stage in the record.
        arguments: returns the arguments of the command, from the folder of `given`. It works in a folder of its own.
        results: glob patterns of the files that must have the same bytes.
        kept: the glob pattern of the finished parts that a killed command goes on from.
        more_lost: glob patterns of other files that may vanish, and are made again.
        last: the glob pattern of files that are there once no work is left. Nothing is made again then.
        by_several: whether processes of a launcher share the work.
    """

    name: str
    arguments: Callable[[Path], list[str]]
    results: tuple[str, ...]
    kept: str
    more_lost: tuple[str, ...] = ()
    last: str = "none"
    by_several: bool = False

    @property
    def lost(self) -> tuple[str, ...]:
        """Return the glob patterns of all files that may vanish."""
        return (self.kept, *self.more_lost)

    def left(self, place: Path) -> dict[str, str]:
        """Return the hash of every result by path, without what depends on the machine in journals and documents."""
        files = sorted({path for pattern in self.results for path in place.glob(pattern) if path.is_file()})
        return {
            str(path.relative_to(place)): hashlib.sha256(_content(path, place)).hexdigest() for path in files
        }

    def parts(self, place: Path) -> int:
        """Return the number of finished parts from which the command can go on."""
        return len(list(place.glob(self.kept)))


def _content(path: Path, place: Path) -> bytes:
    """Return the content of a file that must be equal.

    Fields of the machine are left out of journals. Of the document of a result, the subjects and the protocol count,
    and the folder of the work, which it names, is replaced.
    """
    if path.name == "metrics.jsonl":
        lines = map(json.loads, path.read_text().splitlines())
        kept = [{name: value for name, value in line.items() if name not in OF_MACHINE} for line in lines]
        return json.dumps(kept).encode()
    if path.name == "results.json":
        document = json.loads(path.read_text().replace(str(place), "PLACE"))
        return json.dumps([document["subjects"], document["protocol"]], sort_keys=True).encode()
    return path.read_bytes()


def given(folder: Path) -> Path:
    """Make what the commands read (pictures, prepared pictures, a tokenizer, a generator) and return the folder."""
    names = [f"train/{'ab'[i % 2]}/{i}.png" for i in range(IMAGES)] + [f"val/a/{i}.png" for i in range(4)]
    write_folder(folder / "pictures", names, enlarged=30)  # large, so that a preparation can be met at work
    ended = call(
        [
            "data",
            "prepare",
            folder / "pictures",
            folder / "shards",
            "--size",
            16,
            "--shard-size",
            8,
            "--processes",
            1,
        ],
        folder,
    )
    assert ended.code == 0, ended.said
    save_tokenizer(small_tokenizer(), folder / "vae")
    save_run(folder / "generator", folder / "vae")
    return folder


def _training(kind: str, *settings: str) -> Callable[[Path], list[str]]:
    return lambda _given: ["train", kind, *settings, *TRAINING]


RUN = ("run/checkpoints/**/*", "run/metrics.jsonl", "cache/*/*.safetensors")
TOKENIZER = _training(
    "tokenizer",
    "demo/send-vae",
    "loop.images=64",
    "loop.batch_size=4",
    "loop.checkpoint_every=8",
    "loop.log_every=8",
    "statistics_images=16",
    "ema=0.9",
)
DIFFUSION = _training(
    "diffusion",
    "demo/sit-tiny",
    "loop.images=256",
    "loop.batch_size=8",
    "loop.checkpoint_every=16",
    "loop.log_every=16",
)
JOINT = _training(
    "joint",
    "demo/joint",
    "loop.images=48",
    "loop.batch_size=4",
    "loop.checkpoint_every=8",
    "loop.log_every=8",
)
# The smallest demonstration: it trains a tokenizer and two generators, samples one of them, and scores everything.
EXPERIMENT = [
    "demo",
    "--quick",
    "--run",
    "run",
    "limit=24",
    "tokenizers=[demo-plain]",
    "models=[]",
    "latents=[demo-plain]",
    "tokenizer_images=32",
    "diffusion_images=64",
    "sampling.images=16",
    "sampling.batch_size=8",
    "sampling.steps=2",
    "evaluation.reconstruction.limit=8",
    "evaluation.latents.scores=[uniformity]",
    "evaluation.latents.uniformity.samples=16",
    "evaluation.generation.metrics=[fd]",
]
TRAINED = {
    "kept": "run/checkpoints/step-*",
    "more_lost": ("cache/*/shard-*",),
    "last": "run/*/model.safetensors",
    "by_several": True,
}
STAGES = {
    stage.name: stage
    for stage in (
        Stage(
            "training of a tokenizer", TOKENIZER, (*RUN, "run/tokenizer/*.safetensors"), **TRAINED
        ),
        Stage("training of a generator", DIFFUSION, (*RUN, "run/sit/*.safetensors"), **TRAINED),
        Stage(
            "joint training",
            JOINT,
            (*RUN, "run/tokenizer/*.safetensors", "run/sit/*.safetensors"),
            **TRAINED,
        ),
        Stage(
            "preparation of images",
            lambda given: [
                "data", "prepare", str(given / "pictures"), "out",
                "--size", "16", "--shard-size", "2", "--processes", "2", "--val-fraction", "0",
            ],
            ("out/*",),
            "out/.preparing/shard-*",
            ("out/images-*.tar",),
            "out/manifest.json",
        ),
        Stage(
            "caching of latents",
            lambda given: ["data", "cache-latents", "demo-f8d16", str(given / "shards"), "out", "--shard-size", "1", "--flip"],
            ("out/*/*",),
            "out/*/shard-*",
            by_several=True,
        ),
        Stage(
            "sampling into a folder",
            lambda given: [
                "sample", str(given / "generator"), "--to", "out", "--images", "48",
                "--labels", "balanced", "--guidance", "2", "--steps", "40", "batch_size=2",
            ],
            ("out/*.png", "out/labels.txt"),
            "out.part/*.png",
            by_several=True,
        ),
        Stage(
            "an experiment",
            lambda _given: EXPERIMENT,
            (
                "run/stages/**/*.safetensors",
                "run/stages/**/results.json",
                "run/stages/**/metrics.jsonl",
                "run/stages/**/*.npz",
                "run/cache/*/*.safetensors",
            ),
            "run/stages/*/done.json",
        ),
    )
}  # fmt: skip
