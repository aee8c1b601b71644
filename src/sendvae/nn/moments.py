"""Mean, variance and covariance of rows that are never all in memory."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

import torch
from jaxtyping import Float, Float64
from torch import Tensor

BLOCK = 1024  # features whose products with all others are in memory at a time, beside the scatter


class Moments:
    """A streaming count, mean and scatter, summed in float64. How rows are batched or sharded does not matter.

    Chan's update (Chan, Golub and LeVeque, 1979) loses no digits where the mean is large compared with the spread;
    sums of squares do.

    Args:
        spread: "full" keeps the products of all pairs of features, "diagonal" the squares only.
        products: the precision of a batch's products about its own mean; "rows" is that of the rows, float32 at
            least, which takes half the time and memory.

    Attributes:
        count: the number of rows seen.
        mean: the mean, (D,), or (D + T,) with targets.
        scatter: the sum of products about the mean, (D, D), (D,) if diagonal, or (D, D + T) with targets.
    """

    count: int
    mean: Float64[Tensor, " M"]
    scatter: Tensor

    def __init__(
        self,
        spread: Literal["full", "diagonal"] = "full",
        products: Literal["float64", "rows"] = "float64",
    ) -> None:
        self.spread, self.products = spread, products
        self.count = 0
        self.mean = torch.zeros(0, dtype=torch.float64)
        self.scatter = torch.zeros((0, 0) if spread == "full" else 0, dtype=torch.float64)

    def update(self, rows: Float[Tensor, "B D"], targets: Float[Tensor, "B T"] | None = None) -> None:
        """Add a batch of rows, possibly empty.

        Args:
            rows: the rows.
            targets: targets of the same rows. Their products with the rows are kept, those among themselves are not.
        """
        exact = self.products == "float64" or rows.dtype == torch.float64
        rows = rows.double() if exact else rows.float()
        width = rows.shape[1]
        columns = rows if targets is None else torch.cat([rows, targets.to(rows)], 1)
        mean = columns.mean(0)
        centred = columns - mean
        if self.spread == "diagonal":
            self._combine(len(rows), mean.double(), mean.shape, [centred.square().sum(0)])
        else:
            blocks = (block.T @ centred for block in centred[:, :width].split(BLOCK, 1))
            self._combine(len(rows), mean.double(), (width, len(mean)), blocks)

    def merge(self, other: Moments) -> None:
        """Add the rows that another accumulator has seen."""
        self._combine(other.count, other.mean, other.scatter.shape, [other.scatter])

    def state(self) -> dict[str, Tensor]:
        """Return the state as plain tensors, to be saved or gathered from other processes."""
        return {"count": torch.tensor(self.count), "mean": self.mean, "scatter": self.scatter}

    @classmethod
    def from_state(cls, state: dict[str, Tensor]) -> Moments:
        """Return an accumulator with the count, mean and scatter of `state`; its `products` are float64."""
        moments = cls("full" if state["scatter"].ndim == 2 else "diagonal")
        moments._combine(int(state["count"]), state["mean"], state["scatter"].shape, [state["scatter"]])
        return moments

    @property
    def std(self) -> Float64[Tensor, " D"]:
        """Return the standard deviation of every feature, with divisor n."""
        squares = self.scatter.diagonal() if self.spread == "full" else self.scatter
        return (squares / max(1, self.count)).sqrt()

    @property
    def cov(self) -> Float64[Tensor, "D D"]:
        """Return the covariance, with divisor n - 1.

        Raises:
            ValueError: fewer than two rows have been seen.
        """
        if self.count < 2:
            raise ValueError(f"a covariance needs two images or more, got {self.count}")
        return self.scatter / (self.count - 1)

    def _combine(self, count: int, mean: Tensor, shape: Sequence[int], blocks: Iterable[Tensor]) -> None:
        """Add `count` rows with this mean. Their scatter has this shape and comes in blocks of rows, in order."""
        if count == 0:
            return
        if self.count == 0:
            self.mean, self.scatter = torch.zeros_like(mean), mean.new_zeros(shape)
        total = self.count + count
        delta = mean - self.mean
        share = self.count * count / total
        start = 0
        for block in blocks:
            self.scatter[start : start + len(block)].add_(block.double())
            start += len(block)
        if self.spread == "full":
            self.scatter.addr_(delta[: len(self.scatter)], delta, alpha=share)
        else:
            self.scatter.add_(delta.square(), alpha=share)
        self.mean = self.mean + delta * (count / total)
        self.count = total


def channel_rows(z: Float[Tensor, "B C ..."]) -> Float[Tensor, "_ C"]:
    """Return the channels of every position of every image as rows, (B * positions, C)."""
    return z.movedim(1, -1).flatten(0, -2)
