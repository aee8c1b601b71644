"""How much faster is the Frechet distance than the usual scipy.linalg.sqrtm(A @ B), and how close?

python benchmarks/frechet_distance.py [features]
"""

from __future__ import annotations

import sys
from time import perf_counter

import numpy as np
import torch
from scipy.linalg import sqrtm

from sendvae.metrics import frechet_distance


def main(features: int = 2048) -> None:
    rng = np.random.default_rng(0)
    scale = np.geomspace(3.0, 0.03, features)  # a decaying spectrum, as network features have
    sets = [rng.normal(size=(2 * features, features)) * scale + shift for shift in (0.0, 0.02)]
    (mean_a, cov_a), (mean_b, cov_b) = ((rows.mean(0), np.cov(rows, rowvar=False)) for rows in sets)

    start = perf_counter()
    ours = frechet_distance(mean_a, cov_a, mean_b, cov_b)
    ours_seconds = perf_counter() - start

    start = perf_counter()
    root = sqrtm(cov_a @ cov_b).real
    theirs = float(((mean_a - mean_b) ** 2).sum() + np.trace(cov_a) + np.trace(cov_b) - 2 * np.trace(root))
    theirs_seconds = perf_counter() - start

    print(f"{features} features, {torch.get_num_threads()} threads")
    print(f"sendvae {ours_seconds:7.2f} s   {ours:.10f}")
    print(
        f"sqrtm   {theirs_seconds:7.2f} s   {theirs:.10f}   relative difference {abs(ours / theirs - 1):.1e}"
    )
    print(f"ratio   {theirs_seconds / ours_seconds:7.1f}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
