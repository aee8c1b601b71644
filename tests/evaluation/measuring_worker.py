"""Small evaluations for `test_parallel.py`; started alone or by torchrun."""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from small import small_network
from torch import Tensor, nn

from sendvae.config import GenerationConfig, LatentsConfig, ReconstructionConfig, validate
from sendvae.distributed import barrier, process_group
from sendvae.evaluation import measure_generation, measure_latents, measure_reconstruction
from sendvae.evaluation.results import Result

INTERVALS = {"bootstrap": 100, "jackknife": 4}


class Distance(nn.Module):
    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        return (a - b).abs().mean(dim=(1, 2, 3))


def run(folder: Path, output: Path, device: torch.device) -> None:
    def save(result: Result | None, name: str) -> None:
        if result is not None:
            result.save(output / name)
        barrier()

    settings = {"batch_size": 8, "intervals": INTERVALS, "precision_recall_reference": 30, "score_chunk": 20}
    samples, reference = str(folder / "samples.npz"), str(folder / "reference.npz")
    config = validate(GenerationConfig, settings)
    found = measure_generation(samples, reference, config, device, cache=output, network=small_network())
    save(found, "generation")
    settings = {"batch_size": 4, "size": None, "limit": 13, "worst": 2, "intervals": INTERVALS}
    config = validate(ReconstructionConfig, settings)
    tokenizer, data = str(folder / "tokenizer"), "embedded:emoji"
    found = measure_reconstruction(
        tokenizer,
        data,
        config,
        device,
        folder=output / "reconstruction",
        network=small_network(),
        perceptual=Distance(),
    )
    save(found, "reconstruction")
    settings = {"limit": 40, "scores": ["attributes", "gap"], "batch_size": 16}
    config = validate(LatentsConfig, settings)
    found = measure_latents([tokenizer], data, config, device, folder=output, cache=output / "cache")
    save(found, "latents")


if __name__ == "__main__":
    torch.set_num_threads(1)
    with process_group() as where:
        run(Path(sys.argv[1]), Path(sys.argv[2]), where)
