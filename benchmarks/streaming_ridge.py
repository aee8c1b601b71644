"""What does the one-pass ridge cost in time against scikit-learn with all latents in memory, and how close is it?

python benchmarks/streaming_ridge.py [images] [features] [attributes]
"""

from __future__ import annotations

import sys
from time import perf_counter

import numpy as np
import torch
from sklearn.linear_model import Ridge

from sendvae.latents import StreamingRidge

BATCH, STRENGTH = 1024, 0.1


def main(images: int = 20_000, features: int = 2048, attributes: int = 40) -> None:
    generator = torch.Generator().manual_seed(0)
    latents = torch.randn(images, features, generator=generator)
    targets = (latents[:, :attributes] + torch.randn(images, attributes, generator=generator) > 0).float()

    start = perf_counter()
    ridge = StreamingRidge()
    for x, y in zip(latents.split(BATCH), targets.split(BATCH), strict=True):
        ridge.update(x, y)
    (ours,) = ridge.solve([STRENGTH])
    ours_seconds = perf_counter() - start

    start = perf_counter()
    mean, std = latents.mean(0), latents.std(0, correction=0)
    theirs = Ridge(alpha=STRENGTH * images).fit(((latents - mean) / std).numpy(), targets.numpy())
    theirs_seconds = perf_counter() - start

    weight = ours.weight.numpy() * std.numpy()[:, None]
    difference = np.abs(weight - theirs.coef_.T).max() / np.abs(theirs.coef_).max()
    print(f"{images} x {features}, {attributes} attributes, {torch.get_num_threads()} threads")
    print(f"sendvae      {ours_seconds:7.2f} s, in batches of {BATCH}")
    print(f"scikit-learn {theirs_seconds:7.2f} s, all at once; largest difference {difference:.1e}")
    print(f"ratio        {theirs_seconds / ours_seconds:7.1f}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
