"""Uniformity of the density of latents (VA-VAE's protocol)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor

from sendvae.latents.rows import LatentRows, as_rows, batches
from sendvae.nn import Moments, channel_rows
from sendvae.randomness import stream

PERPLEXITY = 30.0  # VA-VAE
BLOCK = 2048  # points of a block of kernel values: at 50,000 points 800 MB
ROWS = 1024  # latents read at a time


@dataclass(frozen=True)
class Uniformity:
    """Spread of the density at the latents themselves; lower cv and gini, higher entropy: more uniform.

    Attributes:
        density_std: standard deviation, in units of the density, which depend on the projection.
        cv: standard deviation / mean.
        gini: Gini coefficient, in [0, 1).
        normalised_entropy: the entropy of the densities as shares, over its maximum, in [0, 1].
    """

    density_std: float
    cv: float
    gini: float
    normalised_entropy: float


def uniformity(
    latents: Float[Tensor, "N C *n"] | LatentRows,
    projection: str = "tsne",
    samples: int = 10_000,
    repeats: int = 10,
    seed: int = 0,
    mirrored: LatentRows | None = None,
) -> Uniformity:
    """Mean over repeats of the statistics of a kernel density estimate.

    Each repeat takes one random position of `samples` random images, normalises channels, projects to the
    plane ("tsne" or "pca"; "none" stays in C dimensions) and estimates the density at its own points.
    Densities after t-SNE live in t-SNE's space, which evens them out: compare like with like.

    Args:
        latents: posterior means, or rows of them read in batches.
        samples: images per repeat; all where there are fewer.
        seed: the seed of the images, the positions and t-SNE; the same seed gives the same numbers.
        mirrored: latents of the mirrored images, in the same order: each image is then taken from either with
            equal chance, as VA-VAE does.

    Raises:
        ValueError: unknown projection, NaN, or latents without variation in some channel.
    """
    found = uniformity_repeats(latents, projection, samples, repeats, seed, mirrored)
    return Uniformity(
        *(float(np.mean([getattr(one, name) for one in found])) for name in Uniformity.__annotations__)
    )


def uniformity_repeats(
    latents: Float[Tensor, "N C *n"] | LatentRows,
    projection: str = "tsne",
    samples: int = 10_000,
    repeats: int = 10,
    seed: int = 0,
    mirrored: LatentRows | None = None,
) -> list[Uniformity]:
    """The repeats that `uniformity` averages."""
    if projection not in ("tsne", "pca", "none"):
        raise ValueError(f"projection must be 'tsne', 'pca' or 'none', got '{projection}'")
    rows = as_rows(latents)
    mean, std = _channel_statistics(rows)
    if not bool((std > 0).all()):
        raise ValueError(f"channels without variation: {(std <= 0).nonzero().flatten().tolist()}")
    found = []
    for repeat in range(repeats):
        generator = stream(seed, repeat, "uniformity")
        images = torch.randperm(len(rows), generator=generator)[:samples].numpy()
        vectors = _one_position_each(rows, mirrored, images, generator)
        points = ((vectors - mean) / std).double().cpu()
        density = kernel_density(
            _project(points, projection, int(torch.randint(2**31, (), generator=generator)))
        )
        found.append(density_statistics(density))
    return found


def density_statistics(density: Float64[Tensor, " N"]) -> Uniformity:
    """The statistics of positive densities, in any order."""
    n = len(density)
    ranked = density.sort().values
    gini = ((2 * torch.arange(1, n + 1, dtype=torch.float64) - n - 1) * ranked).sum() / (n * ranked.sum())
    p = density / density.sum()
    entropy = -torch.special.xlogy(p, p).sum() / np.log(n)
    std = density.std(correction=0)
    return Uniformity(float(std), float(std / density.mean()), float(gini), float(entropy))


def kernel_density(points: Float64[Tensor, "N D"]) -> Float64[Tensor, " N"]:
    """Gaussian kernel density at its own points, Scott's bandwidth with the full covariance; in blocks.

    Raises:
        ValueError: a direction without variance.
    """
    n, dim = points.shape
    bandwidth = n ** (-1.0 / (dim + 4))
    covariance = torch.cov(points.T).reshape(dim, dim) * bandwidth**2
    factor, info = torch.linalg.cholesky_ex(covariance)
    if int(info):
        raise ValueError("the latents do not vary in some direction: no density can be estimated")
    white = torch.linalg.solve_triangular(factor, points.T, upper=False).T
    log_norm = np.log(n) + 0.5 * dim * np.log(2 * np.pi) + factor.diagonal().log().sum()
    blocks = [(-0.5 * torch.cdist(block, white).square()).logsumexp(1) for block in white.split(BLOCK)]
    return (torch.cat(blocks) - log_norm).exp()


def _channel_statistics(rows: LatentRows) -> tuple[Float[Tensor, " C"], Float[Tensor, " C"]]:
    """Mean and standard deviation (with n - 1) of every channel over images and positions, in one pass."""
    moments = Moments("diagonal")
    for _, values in batches(rows):
        moments.update(channel_rows(values))
    return moments.mean.float(), (moments.scatter / max(1, moments.count - 1)).sqrt().float()


def _one_position_each(
    rows: LatentRows, mirrored: LatentRows | None, images: np.ndarray, generator: torch.Generator
) -> Float[Tensor, "B C"]:
    """The latent of each image, or of its mirror image, at one random position."""
    sides = rows.batch(images[:1]).shape[2:]
    places = [torch.randint(side, (len(images),), generator=generator) for side in sides]
    coins = np.zeros(len(images), bool)
    if mirrored is not None:
        coins = (torch.rand(len(images), generator=generator) < 0.5).numpy()
    points, order = [], []
    for source, chosen in ((rows, ~coins), (mirrored or rows, coins)):
        shown = np.flatnonzero(chosen)
        for start in range(0, len(shown), ROWS):
            some = torch.from_numpy(shown[start : start + ROWS])
            part = source.batch(images[some.numpy()]).movedim(1, -1)
            points.append(part[torch.arange(len(part)), *(place[some] for place in places)])
            order.append(some)
    return torch.cat(points)[torch.cat(order).argsort()]


def _project(points: Float64[Tensor, "N C"], projection: str, seed: int) -> Float64[Tensor, "N D"]:
    if projection == "none":
        return points
    if projection == "pca":
        centred = points - points.mean(0)
        return centred @ torch.linalg.svd(centred, full_matrices=False).Vh[:2].T
    from sklearn.manifold import TSNE

    perplexity = min(PERPLEXITY, (len(points) - 1) / 3)
    tsne = TSNE(2, perplexity=perplexity, max_iter=1000, random_state=seed)
    plane = tsne.fit_transform(points.numpy())  # pyrefly: ignore[bad-argument-type]  (its stub lacks ndarray)
    return torch.from_numpy(plane.astype(np.float64))
