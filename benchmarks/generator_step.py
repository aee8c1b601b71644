"""How fast is a step of SiT with REPA against a straightforward loop around the same network?"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.harness import Report
from benchmarks.training_steps import diffusion
from sendvae.config import DiffusionConfig, load_config
from sendvae.training.source import Batch

CPU = torch.device("cpu")
AVERAGE, WEIGHT, CLIP = 0.9999, 0.5, 1.0  # of the weights; of REPA; of the gradient's norm


def measure(report: Report) -> None:
    """Time SiT-B/1 on 256 tokens at batch 8, latents and tokens from a cache."""
    preset, batch = ("demo/sit-tiny", 2) if report.quick else ("imagenet256-sit-b1", 8)
    overrides = [f"loop.batch_size={batch}", "loop.accumulate=1", "loop.precision=bf16", "loop.compile=off"]
    config = load_config(DiffusionConfig, preset, overrides)
    stage, data = diffusion(config, batch, CPU)
    network = copy.deepcopy(stage.generator)
    what = f"step of {config.model} with REPA in bf16, batch {batch}"
    for precision in ("bf16", "fp32"):
        theirs = straightforward(copy.deepcopy(network), data, precision)
        report.compare(
            what, lambda: stage.step(data, 10_000), f"a plain loop, {precision}", theirs, repeats=5
        )


def straightforward(network: Any, data: Batch, precision: str) -> Callable[[], None]:
    """Return a step as one would write it first: autocast, AdamW, clipping, an average parameter by parameter."""
    assert data.latent_mean is not None
    assert data.latent_std is not None
    assert data.tokens is not None
    optimizer = torch.optim.AdamW(
        (p for p in network.parameters() if p.requires_grad), lr=1e-4, weight_decay=0.0
    )
    average = copy.deepcopy(network)

    def loss() -> Tensor:
        z = data.latent_mean + data.latent_std * torch.randn_like(data.latent_mean)  # type: ignore[operator,arg-type]
        t, noise = torch.rand(len(z)), torch.randn_like(z)
        share = t[:, None, None, None]
        velocity, projected = network.forward_with_features((1 - share) * z + share * noise, t, data.labels)
        alignment = 1 - F.cosine_similarity(projected.float(), data.tokens, dim=-1)  # type: ignore[arg-type]
        return F.mse_loss(velocity.float(), noise - z) + WEIGHT * alignment.mean()

    def step() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            total = loss()
        optimizer.zero_grad()
        total.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), CLIP)
        optimizer.step()
        with torch.no_grad():
            for own, new in zip(average.parameters(), network.parameters(), strict=True):
                own.mul_(AVERAGE).add_(new, alpha=1 - AVERAGE)

    return step
