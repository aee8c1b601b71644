"""Which share of a training step's time does it not wait for its images?"""

from __future__ import annotations

import tempfile
from pathlib import Path

import torch

from benchmarks.data_prepare import make
from benchmarks.harness import Report
from benchmarks.stages import POSITION, build, load_step
from sendvae.data import open_images
from sendvae.data.prepare import Preparation
from sendvae.data.prepare_shard import Recipe
from sendvae.training.source import Source, batches

CPU, SIDE = torch.device("cpu"), 64


def measure(report: Report) -> None:
    """Train on prepared shards, read in the training process, and on one batch that is there already."""
    count, batch_size = (8, 2) if report.quick else (256, 16)
    stage, given = build(load_step("demo/plain", batch_size, [f"data.size={SIDE}"]), CPU)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        make(folder / "photos", count)
        Preparation(str(folder / "photos"), folder / "shards", Recipe(SIDE)).run()
        source = Source(open_images(str(folder / "shards"), "train"))

        def ours() -> None:
            for batch in batches(source, batch_size, 0, 0, count, workers=0):
                stage.step(batch, POSITION)

        def theirs() -> None:
            for _ in range(count // batch_size):
                stage.step(given, POSITION)

        what = f"{count // batch_size} steps of demo/plain on shards, batch {batch_size}"
        report.compare(
            what, ours, "on a batch in memory", theirs, "1 minus the ratio is waited for", repeats=3
        )
