"""Linear probes of attributes by method, and the choice of their weight decay on a validation split."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from sendvae.latents.logistic import STD_FLOOR, Design, Fit, fit_logistic, standardise
from sendvae.latents.minibatch import MinibatchFit, fit_minibatch
from sendvae.latents.ridge import StreamingRidge
from sendvae.latents.rows import Centred, Fitted, LatentRows, batches, gathered

# Tried on the validation split first, beside a mean loss (of ridge half the mean squared error) and on
# standardised features; the default without a validation split is the middle one.
WEIGHT_DECAYS = {
    "logistic": (1e-4, 1e-3, 1e-2),
    "ridge": (1e-2, 1e-1, 1.0),
    "minibatch": (1e-4, 1e-3, 1e-2),
}
WEAKEST, STRONGEST = 1e-6, 1e3  # how far the grid is widened


class LogisticFitter:
    """All latents in memory, decomposed once; each fit starts from the last one."""

    widens = True

    def __init__(self, rows: LatentRows, attributes: Tensor) -> None:
        x = gathered(rows).flatten(1)
        std, self.mean = torch.std_mean(x, dim=0)
        self.scale = 1.0 / std.where(std > STD_FLOOR, torch.inf)
        (standardised,) = standardise(x)
        self.design, self.targets = Design(standardised), attributes.to(x)
        self.last: Fit | None = None

    def __call__(self, weight_decays: Sequence[float]) -> list[Fitted]:
        """Fit from the strongest weight decay to the weakest: each optimum lies near the last."""
        found = {}
        for weight_decay in sorted(weight_decays, reverse=True):
            fit = self.last = fit_logistic(self.design, self.targets, weight_decay, self.last)
            found[weight_decay] = Fitted(
                Centred(fit.weight * self.scale[:, None], fit.bias, self.mean),
                fit.iterations,
                float(fit.gradient_norm.max()),
                float(fit.excess.max()),
                fit.converged,
            )
        return [found[weight_decay] for weight_decay in weight_decays]


class RidgeFitter:
    """One pass over the latents serves every weight decay."""

    widens = True

    def __init__(self, rows: LatentRows, attributes: Tensor) -> None:
        self.ridge = StreamingRidge()
        for place, values in batches(rows):
            self.ridge.update(values, attributes[place])

    def __call__(self, weight_decays: Sequence[float]) -> list[Fitted]:
        """Solve in closed form."""
        return [Fitted(one, 0, None, None, True) for one in self.ridge.centred(weight_decays)]


class MinibatchFitter:
    """All weight decays in the same passes over the latents."""

    widens = False

    def __init__(self, rows: LatentRows, attributes: Tensor, settings: MinibatchFit) -> None:
        self.rows, self.attributes, self.settings = rows, attributes, settings

    def __call__(self, weight_decays: Sequence[float]) -> list[Fitted]:
        """Fit by Adam."""
        return fit_minibatch(self.rows, self.attributes, weight_decays, self.settings)


Fitter = LogisticFitter | RidgeFitter | MinibatchFitter  # `widens`: further weight decays cost little


class Choice(NamedTuple):
    """The weight decay with the best score.

    Attributes:
        weight_decay, fit: the chosen one; of equal scores the strongest.
        tried: every weight decay, rising, with its score.
        interior: whether a weaker and a stronger one score less, so that the grid does not decide.
    """

    weight_decay: float
    fit: Fitted
    tried: dict[float, float]
    interior: bool


def choose(fitter: Fitter, grid: Sequence[float], score: Callable[[list[Fitted]], list[float]]) -> Choice:
    """Try a grid, and widen it tenfold beyond the end at which the best lies, until the best is interior."""
    fits = dict(zip(grid, fitter(grid), strict=True))
    scores = dict(zip(grid, score(list(fits.values())), strict=True))
    while True:
        weakest, strongest = min(scores), max(scores)
        best = max(scores, key=lambda decay: (scores[decay], decay))
        further = (
            _decade(strongest, 10)
            if best == strongest
            else _decade(weakest, 0.1)
            if best == weakest
            else None
        )
        if further is None or not fitter.widens or not WEAKEST <= further <= STRONGEST:
            tried = {decay: scores[decay] for decay in sorted(scores)}
            return Choice(best, fits[best], tried, further is None)
        fits[further] = fitter([further])[0]
        scores[further] = score([fits[further]])[0]


def _decade(weight_decay: float, factor: float) -> float:
    """Return the product without the last digits of its rounding."""
    return float(f"{weight_decay * factor:.6g}")
