"""Penalised logistic regression of many targets at once, solved to an optimum that its gradient certifies."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from sendvae.latents.newton import Binary, Objective, Softmax, minimise, total

TOLERANCE = 1e-6  # share of the loss by which it lies above its minimum at most
MARGIN = 0.3  # of it, at which the solver stops, so that the check in float64 agrees
STD_FLOOR = 1e-6
ROWS = 4096  # converted to float64 at a time
BALANCING = 20  # steps of Newton for the biases alone
BALANCED = 1e-13  # gradient of the biases at which they are exact


class Fit(NamedTuple):
    """A linear map of standardised features, and how near it lies to the optimum.

    Attributes:
        weight, bias: a bias of -inf (inf) where training shows no positive (no negative).
        loss: mean cross-entropy + weight_decay / 2 |w|^2, of every column (A,), or (1,) of a softmax.
        gradient_norm: its Euclidean gradient, biases included, (A,) or (1,).
        excess: share of the loss by which it lies above its minimum at most, (A,) or (1,).
        iterations: the number of Newton's iterations.
    """

    weight: Float[Tensor, "F A"]
    bias: Float[Tensor, " A"]
    loss: Tensor
    gradient_norm: Tensor
    excess: Tensor
    iterations: int

    @property
    def converged(self) -> bool:
        """Whether every column lies within `TOLERANCE` of its optimum, provably."""
        return bool((self.excess <= TOLERANCE).all())


class Design:
    """Standardised features, and the axes of their covariance: one decomposition serves every fit.

    Features that span fewer dimensions than they have (fewer images than features) are reduced to their span,
    in which the optimum lies.

    Attributes:
        x: (N, F).
        basis: orthonormal axes (F, R), float64, R = min(N, F), of falling variance.
        eigenvalues: the variances (R,), float64.
    """

    def __init__(self, x: Float[Tensor, "N F"]) -> None:
        self.x = x
        span = None
        if len(x) < x.shape[1]:
            span = torch.linalg.qr(x.T.double()).Q
            x = x.double() @ span
        # Any orthonormal axes are exact; how well they diagonalise the covariance only sets the pace.
        values, axes = torch.linalg.eigh((x.T @ x / len(x)).double())
        self.eigenvalues, axes = values.flip(0).clamp_min(0.0), axes.flip(1)
        self.basis = axes if span is None else span @ axes
        self._rotated: dict[torch.dtype, Tensor] = {}

    def rotated(self, dtype: torch.dtype) -> Float[Tensor, "N R1"]:
        """Return a column of ones and the features along the axes, computed once per precision."""
        if dtype not in self._rotated:
            basis = self.basis.to(dtype)
            z = self.x.new_ones(len(self.x), basis.shape[1] + 1, dtype=dtype)
            for start in range(0, len(z), ROWS):
                z[start : start + ROWS, 1:] = self.x[start : start + ROWS].to(dtype) @ basis
            self._rotated[dtype] = z
        return self._rotated[dtype]


def standardise(
    train: Float[Tensor, "N F"], *others: Float[Tensor, "_ F"]
) -> tuple[Float[Tensor, "_ F"], ...]:
    """All with the mean and standard deviation of `train`; a feature constant there becomes 0 everywhere."""
    std, mean = torch.std_mean(train.float(), dim=0)
    std = std.where(std > STD_FLOOR, torch.inf)
    return tuple((x.float() - mean) / std for x in (train, *others))


def fit_logistic(
    design: Design, y: Float[Tensor, "N A"], weight_decay: float, start: Fit | None = None
) -> Fit:
    """Fit a binary regression per column of `y`: mean cross-entropy + weight_decay / 2 |w|^2, bias unpenalised.

    The penalty makes the loss, minimised over the bias, strongly convex in the weights: with the bias exact and
    a gradient g of the weights, the loss lies at most |g|^2 / (2 weight_decay) above its minimum (Boyd and
    Vandenberghe, 2004, Eq. 9.9). A fit ends where that is below `TOLERANCE` times the loss. The gradient is
    taken in float64 from the features themselves, so the certificate does not depend on the solver.

    Columns share nothing but the products. One without positives (negatives) has its infimum at a bias of -inf
    (inf) and weights of 0, which is what it gets, with a gradient and an excess of 0.

    Args:
        y: 0 or 1.
        weight_decay: positive; scikit-learn's C is 1 / (N weight_decay).
        start: a fit of the same columns at another weight decay, from which to begin.

    Raises:
        ValueError: a weight decay that is not positive.
    """
    shares = y.double().mean(0)
    varied = ((shares > 0) & (shares < 1)).nonzero().flatten()
    found = _fit(design, y[:, varied], weight_decay, Binary, shares[varied].logit(), _columns(start, varied))
    bias = torch.where(shares > 0, torch.inf, -torch.inf)
    return _spread(found, varied, bias, per_column=True)


def fit_softmax(design: Design, labels: Int64[Tensor, " N"], classes: int, weight_decay: float) -> Fit:
    """Fit a multinomial regression: mean cross-entropy + weight_decay / 2 |w|^2, biases unpenalised.

    Ends and is certified as `fit_logistic`. Classes that training does not show get a bias of -inf.

    Raises:
        ValueError: a weight decay that is not positive.
    """
    labels = labels.to(design.x.device)
    shares = torch.bincount(labels, minlength=classes).double() / len(labels)
    shown = (shares > 0).nonzero().flatten()
    y = (labels[:, None] == shown).to(design.x)
    found = _fit(design, y, weight_decay, Softmax, shares[shown].log(), None)
    return _spread(found, shown, torch.full_like(shares, -torch.inf), per_column=False)


def scores_of(model: Fit, x: Float[Tensor, "N F"]) -> Float[Tensor, "N A"]:
    """Return x @ weight + bias."""
    return torch.addmm(model.bias, x, model.weight)


def _fit(
    design: Design,
    y: Float[Tensor, "N A"],
    weight_decay: float,
    kind: type[Binary] | type[Softmax],
    bias: Tensor,
    start: Fit | None,
) -> Fit:
    """Solve in float32, check in float64, and go on in float64 where that was not enough.

    Exact biases move the gradient of the weights a little, so even float64 may need a second round.
    """
    if weight_decay <= 0:
        raise ValueError(
            f"weight_decay must be positive: without one there may be no optimum, got {weight_decay}"
        )
    y = y.T.contiguous()
    v = torch.cat([bias[:, None], bias.new_zeros(len(bias), design.basis.shape[1])], 1)
    if start is not None:
        v = torch.cat([start.bias[:, None].double(), start.weight.T.double() @ design.basis], 1)
    eigenvalues = torch.cat([torch.ones_like(design.eigenvalues[:1]), design.eigenvalues])
    iterations = 0
    for dtype in (torch.float32, torch.float64, torch.float64):
        found, steps = minimise(
            kind(y.to(dtype)),
            design.rotated(dtype),
            eigenvalues.to(dtype),
            weight_decay,
            v.to(dtype),
            MARGIN * TOLERANCE,
        )
        v, iterations = found.double(), iterations + steps
        fit = _certified(design, kind(y.double()), weight_decay, v, iterations)
        v[:, 0] = fit.bias
        if fit.converged:
            break
    return fit


def _certified(
    design: Design, objective: Objective, weight_decay: float, v: Float[Tensor, "A R1"], iterations: int
) -> Fit:
    """Make the biases exact for these weights, and measure the loss and its gradient in float64."""
    weight = v[:, 1:] @ design.basis.T
    scores = torch.cat([weight @ block.double().T for block in design.x.split(ROWS)], 1)
    bias, scores = _balanced(objective, v[:, 0], scores + v[:, :1])
    residual = objective.residual(objective.probabilities(scores)) / scores.shape[1]
    gradient = weight_decay * weight
    for block, rest in zip(design.x.split(ROWS), residual.split(ROWS, 1), strict=True):
        gradient += rest @ block.double()
    square = total(gradient.square(), objective.joint)
    loss = objective.loss(scores) + weight_decay * total(weight.square(), objective.joint) / 2
    norm = (square + total(residual.sum(1, keepdim=True).square(), objective.joint)).sqrt()
    return Fit(weight.T, bias, loss, norm, square / (2 * weight_decay) / loss, iterations)


def _balanced(
    objective: Objective, bias: Float[Tensor, " A"], scores: Float[Tensor, "A N"]
) -> tuple[Float[Tensor, " A"], Float[Tensor, "A N"]]:
    """Minimise over the biases alone, by Newton; return them and the scores that they give."""
    for _ in range(BALANCING):
        p = objective.probabilities(scores)
        gradient = objective.residual(p).mean(1)
        if bool((gradient.abs() <= BALANCED).all()):
            break
        if objective.joint:
            shift = torch.linalg.pinv(p.mean(1).diag() - p @ p.T / p.shape[1], hermitian=True) @ gradient
        else:
            shift = gradient / (p * (1 - p)).mean(1)
        bias, scores = bias - shift, scores - shift[:, None]
    return bias, scores


def _columns(fit: Fit | None, columns: Tensor) -> Fit | None:
    """Return the fit of some columns."""
    if fit is None:
        return None
    return fit._replace(weight=fit.weight[:, columns], bias=fit.bias[columns])


def _spread(fit: Fit, columns: Tensor, bias: Float[Tensor, " A"], per_column: bool) -> Fit:
    """Put the columns of a fit among those that have only a bias; maps in float32."""
    weight = fit.weight.new_zeros(len(fit.weight), len(bias)).index_copy(1, columns, fit.weight)
    bias = bias.to(fit.bias).index_copy(0, columns, fit.bias)
    fit = fit._replace(weight=weight.float(), bias=bias.float())
    if not per_column:
        return fit
    loss, norm, excess = (
        values.new_zeros(len(bias)).index_copy(0, columns, values)
        for values in (fit.loss, fit.gradient_norm, fit.excess)
    )
    return fit._replace(loss=loss, gradient_norm=norm, excess=excess)
