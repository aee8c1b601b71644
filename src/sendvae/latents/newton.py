"""Newton's method for penalised logistic losses of many targets at once, in float32 or float64.

Every target is a row: products of a tall matrix with few vectors are several times faster when each lies contiguously.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

STEPS = 60  # of Newton; a fit that needs more has met the end of its precision
CG_STEPS = 200  # of conjugate gradients within a step
CG_LOOSEST, CG_TIGHTEST = 0.5, 0.1  # how far a step's residual shrinks, early and late (inexact Newton)
BLOCK = 64  # leading directions whose curvature the preconditioner holds exactly
NEGLIGIBLE = 0.05  # curvature over penalty below which a direction is taken by its average curvature
SLOPE = 0.1  # share of the slope that the line search leaves
SEARCHES = 12  # steps of the line search


class Binary:
    """Mean cross-entropy of each row of 0/1 targets, a problem by itself."""

    joint = False

    def __init__(self, targets: Float[Tensor, "A N"]) -> None:
        self.targets = targets

    def of(self, rows: Tensor) -> Binary:
        """Return the problem of some rows."""
        return Binary(self.targets[rows])

    def loss(self, scores: Float[Tensor, "A N"]) -> Float[Tensor, " A"]:
        """Return the mean loss of each row."""
        return (F.softplus(scores) - self.targets * scores).mean(1)

    def probabilities(self, scores: Float[Tensor, "A N"]) -> Float[Tensor, "A N"]:
        """Return the probability of a 1."""
        return scores.sigmoid()

    def residual(self, probabilities: Float[Tensor, "A N"]) -> Float[Tensor, "A N"]:
        """Return the gradient of every image's loss with respect to its scores."""
        return probabilities - self.targets

    def curved(self, probabilities: Float[Tensor, "A N"], d: Float[Tensor, "A N"]) -> Float[Tensor, "A N"]:
        """Return the second derivative of every image's loss, times `d`."""
        return probabilities * (1 - probabilities) * d


class Softmax:
    """Mean cross-entropy of one class per image: all rows are one problem."""

    joint = True

    def __init__(self, targets: Float[Tensor, "A N"]) -> None:
        self.targets = targets  # one-hot

    def of(self, rows: Tensor) -> Softmax:
        """Return the problem of all classes, in any order; none can be left out."""
        return Softmax(self.targets[rows])

    def loss(self, scores: Float[Tensor, "A N"]) -> Float[Tensor, " 1"]:
        """Return the mean loss."""
        return (scores.logsumexp(0) - (self.targets * scores).sum(0)).mean()[None]

    def probabilities(self, scores: Float[Tensor, "A N"]) -> Float[Tensor, "A N"]:
        """Return the probability of every class."""
        return scores.softmax(0)

    def residual(self, probabilities: Float[Tensor, "A N"]) -> Float[Tensor, "A N"]:
        """Return the gradient of every image's loss with respect to its scores."""
        return probabilities - self.targets

    def curved(self, probabilities: Float[Tensor, "A N"], d: Float[Tensor, "A N"]) -> Float[Tensor, "A N"]:
        """Return the second derivative of every image's loss, times `d`."""
        return probabilities * (d - (probabilities * d).sum(0))


Objective = Binary | Softmax


def total(values: Float[Tensor, "A _"], joint: bool) -> Tensor:
    """Return the sum of each row (A,), or of all rows together (1,)."""
    return values.sum()[None] if joint else values.sum(1)


def minimise(
    objective: Objective,
    z: Float[Tensor, "N R1"],
    eigenvalues: Float[Tensor, " R1"],
    weight_decay: float,
    start: Float[Tensor, "A R1"],
    tolerance: float,
) -> tuple[Float[Tensor, "A R1"], int]:
    """Minimise the mean loss of v @ z.T + weight_decay / 2 |v|^2, the first column of v (the biases) unpenalised.

    Newton's steps come from preconditioned conjugate gradients (Nocedal and Wright, 2006, Algorithm 7.1), all
    rows in the same products; a line search along each costs no product. Rows that are done drop out.

    Args:
        z: a first column of ones, then features whose covariance is diagonal with falling `eigenvalues`.
        tolerance: ends where the gradient bounds the loss to lie this share above its minimum at most.

    Returns:
        v, and the steps taken; `STEPS` where the precision of `z` does not reach the tolerance.
    """
    n = len(z)
    penalty = torch.full_like(eigenvalues, weight_decay)
    penalty[0] = 0.0
    kept = 1 + int((eigenvalues[1:] > 4 * NEGLIGIBLE * weight_decay).sum())  # curvature is a quarter at most
    v, scores = start.clone(), start @ z.T
    for step in range(STEPS):
        p = objective.probabilities(scores)
        gradient = objective.residual(p) @ z / n + penalty * v
        curvature = (p * (1 - p)).mean(1)
        bias_share = total(gradient[:, :1].square() / curvature.clamp_min(1e-12)[:, None], objective.joint)
        bound = (total(gradient[:, 1:].square(), objective.joint) / weight_decay + bias_share) / 2
        loss = objective.loss(scores) + total(penalty * v.square(), objective.joint) / 2
        excess = bound / loss
        if bool((excess <= tolerance).all()):
            return v, step
        active = torch.arange(len(v), device=z.device)
        if not objective.joint:
            active = active[excess > tolerance]
            excess = excess[excess > tolerance]
        part, p = objective.of(active), p[active]
        shrink = (0.7 * (tolerance / excess).sqrt()).clamp(CG_TIGHTEST, CG_LOOSEST)
        diagonal = curvature[active][:, None] * eigenvalues + penalty
        direction = -gradient[active] / diagonal
        direction[:, :kept] = _solve(
            part, z[:, :kept], p, diagonal[:, :kept], penalty[:kept], -gradient[active, :kept], shrink
        )
        along = direction @ z.T
        length = _line_search(part, scores[active], along, v[active], direction, penalty)[:, None]
        v[active] += length * direction
        scores[active] += length * along
    return v, STEPS


