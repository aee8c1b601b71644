"""The share of a stage's work that is done, which progress and the time left are computed from."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from sendvae.config import DiffusionConfig, SamplesConfig, load_config, validate
from sendvae.evaluation.sample_files import ArrayBlocks, unfinished_folder
from sendvae.experiments.cell import Stage
from sendvae.experiments.graph import Graph, Node
from sendvae.experiments.measures import SAMPLES
from sendvae.runs import JOURNAL

PIXELS = torch.zeros(5, 3, 8, 8, dtype=torch.uint8)


def node(folder: Path, kind: str, config: DiffusionConfig | SamplesConfig, **inputs: str) -> Node:
    found = Graph(folder).add(Stage(kind, "stage", config, inputs))
    found.folder.mkdir(parents=True)
    return found


def test_samples_count_as_they_are_drawn_and_their_measurement_at_the_end(tmp_path: Path) -> None:
    settings = {"sampling": {"images": 14, "batch_size": 5, "steps": 10}, "reference": "embedded:emoji"}
    stage = node(
        tmp_path, "samples", validate(SamplesConfig, settings), run="demo-sit-plain", tokenizer="demo-plain"
    )
    assert stage.worked == 0
    target = stage.folder / SAMPLES
    parts = unfinished_folder(target)
    parts.mkdir()
    blocks, seen = ArrayBlocks(parts, 14, 5), []
    for batch in blocks.batches:
        blocks.save(batch, PIXELS[: len(batch)])
        seen.append(stage.worked)
    drawing = 14 * (1.3 + 0.15 * 10)
    assert seen == pytest.approx([drawing * share for share in (5 / 14, 10 / 14, 1)])
    parts.rename(target.with_name("away"))
    target.touch()
    assert stage.worked == pytest.approx(drawing)
    assert stage.work == pytest.approx(drawing + 500)
    (stage.folder / "done.json").touch()
    assert stage.worked == stage.work


def test_a_training_counts_the_images_of_its_journal(tmp_path: Path) -> None:
    config = load_config(DiffusionConfig, "demo/sit-tiny", ["loop.images=80", "data.limit=40"])
    stage = node(tmp_path, "diffusion", config, tokenizer="demo-plain")
    assert stage.worked == 0
    lines = ({"images": images, "loss": 1.0} for images in (8, 20))
    (stage.folder / JOURNAL).write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert stage.worked == pytest.approx(stage.work * 20 / 80)
