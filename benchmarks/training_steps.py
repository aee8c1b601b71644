"""How near is a training step to the largest matrix products of the device, whole and compiled block by block?

    python -m benchmarks.training_steps --preset imagenet256-sit-b1 --batch 256
    python -m benchmarks.training_steps --preset imagenet256-f16d32-send --batch 16

Presets of generators, tokenizers and joint training are taken. Weights, latents, images and tokens are random.
A line is one setting; its repeats take turns with those of the others. FLOPs are those of `--dry-run`.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from functools import partial
from statistics import median

import torch

from benchmarks.stages import POSITION, build, load_step
from sendvae.nn.precision import bf16_is_native
from sendvae.training import default_device
from sendvae.training.estimate import estimate

WARM_UP = 3  # steps
PRODUCT = {"cuda": 8192, "cpu": 2048}  # the side of the matrices of the ceiling
TERA = 1e12


def tflops_of_products(device: torch.device, repeats: int) -> float:
    """Return the TFLOP/s of a large bf16 matrix product."""
    side = PRODUCT[device.type]
    a, b = (torch.randn(side, side, device=device, dtype=torch.bfloat16) for _ in range(2))
    return 2 * side**3 / TERA / median(timed(lambda: a @ b, device) for _ in range(repeats + WARM_UP))


def timed(work: Callable[[], object], device: torch.device) -> float:
    """Return the seconds of one call, until the device has done it."""
    began = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - began


def main() -> None:
    """Time the settings in turns, and print a line for each."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--preset", default="imagenet256-sit-b1")
    parser.add_argument("--batch", type=int, default=256 if torch.cuda.is_available() else 8)
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--without-compile", action="store_true")
    parser.add_argument("--quick", action="store_true", help="a tiny preset, once: does it run?")
    options = parser.parse_args()
    if options.quick:
        options.preset, options.batch, options.repeats, options.without_compile = "demo/sit-tiny", 2, 1, True
    device = default_device()
    config = load_step(options.preset, options.batch)
    flops = estimate(config).flops_per_image * options.batch
    precisions = ["bf16", "fp32"] if device.type == "cuda" or bf16_is_native(device) else ["fp32"]
    settings = {name: (name, "off") for name in precisions}
    if not options.without_compile:
        settings |= {f"{precisions[0]}, blocks compiled": (precisions[0], "regional")}
    steps: dict[str, Callable[[], object]] = {}
    for name, (precision, compiled) in settings.items():
        own = load_step(
            options.preset, options.batch, [f"loop.precision={precision}", f"loop.compile={compiled}"]
        )
        stage, batch = build(own, device)
        steps[name] = partial(stage.step, batch, POSITION)
    for step in steps.values():
        for _ in range(WARM_UP):
            timed(step, device)
    times: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(options.repeats):
        for name, step in steps.items():
            times[name].append(timed(step, device))
    ceiling = tflops_of_products(device, options.repeats)
    facts = {
        "preset": options.preset,
        "batch": options.batch,
        "device": torch.cuda.get_device_name() if device.type == "cuda" else "cpu",
        "bf16_products_tflops": round(ceiling, 2),
    }
    print(json.dumps(facts))
    for name, taken in times.items():
        seconds = median(taken)
        rate, share = flops / TERA / seconds, flops / TERA / seconds / ceiling
        print(
            f"{name:24} {seconds * 1e3:9.1f} ms  {options.batch / seconds:9.1f} img/s  {rate:7.2f} TFLOP/s  {share:5.1%}"
        )
    if device.type == "cuda":
        print(f"peak memory {torch.cuda.max_memory_allocated() / 2**30:.1f} GiB")


if __name__ == "__main__":
    main()
