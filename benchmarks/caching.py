"""Which share of the time that caching latents takes is the encoder's own forward pass?"""

from __future__ import annotations

import tempfile
from pathlib import Path

import torch

from benchmarks.harness import Report
from sendvae.data import open_embedded, to_float
from sendvae.tokenizers import load_tokenizer
from sendvae.training.caching import BATCH, cached_latents

CPU = torch.device("cpu")


def measure(report: Report) -> None:
    """Cache emoji's latents; the encoder alone sees the same images in the same batches."""
    images = open_embedded("emoji", "train", 40 if report.quick else 1024)
    tokenizer = load_tokenizer("demo-f8d16")
    batches = [
        to_float(pixels).contiguous(memory_format=torch.channels_last)
        for pixels in images.pixels.split(BATCH)
    ]

    def ours() -> None:
        with tempfile.TemporaryDirectory() as folder:
            cached_latents(Path(folder), tokenizer, images, CPU)

    @torch.no_grad()
    def encoder() -> None:
        for batch in batches:
            _ = tokenizer.encode(batch).std

    what = f"caching {len(images):,} latents of demo-f8d16"
    report.compare(what, ours, "the encoder alone", encoder, "the ratio is the encoder's share", repeats=3)
