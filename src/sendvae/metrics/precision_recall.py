"""Improved precision and recall (Kynkaanniemi et al., 2019), with ADM's k = 3 and <=."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

BLOCK = 2048  # rows of one distance block


def precision_recall(
    reference: Float[Tensor, "N D"], generated: Float[Tensor, "M D"], k: int = 3, block: int = BLOCK
) -> tuple[float, float]:
    """Share of generated samples inside a reference ball, and of reference images inside a generated ball.

    A ball reaches to the k-th neighbour within its own set, the point itself not counted. Distances are
    squared, float32, computed in blocks on centred features.

    Raises:
        ValueError: a set has no k neighbours, or features are not finite.
    """
    for name, rows in (("reference", reference), ("generated", generated)):
        if len(rows) <= k:
            raise ValueError(f"{name}: {len(rows)} images are too few for k = {k} neighbours")
        if not bool(rows.isfinite().all()):
            raise ValueError(f"{name}: features contain NaN or infinity")
    centre = reference.mean(0)  # cancels less in |u|^2 - 2 u.v + |v|^2
    reference, generated = (reference - centre).float(), (generated - centre).float()
    radii_reference = _radii(reference, k, block)
    radii_generated = _radii(generated, k, block)
    covered_generated = torch.zeros(len(generated), dtype=torch.bool, device=generated.device)
    covered_reference = []
    for rows, radii in zip(reference.split(block), radii_reference.split(block), strict=True):
        distances = _squared_distances(rows, generated)
        covered_generated |= (distances <= radii[:, None]).any(0)
        covered_reference.append((distances <= radii_generated).any(1))
    precision = covered_generated.double().mean()
    return float(precision), float(torch.cat(covered_reference).double().mean())


def _radii(rows: Float[Tensor, "N D"], k: int, block: int) -> Float[Tensor, " N"]:
    """Squared distance of every row to its k-th neighbour in the same set."""
    radii = []
    for start in range(0, len(rows), block):
        distances = _squared_distances(rows[start : start + block], rows)
        own = torch.arange(len(distances), device=rows.device)
        distances[own, own + start] = 0.0  # exactly, whatever rounding says
        radii.append(distances.topk(k + 1, largest=False).values[:, k])
    return torch.cat(radii)


def _squared_distances(a: Float[Tensor, "N D"], b: Float[Tensor, "M D"]) -> Float[Tensor, "N M"]:
    squares = a.square().sum(1)[:, None] + b.square().sum(1)
    return torch.addmm(squares, a, b.T, alpha=-2.0).clamp_min_(0.0)
