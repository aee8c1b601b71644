"""How much faster is the blocked precision and recall than prdc, which builds the full distance matrices?

python benchmarks/precision_recall.py [images] [features]
"""

from __future__ import annotations

import sys
from time import perf_counter

import prdc
import torch

from sendvae.metrics import precision_recall

K = 3
SHIFT = 0.25  # of the generated set, so that neither number is 0 or 1


def main(images: int = 10_000, features: int = 64) -> None:
    generator = torch.Generator().manual_seed(0)
    reference = torch.randn(images, features, generator=generator)
    generated = torch.randn(images, features, generator=generator) * 0.9 + SHIFT

    start = perf_counter()
    ours = precision_recall(reference, generated, k=K)
    ours_seconds = perf_counter() - start

    start = perf_counter()
    theirs = prdc.compute_prdc(reference.numpy(), generated.numpy(), nearest_k=K)
    theirs_seconds = perf_counter() - start

    print(f"{images} x {images} x {features}, k = {K}, {torch.get_num_threads()} threads")
    print(f"sendvae {ours_seconds:7.2f} s   precision {ours[0]:.4f} recall {ours[1]:.4f}")
    print(
        f"prdc    {theirs_seconds:7.2f} s   precision {theirs['precision']:.4f} recall {theirs['recall']:.4f}"
    )
    print(f"ratio   {theirs_seconds / ours_seconds:7.1f}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
