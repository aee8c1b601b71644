"""How fast is a step of REPA-E's joint training against straightforward code, and how near to its own roofline?"""

from __future__ import annotations

from benchmarks.harness import Report
from benchmarks.plain_steps import PlainJoint
from benchmarks.stages import load_step_as
from benchmarks.step_rows import compare_step
from sendvae.config import JointConfig

QUICK = ("demo/joint", 2, ["losses.perceptual=lpips-vgg", "data.size=32"])
FULL = ("imagenet256-f16d32-repae", 2, ["model=SiT-B/1", "repa.depth=4", "data.size=128"])
SAME = ["loop.precision=bf16", "losses.precision=as-loop"]  # judges in bf16 on both sides


def measure(report: Report) -> None:
    """Time f16d32, SiT-B/1, LPIPS and the PatchGAN on 128 pixels at batch 2, tokens from a cache."""
    preset, batch, overrides = QUICK if report.quick else FULL
    config = load_step_as(JointConfig, preset, batch, [*overrides, *SAME])
    what = f"joint step of {config.init} and {config.model}, {config.data.size} pixels, batch {batch}"
    compare_step(report, what, config, PlainJoint)
