"""How fast is guided sampling against a plain loop of the same sampler, and what do bf16 weights gain?"""

from __future__ import annotations

import copy
import math

import torch
from torch import Tensor

from benchmarks.harness import Report
from sendvae.diffusion import Generator, build_generator, sample

SCALE, INTERVAL, LAST = 2.5, (0.0, 0.75), 0.04


@torch.no_grad()
def measure(report: Report) -> None:
    """Time Euler-Maruyama with guidance on an interval; fewer steps than the paper's 250, whose time is in proportion."""
    name, batch, steps = ("SiT-Tiny/2", 2, 3) if report.quick else ("SiT-B/1", 4, 6)
    network = build_generator(name, latent_channels=32, latent_size=16, num_classes=1000).eval()
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.02)  # a fresh generator would answer zero
    noise, labels = torch.randn(batch, *network.latent_shape), torch.randint(1000, (batch,))
    half = copy.deepcopy(network).to(torch.bfloat16)

    def ours(model: Generator = network, dtype: torch.dtype = torch.float32) -> Tensor:
        draws = torch.Generator().manual_seed(0)
        return sample(
            model, noise.to(dtype), labels, steps=steps, guidance_scale=SCALE, guidance_interval=INTERVAL, generator=draws
        )  # fmt: skip

    def theirs() -> Tensor:
        return plain(network, noise, labels, steps)

    difference = (ours() - theirs()).abs().max() / theirs().abs().max()
    what = f"{name}, batch {batch}, {steps} guided steps"
    report.compare(
        what, ours, "a plain loop, fp32", theirs, f"largest difference {difference:.0e}", repeats=3
    )
    report.compare(
        f"{what}, bf16 weights", lambda: ours(half, torch.bfloat16), "a plain loop, fp32", theirs, repeats=3
    )


def plain(network: torch.nn.Module, noise: Tensor, labels: Tensor, steps: int) -> Tensor:
    """Sample as the published code does: a float64 state, two passes where guidance is on."""
    draws, null = torch.Generator().manual_seed(0), torch.full_like(labels, 1000)
    x = noise.double()
    times = [*torch.linspace(1.0, LAST, steps, dtype=torch.float64).tolist(), 0.0]
    for i in range(steps):
        t, dt = times[i], times[i + 1] - times[i]
        time = torch.full((len(x),), t)
        velocity = network(x.float(), time, labels).double()
        if INTERVAL[0] <= t <= INTERVAL[1]:
            free = network(x.float(), time, null).double()
            velocity = free + SCALE * (velocity - free)
        score = -(x + (1 - t) * velocity) / t
        x = x + (velocity - t * score) * dt
        if i < steps - 1:
            x = x + math.sqrt(2 * t * -dt) * torch.randn(x.shape, generator=draws, dtype=torch.float64)
    return x.float()
