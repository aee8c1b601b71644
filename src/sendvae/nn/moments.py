"""Mean, variance and covariance of rows that are never all in memory."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

import torch
from jaxtyping import Float, Float64
from torch import Tensor

BLOCK = 1024  # features whose products with all others are in memory at a time, beside the scatter


class Moments:
    """Streaming count, mean and scatter, summed in float64; how rows are batched or sharded does not matter.

    Chan's update (Chan, Golub and LeVeque, 1979) keeps its digits where the mean is large against the spread,
    which sums of squares do not.

    Args:
        spread: "full" keeps products of all pairs of features, "diagonal" squares only.
        products: the precision of a batch's products about its own mean; "rows": that of the rows, float32 at
            least, which takes half the time and memory.

    Attributes:
        count: rows seen.
        mean: (D,), or (D + T,) with targets.
        scatter: sum of products about the mean, (D, D), (D,) if diagonal, or (D, D + T) with targets.
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
            targets: of the same rows; their products with the rows are kept, those among themselves are not.
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
        """Return plain tensors, to be saved or gathered from other processes."""
        return {"count": torch.tensor(self.count), "mean": self.mean, "scatter": self.scatter}

    @classmethod
    def from_state(cls, state: dict[str, Tensor]) -> Moments:
        """Return the accumulator that gave `state`."""
        moments = cls("full" if state["scatter"].ndim == 2 else "diagonal")
        moments._combine(int(state["count"]), state["mean"], state["scatter"].shape, [state["scatter"]])
        return moments

    @property
    def std(self) -> Float64[Tensor, " D"]:
        """The standard deviation of every feature, with n."""
        squares = self.scatter.diagonal() if self.spread == "full" else self.scatter
        return (squares / max(1, self.count)).sqrt()

    @property
    def cov(self) -> Float64[Tensor, "D D"]:
        """The covariance, with n - 1.

        Raises:
            ValueError: fewer than two rows.
        """
        if self.count < 2:
            raise ValueError(f"a covariance needs two images or more, got {self.count}")
        return self.scatter / (self.count - 1)

    def _combine(self, count: int, mean: Tensor, shape: Sequence[int], blocks: Iterable[Tensor]) -> None:
        """Add `count` rows of this mean, whose scatter of this shape comes in blocks of rows, one after the other."""
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
    """Return the channels of every position of every image as rows."""
    return z.movedim(1, -1).flatten(0, -2)
