"""How fast is a step of SiT with REPA against straightforward code, and how near to its own roofline?"""

from __future__ import annotations

from benchmarks.harness import Report
from benchmarks.plain_steps import PlainGenerator
from benchmarks.stages import load_step_as
from benchmarks.step_rows import compare_step
from sendvae.config import DiffusionConfig


def measure(report: Report) -> None:
    """Time SiT-B/1 on 256 tokens at batch 8, latents and tokens from a cache."""
    preset, batch = ("demo/sit-tiny", 2) if report.quick else ("imagenet256-sit-b1", 8)
    config = load_step_as(DiffusionConfig, preset, batch, ["loop.precision=bf16"])
    compare_step(report, f"step of {config.model} with REPA, batch {batch}", config, PlainGenerator)
