"""Is bf16 autocast faster than fp32 for a training step of the demo's tokenizer on this processor?"""

from __future__ import annotations

import time
from statistics import median

import torch

from sendvae.nn.precision import autocast, bf16_is_native
from sendvae.tokenizers import build_tokenizer

BATCH, REPEATS = 32, 5


def seconds(precision: str) -> float:
    """Median time of a forward and backward pass, seconds."""
    torch.manual_seed(0)
    tokenizer, images = build_tokenizer("demo-f8d16"), torch.randn(BATCH, 3, 64, 64)
    times = []
    for _ in range(REPEATS + 1):  # the first pass warms up
        began = time.perf_counter()
        with autocast(precision, images.device):
            loss = (tokenizer.decode(tokenizer.encode(images).sample()).float() - images).abs().mean()
        loss.backward()
        times.append(time.perf_counter() - began)
    return median(times[1:])


if __name__ == "__main__":
    fp32, bf16 = seconds("fp32"), seconds("bf16")
    native = bf16_is_native(torch.device("cpu"))
    print(
        f"fp32 {BATCH / fp32:.1f} img/s, bf16 {BATCH / bf16:.1f} img/s, ratio {fp32 / bf16:.2f}; native bf16: {native}"
    )
