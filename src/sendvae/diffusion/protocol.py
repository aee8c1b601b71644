"""The interface of networks that predict velocities."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn


class Generator(nn.Module):
    """Velocity v(x_t, t, label) of an interpolant between data (t = 0) and noise (t = 1).

    A module rather than a structural type, because optimisers, averages and shards take modules.

    Attributes:
        arguments: what rebuilds this network.
        latent_shape: (C, h, w) of the normalised latents, or (C, N) of tokens without a grid.
        grid: tokens along one side (or in all, without a grid), of the projected tokens and so of the foundation model's.
        num_classes: labels are below it.
        label_dropout: probability of the null label in training.
        path: name in PATHS of the interpolant whose velocity this is.
        blocks: what FSDP2 shards one by one.
    """

    arguments: dict[str, Any]
    latent_shape: tuple[int, ...]
    grid: int
    num_classes: int
    label_dropout: float
    path: str
    blocks: nn.ModuleList

    @property
    def null_label(self) -> int:
        """Return the label that stands for no class."""
        return self.num_classes

    def forward(
        self, x_t: Float[Tensor, "B C *n"], t: Float[Tensor, " B"], labels: Int64[Tensor, " B"]
    ) -> Float[Tensor, "B C *n"]:
        """Return the velocity dx_t / dt of normalised latents; labels in [0, num_classes], the last the null label.

        Raises:
            ValueError: the latents do not have the model's shape.
        """
        raise NotImplementedError

    def forward_with_features(
        self, x_t: Float[Tensor, "B C *n"], t: Float[Tensor, " B"], labels: Int64[Tensor, " B"]
    ) -> tuple[Float[Tensor, "B C *n"], Float[Tensor, "B N E"] | None]:
        """Return the velocity, and the projected hidden tokens that REPA aligns (None without a projector)."""
        raise NotImplementedError

    def features(
        self, x_t: Float[Tensor, "B C *n"], t: Float[Tensor, " B"], labels: Int64[Tensor, " B"]
    ) -> Float[Tensor, "B N E"]:
        """Return the projected hidden tokens alone; what comes after them in the network is not computed."""
        raise NotImplementedError

    def drop_labels(self, labels: Int64[Tensor, " B"], uniform: Float[Tensor, " B"]) -> Int64[Tensor, " B"]:
        """Replace labels by the null label where `uniform`, drawn from [0, 1), is below `label_dropout`."""
        return torch.where(uniform < self.label_dropout, self.null_label, labels)
