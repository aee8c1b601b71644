"""When do products and a softmax beat PyTorch's fused attention, forward and backward, in bf16 on a CPU?"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.harness import Report
from sendvae.nn.attention import SHORT, attend

SHAPES = ((32, 3, 16, 64), (32, 3, 64, 64), (8, 12, 256, 64), (2, 12, 1024, 64))
REPEATS = 12


def measure(report: Report) -> None:
    """Time several numbers of tokens."""
    for shape in SHAPES[: 1 if report.quick else None]:
        tensors = [torch.randn(shape, dtype=torch.bfloat16) for _ in range(3)]

        def step(
            attention: Callable[[Tensor, Tensor, Tensor], Tensor], tensors: list[Tensor] = tensors
        ) -> None:
            q, k, v = (tensor.detach().requires_grad_() for tensor in tensors)
            attention(q, k, v).backward(tensors[0])

        note = "" if shape[2] <= SHORT else "ours is fused, too"
        what = f"attention of {shape[2]} tokens, batch {shape[0]}, {shape[1]} heads"
        report.compare(
            what,
            lambda: step(attend),
            "fused attention",
            lambda: step(F.scaled_dot_product_attention),
            note,
            REPEATS,
        )
