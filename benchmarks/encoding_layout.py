"""How much faster does a tokenizer encode without gradients when its images lie channels-last?"""

from __future__ import annotations

from functools import partial

import torch

from benchmarks.harness import Report
from sendvae.tokenizers import load_tokenizer

SOURCE, SHAPE, REPEATS = "demo-f8d16", (64, 3, 64, 64), 9


def measure(report: Report) -> None:
    """Time the demo's tokenizer in float32."""
    tokenizer = load_tokenizer(SOURCE)
    images = torch.rand(SHAPE) * 2 - 1
    last = images.contiguous(memory_format=torch.channels_last)
    with torch.no_grad():
        ours, theirs = (partial(tokenizer.encode, given) for given in (last, images))
        report.compare("a batch of 64 images of 64 pixels", ours, "contiguous", theirs, repeats=REPEATS)
