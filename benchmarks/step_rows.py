"""The rows of a training step: ours against straightforward code in two formats, and against its own roofline."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

import torch
from torch import Tensor

from benchmarks.harness import Report
from benchmarks.roofline import roofline_of
from benchmarks.stages import POSITION, build
from sendvae.config import TrainingConfig
from sendvae.training.source import Batch

REPEATS = 5
FORMATS = {"bf16": "bf16 autocast", "fp32": "float32"}
CPU = torch.device("cpu")


class PlainStep(Protocol):
    """A step in straightforward code."""

    def step(self, batch: Batch) -> dict[str, Tensor]: ...


def compare_step(
    report: Report, what: str, config: TrainingConfig, plain: Callable[[Any, str], PlainStep]
) -> None:
    """Add three rows; ours computes in the configuration's format.

    Args:
        config: the configuration of a stage.
        plain: makes the straightforward step from our stage and a format, with equal weights.
    """
    stage, batch = build(config, CPU)
    what = f"{what}, {config.loop.precision}"

    def ours() -> object:
        return stage.step(batch, POSITION)

    for precision, written in FORMATS.items():
        theirs = plain(stage, precision)
        report.compare(
            what, ours, f"straightforward code, {written}", partial(theirs.step, batch), repeats=REPEATS
        )
        del theirs  # a third of the memory
    roofline = roofline_of(ours, stage.state)
    count = sum(count for _, count in roofline.calls)
    note = (
        f"the share of it; {count:,} products, convolutions and attentions, and {roofline.moved / 1e9:.2f} GB"
    )
    report.compare(what, ours, "its own roofline", roofline, note, repeats=REPEATS)
