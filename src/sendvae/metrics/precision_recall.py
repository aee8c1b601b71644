"""Improved precision and recall (Kynkaanniemi et al., 2019), with ADM's k = 3 and <=."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

BLOCK = 1536  # rows and columns of a block of distances: 9 MiB, which the cache keeps between two passes


def precision_recall(
    reference: Float[Tensor, "N D"],
    generated: Float[Tensor, "M D"],
    k: int = 3,
    block: int = BLOCK,
) -> tuple[float, float]:
    """Share of generated samples inside a reference ball, and of reference images inside a generated ball.

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
    """Which generated samples lie in a reference ball, and which reference images in a generated ball.

    A ball reaches to the k-th neighbour within its own set, itself not counted, and includes its rim.
    Distances are squared, float32, on centred features, in square blocks, whose size sets the memory and
    not the result.

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
        centre = reference.mean(0)  # less cancels in |u|^2 - 2 u.v + |v|^2; any one centre would do
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
    """Squared distance of every row to its k-th neighbour in its set, merging the nearest of each block."""
    radii = []
    for r in _slices(len(features), block):
        nearest = features.new_empty(len(features[r]), 0)
        for c in _slices(len(features), block):
            distances = _squared_distances(features[r], features[c], half)
            if (
                -distances.shape[0] < r.start - c.start < distances.shape[1]
            ):  # the block has part of the diagonal
                distances.diagonal(r.start - c.start).zero_()  # exactly, whatever rounding says
            candidates = torch.cat([nearest, _smallest(distances, k + 1)], dim=1)
            nearest = _smallest(candidates, k + 1)
        radii.append(nearest.amax(1))
    return torch.cat(radii)


def _smallest(values: Float[Tensor, "N M"], count: int) -> Float[Tensor, "N _"]:
    return values.topk(min(count, values.shape[1]), largest=False, sorted=False).values


def _slices(length: int, block: int) -> list[slice]:
    return [slice(start, min(start + block, length)) for start in range(0, length, block)]


def _squared_distances(a: Float[Tensor, "N D"], b: Float[Tensor, "M D"], half: bool) -> Float[Tensor, "N M"]:
    if half:
        distances = _expanded(a.half(), b.half()).float()
        if bool(distances.isfinite().all()):
            return distances
    return _expanded(a, b)


def _expanded(a: Float[Tensor, "N D"], b: Float[Tensor, "M D"]) -> Float[Tensor, "N M"]:
    squares = a.square().sum(1)[:, None] + b.square().sum(1)
    return squares.addmm_(a, b.T, alpha=-2.0).clamp_min_(0.0)