def _solve(
    objective: Objective,
    z: Float[Tensor, "N K"],
    p: Float[Tensor, "A N"],
    diagonal: Float[Tensor, "A K"],
    penalty: Float[Tensor, " K"],
    target: Float[Tensor, "A K"],
    shrink: Tensor,
) -> Float[Tensor, "A K"]:
    """Solve Hessian @ d = target by conjugate gradients until the residual has shrunk to a share `shrink`.

    Rows that have got there drop out.
    """
    n, joint = len(z), objective.joint
    precondition = _Preconditioner.of_hessian(z, p, diagonal, penalty)
    scale = total(target.square(), joint).sqrt()[:, None]
    solution, rows = torch.zeros_like(target), torch.arange(len(target), device=z.device)
    rest = target / scale.clamp_min(torch.finfo(target.dtype).tiny)
    q = precondition(rest)
    energy = total(rest * q, joint)
    goal = energy * shrink.square()
    for _ in range(CG_STEPS):
        live = energy > goal
        if not bool(live.any()):
            break
        if not bool(live.all()):
            rows, p, rest, q, energy, goal = (one[live] for one in (rows, p, rest, q, energy, goal))
            objective, precondition = objective.of(live), precondition.of(live)
        product = objective.curved(p, q @ z.T) @ z / n + penalty * q
        length = (energy / total(q * product, joint))[:, None]
        solution[rows] += length * q
        rest = rest - length * product
        conditioned = precondition(rest)
        before, energy = energy, total(rest * conditioned, joint)
        q = conditioned + (energy / before)[:, None] * q
    return solution * scale


class _Preconditioner(NamedTuple):
    """The inverse of the Hessian's leading block, exact row by row, and of the other directions' averages.

    Attributes:
        diagonal: the diagonal of the Hessian, on average.
        factor: Cholesky's, of the leading blocks.
    """

    diagonal: Float[Tensor, "A K"]
    factor: Float[Tensor, "A S S"]

    @classmethod
    def of_hessian(
        cls,
        z: Float[Tensor, "N K"],
        p: Float[Tensor, "A N"],
        diagonal: Float[Tensor, "A K"],
        penalty: Float[Tensor, " K"],
    ) -> _Preconditioner:
        """Return that of the Hessian at the probabilities `p`."""
        size = min(BLOCK, z.shape[1])
        leading, weights = z[:, :size].contiguous(), p * (1 - p)
        blocks = torch.stack([(leading * w[:, None]).T @ leading for w in weights]) / len(z)
        floor = torch.finfo(z.dtype).eps * blocks.diagonal(dim1=1, dim2=2).amax(1, keepdim=True)
        blocks.diagonal(dim1=1, dim2=2).add_(penalty[:size] + 10 * size * floor)
        return cls(diagonal, torch.linalg.cholesky(blocks))

    def of(self, rows: Tensor) -> _Preconditioner:
        """Return that of some rows."""
        return _Preconditioner(self.diagonal[rows], self.factor[rows])

    def __call__(self, rest: Float[Tensor, "A K"]) -> Float[Tensor, "A K"]:
        """Return it times `rest`."""
        found, size = rest / self.diagonal, self.factor.shape[1]
        found[:, :size] = torch.cholesky_solve(rest[:, :size, None], self.factor)[:, :, 0]
        return found


def _line_search(
    objective: Objective,
    scores: Float[Tensor, "A N"],
    along: Float[Tensor, "A N"],
    v: Float[Tensor, "A R1"],
    direction: Float[Tensor, "A R1"],
    penalty: Float[Tensor, " R1"],
) -> Tensor:
    """Return the length at which the slope has all but vanished: Newton in one dimension, inside a bracket."""
    n, joint = scores.shape[1], objective.joint
    inner = total(penalty * v * direction, joint)
    square = total(penalty * direction.square(), joint)

    def slope_at(length: Tensor) -> tuple[Tensor, Tensor]:
        p = objective.probabilities(scores + length[:, None] * along)
        slope = total(objective.residual(p) * along, joint) / n + inner + length * square
        return slope, p

    lower = torch.zeros_like(square)
    upper = torch.full_like(square, torch.inf)
    enough = SLOPE * slope_at(lower)[0].abs()
    length = torch.ones_like(square)
    for _ in range(SEARCHES):
        slope, p = slope_at(length)
        done = slope.abs() <= enough
        if bool(done.all()):
            break
        curvature = total(objective.curved(p, along) * along, joint) / n + square
        lower, upper = torch.where(slope < 0, length, lower), torch.where(slope > 0, length, upper)
        proposed = length - slope / curvature
        inside = (proposed > lower) & (proposed < upper)
        halved = torch.where(upper.isinf(), 2 * length, (lower + upper) / 2)
        length = torch.where(done, length, torch.where(inside, proposed, halved))
    return length
