"""How much slower is GroupNorm's backward pass on a CPU when its input lies channels-last?"""

from __future__ import annotations

from functools import partial

import torch
import torch.nn.functional as F

from benchmarks.harness import Report

SHAPE, GROUPS, REPEATS = (16, 16, 64, 64), 8, 20


def measure(report: Report) -> None:
    """Time both layouts in float32 and bfloat16."""
    weight = torch.rand(SHAPE[1], requires_grad=True)
    for dtype in (torch.float32, torch.bfloat16):
        rows = torch.randn(SHAPE, dtype=dtype)
        contiguous, last = (
            rows.clone(memory_format=layout).requires_grad_()
            for layout in (torch.contiguous_format, torch.channels_last)
        )
        outputs = [F.group_norm(images, GROUPS, weight, weight) for images in (contiguous, last)]
        gradient = torch.ones_like(outputs[0])
        ours, theirs = (partial(out.backward, gradient, retain_graph=True) for out in outputs)
        report.compare(f"GroupNorm's backward pass, {dtype}", ours, "channels-last", theirs, repeats=REPEATS)
