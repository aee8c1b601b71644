"""When do products and a softmax beat PyTorch's fused attention, forward and backward, in bf16 on a CPU?"""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median

import torch
import torch.nn.functional as F
from torch import Tensor

from sendvae.nn.attention import SHORT, attend

SHAPES = ((32, 3, 16, 64), (32, 3, 64, 64), (8, 12, 256, 64), (2, 12, 1024, 64))
REPEATS = 12


def once(attention: Callable[[Tensor, Tensor, Tensor], Tensor], tensors: list[Tensor]) -> float:
    """Return the seconds of one forward and backward pass."""
    q, k, v = (tensor.detach().requires_grad_() for tensor in tensors)
    began = time.perf_counter()
    attention(q, k, v).backward(tensors[0])
    return time.perf_counter() - began


def main() -> None:
    """Print milliseconds and their ratio for several numbers of tokens."""
    torch.manual_seed(0)
    for shape in SHAPES:
        tensors = [torch.randn(shape, dtype=torch.bfloat16) for _ in range(3)]
        times: dict[str, list[float]] = {"fused": [], "ours": []}
        for _ in range(REPEATS):
            times["fused"].append(once(F.scaled_dot_product_attention, tensors))
            times["ours"].append(once(attend, tensors))
        fused, ours = (median(t[2:]) * 1000 for t in times.values())
        note = "" if shape[2] <= SHORT else " (fused, too)"
        print(f"{shape}: fused {fused:.2f} ms, ours {ours:.2f} ms, ratio {fused / ours:.2f}{note}")


if __name__ == "__main__":
    main()
