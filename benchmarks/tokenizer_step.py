"""How fast is a step of Send-VAE against straightforward code, and how near to its own roofline?"""

from __future__ import annotations

from benchmarks.harness import Report
from benchmarks.plain_steps import PlainTokenizer
from benchmarks.stages import load_step_as
from benchmarks.step_rows import compare_step
from sendvae.config import TokenizerConfig

QUICK = ("demo/send-vae", 2, ["losses.perceptual=lpips-vgg", "data.size=32"])
FULL = ("imagenet256-f16d32-send", 2, ["data.size=128", "alignment.grid=8"])
SAME = ["loop.precision=bf16", "losses.precision=as-loop"]  # judges in bf16 on both sides


def measure(report: Report) -> None:
    """Time f16d32 with the mapper, LPIPS and the PatchGAN on 128 pixels at batch 2, tokens from a cache."""
    preset, batch, overrides = QUICK if report.quick else FULL
    config = load_step_as(TokenizerConfig, preset, batch, [*overrides, *SAME])
    what = f"step of {config.init} with Send-VAE, {config.data.size} pixels, batch {batch}"
    compare_step(report, what, config, PlainTokenizer)
