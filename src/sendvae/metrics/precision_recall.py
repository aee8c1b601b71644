"""Improved precision and recall (Kynkaanniemi et al., 2019), with ADM's k = 3 and <=."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor

BLOCK = 1536  # rows and columns of a block of distances: 9 MiB, which the cache keeps between two passes
CENTRE_ROWS = 1024  # whose median is the centre
# |u|^2 - 2 u.v + |v|^2 leaves few digits where it is small against |u|^2 + |v|^2: below the first share a block is
# computed in float64, below the second its pairs one by one, from their differences.
FLOAT32_SHARE, FLOAT64_SHARE = 1e-3, 1e-10
# Of the largest to the smallest |u|^2 + |v|^2: seen from a hundred times as far, what lies near has four digits.
FLOAT32_SPREAD = 1e4
PAIRS = 2048  # whose differences are held at a time


def precision_recall(
    reference: Float[Tensor, "N D"],
    generated: Float[Tensor, "M D"],
    k: int = 3,
    block: int = BLOCK,
) -> tuple[float, float]:
    """Return precision and recall: the share of samples in a reference ball, and of reference images in a sample's.

    Both numbers depend on the sizes of the two sets: compare at equal N and M only.

    Raises:
        ValueError: a set has no k neighbours, or features are not finite.
    """
    inside_reference, inside_generated = coverage(reference, generated, k, block)
    return float(inside_reference.double().mean()), float(inside_generated.double().mean())


def coverage(
    reference: Float[Tensor, "N D"],
    generated: Float[Tensor, "M D"],
    k: int = 3,
    block: int = BLOCK,
    half: bool = False,
) -> tuple[Bool[Tensor, " M"], Bool[Tensor, " N"]]:
    """Return which samples lie in a reference ball, and which reference images lie in a sample's ball.

    A ball reaches to the k-th neighbour within its own set, itself not counted, and includes its rim.
    Distances are squared, on features centred by a median, in square blocks, whose size sets the memory and not
    the result: in float32, and where digits cancel (near duplicates, far outliers) in float64 or from differences.

    Args:
        half: distances in float16 on features as they are, and in float32 where a block of those is not finite,
            as ADM's evaluator has them (guided-diffusion, evaluations/evaluator.py); for comparison with it.

    Raises:
        ValueError: as `precision_recall`.
    """
    for name, features in (("reference", reference), ("generated", generated)):
        if len(features) <= k:
            raise ValueError(f"{name}: {len(features)} images are too few for k = {k} neighbours")
        if not bool(features.isfinite().all()):
            raise ValueError(f"{name}: features contain NaN or infinity")
    if half:
        reference, generated = reference.float(), generated.float()
    else:
        # Less cancels near the origin. Any one centre would do; a median stays among the many however far a few lie.
        rows = torch.linspace(0, len(reference) - 1, min(len(reference), CENTRE_ROWS)).long()
        centre = reference[rows.to(reference.device)].median(0).values
        reference, generated = (reference - centre).float(), (generated - centre).float()
    radii_reference = _radii(reference, k, block, half)
    radii_generated = _radii(generated, k, block, half)
    inside_reference = torch.zeros(len(generated), dtype=torch.bool, device=generated.device)
    inside_generated = torch.zeros(len(reference), dtype=torch.bool, device=reference.device)
    for r in _slices(len(reference), block):
        for g in _slices(len(generated), block):
            distances = _squared_distances(reference[r], generated[g], half)
            inside_reference[g] |= (distances <= radii_reference[r, None]).any(0)
            inside_generated[r] |= (distances <= radii_generated[g]).any(1)
    return inside_reference, inside_generated


def _radii(features: Float[Tensor, "N D"], k: int, block: int, half: bool) -> Float[Tensor, " N"]:
    """Return the squared distance of every row to its k-th neighbour in its set.

    The nearest of each block are merged. Distances are symmetric, so each pair of blocks is computed once.
    """
    slices = _slices(len(features), block)
    nearest = [features.new_empty(rows.stop - rows.start, 0) for rows in slices]
    for i, r in enumerate(slices):
        for j, c in enumerate(slices[i:], start=i):
            distances = _squared_distances(features[r], features[c], half, own=r.start - c.start)
            nearest[i] = _merged(nearest[i], distances, k + 1)
            if j > i:
                nearest[j] = _merged(nearest[j], distances.T, k + 1)
    return torch.cat([distances.amax(1) for distances in nearest])


def _merged(
    nearest: Float[Tensor, "N _"], distances: Float[Tensor, "N M"], count: int
) -> Float[Tensor, "N _"]:
    return _smallest(torch.cat([nearest, _smallest(distances, count)], dim=1), count)


def _smallest(values: Float[Tensor, "N M"], count: int) -> Float[Tensor, "N _"]:
    return values.topk(min(count, values.shape[1]), largest=False, sorted=False).values


def _slices(length: int, block: int) -> list[slice]:
    return [slice(start, min(start + block, length)) for start in range(0, length, block)]


def _squared_distances(
    a: Float[Tensor, "N D"], b: Float[Tensor, "M D"], half: bool, own: int | None = None
) -> Float[Tensor, "N M"]:
    """Of every row of `a` to every row of `b`; on diagonal number `own` both are one row, 0 apart exactly."""
    if half:
        distances = _expanded(a.half(), b.half())[0].float()
        if not bool(distances.isfinite().all()):
            distances = _expanded(a, b)[0]
        _zero_diagonal(distances, own)
        return distances
    distances, scale = _expanded(a, b)
    close = bool(scale.amax() < FLOAT32_SPREAD * scale.amin())
    doubtful = ~(distances >= scale.mul_(FLOAT32_SHARE))
    _zero_diagonal(doubtful, own)
    if not close or bool(doubtful.any()):
        distances = _in_float64(a.double(), b.double(), own)
    _zero_diagonal(distances, own)
    return distances


def _in_float64(a: Float[Tensor, "N D"], b: Float[Tensor, "M D"], own: int | None) -> Float[Tensor, "N M"]:
    distances, scale = _expanded(a, b)
    doubtful = ~(distances >= scale.mul_(FLOAT64_SHARE))
    _zero_diagonal(doubtful, own)
    for pairs in doubtful.nonzero().split(PAIRS):
        i, j = pairs.unbind(1)
        distances[i, j] = (a[i] - b[j]).square().sum(1)
    return distances


def _expanded(
    a: Float[Tensor, "N D"], b: Float[Tensor, "M D"]
) -> tuple[Float[Tensor, "N M"], Float[Tensor, "N M"]]:
    """|u|^2 - 2 u.v + |v|^2, not negative, and |u|^2 + |v|^2."""
    squares = a.square().sum(1)[:, None] + b.square().sum(1)
    return squares.addmm(a, b.T, alpha=-2.0).clamp_min_(0.0), squares


def _zero_diagonal(block: Shaped[Tensor, "N M"], number: int | None) -> None:
    """Sets one diagonal to 0, where the block has it."""
    if number is not None and -block.shape[0] < number < block.shape[1]:
        block.diagonal(number).zero_()
