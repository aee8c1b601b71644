"""How much slower is GroupNorm's backward pass on a CPU when its input lies channels-last?"""

from __future__ import annotations

import time
from statistics import median

import torch
import torch.nn.functional as F

SHAPE, GROUPS, REPEATS = (16, 16, 64, 64), 8, 20


def once(images: torch.Tensor, weight: torch.Tensor) -> float:
    """Return the seconds of one backward pass."""
    output = F.group_norm(images, GROUPS, weight, weight)
    gradient = torch.ones_like(output)
    began = time.perf_counter()
    output.backward(gradient)
    return time.perf_counter() - began


def main() -> None:
    """Print milliseconds of both layouts, and their ratio, in float32 and bfloat16."""
    torch.manual_seed(0)
    weight = torch.rand(SHAPE[1], requires_grad=True)
    for dtype in (torch.float32, torch.bfloat16):
        rows = torch.randn(SHAPE, dtype=dtype)
        layouts = [rows.clone(memory_format=f) for f in (torch.contiguous_format, torch.channels_last)]
        times: list[list[float]] = [[], []]
        for _ in range(REPEATS + 1):
            for images, into in zip(layouts, times, strict=True):
                into.append(once(images.detach().requires_grad_(), weight))
        contiguous, channels_last = (median(t[1:]) * 1000 for t in times)
        print(
            f"{dtype}: contiguous {contiguous:.2f} ms, channels-last {channels_last:.2f} ms, "
            f"ratio {channels_last / contiguous:.1f}"
        )


if __name__ == "__main__":
    main()
