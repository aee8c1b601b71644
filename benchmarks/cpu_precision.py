"""Is bf16 autocast faster than fp32 for a training step of the demo's tokenizer on this processor?"""

from __future__ import annotations

import torch

from benchmarks.harness import Report
from sendvae.nn.precision import autocast, bf16_is_native
from sendvae.tokenizers import build_tokenizer


def measure(report: Report) -> None:
    """Time forward and backward passes of both formats."""
    batch = 2 if report.quick else 32
    tokenizer, images = build_tokenizer("demo-f8d16"), torch.randn(batch, 3, 64, 64)

    def step(precision: str) -> None:
        with autocast(precision, images.device):
            loss = (tokenizer.decode(tokenizer.encode(images).sample()).float() - images).abs().mean()
        loss.backward()

    native = "native bf16" if bf16_is_native(torch.device("cpu")) else "bf16 emulated"
    report.compare(
        f"demo-f8d16 in bf16, batch {batch}", lambda: step("bf16"), "float32", lambda: step("fp32"), native
    )
