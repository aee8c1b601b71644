"""Latents read in batches, so that a score never needs all of them in memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

BATCH = 1024


@runtime_checkable
class LatentRows(Protocol):
    """Latents of a set of images by position, from memory, a cache on disk, or encoded on every access."""

    def __len__(self) -> int: ...

    def batch(self, positions: np.ndarray) -> Float[Tensor, "B ..."]:
        """Return the latents at `positions`, in their order, float32."""
        ...


class Centred(NamedTuple):
    """A linear map of flattened latents: (x - centre) @ weight + bias, which keeps its digits far from zero."""

    weight: Float[Tensor, "F A"]
    bias: Float[Tensor, " A"]
    centre: Float[Tensor, " F"]


class Fitted(NamedTuple):
    """A probe, and how near it lies to the optimum of its loss.

    Attributes:
        map: a function of raw latents.
        iterations: the number of iterations of the solver; 0 of a closed form.
        gradient_norm: the largest of the columns'; None of a closed form.
        excess: share of the loss by which a column lies above its minimum at most, the largest; None of a closed
            form, and without a penalty.
        converged: whether that is small enough, by the method's standard.
    """

    map: Centred
    iterations: int
    gradient_norm: float | None
    excess: float | None
    converged: bool


def not_converged(method: str, excess: float | None) -> str:
    """Return what to say of a fit that is not at its optimum."""
    bound = "no bound is known" if excess is None else f"by up to {excess:.1%}"
    return f"the {method} probe has not converged: its loss lies above its minimum ({bound})"


class TensorRows:
    """Rows that are in memory."""

    def __init__(self, latents: Float[Tensor, "N ..."]) -> None:
        self.latents = latents

    def __len__(self) -> int:
        return len(self.latents)

    def batch(self, positions: np.ndarray) -> Float[Tensor, "B ..."]:
        """Return rows on the tensor's device."""
        return self.latents[torch.from_numpy(positions).to(self.latents.device)].float()


def as_rows(latents: Tensor | LatentRows) -> LatentRows:
    """Return a tensor as rows, and rows as they are."""
    return TensorRows(latents) if isinstance(latents, Tensor) else latents


def batches(rows: LatentRows, size: int = BATCH) -> Iterator[tuple[slice, Float[Tensor, "B ..."]]]:
    """Yield all rows in batches, each with its range of positions.

    Raises:
        ValueError: a latent is not finite.
    """
    for start in range(0, len(rows), size):
        place = slice(start, min(start + size, len(rows)))
        yield place, checked(rows.batch(np.arange(place.start, place.stop)), place.start)


def gathered(rows: LatentRows) -> Float[Tensor, "N ..."]:
    """Return all rows in memory, float32.

    Raises:
        ValueError: as `batches`.
    """
    return torch.cat([values for _, values in batches(rows)])


def checked(values: Float[Tensor, "B ..."], start: int) -> Float[Tensor, "B ..."]:
    """The same, unless something is not finite."""
    if not bool(values.isfinite().all()):
        bad = int((~values.flatten(1).isfinite()).any(1).int().argmax())
        raise ValueError(f"latents contain NaN or infinity, the first in row {start + bad}")
    return values


def scores_of_rows(maps: list[Centred], rows: LatentRows) -> list[Float[Tensor, "N A"]]:
    """Return scores of every map, (N, A) float32 on the CPU; the latents are read once for all maps.

    Raises:
        ValueError: as `batches`.
    """
    parts: list[list[Tensor]] = [[] for _ in maps]
    for _, values in batches(rows):
        x = values.flatten(1)
        for part, one in zip(parts, maps, strict=True):
            weight, bias, centre = (tensor.to(x.device) for tensor in one)
            part.append(torch.addmm(bias, x - centre, weight).cpu())
    return [torch.cat(part) for part in parts]
