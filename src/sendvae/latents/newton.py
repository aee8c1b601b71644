"""Newton's method for penalised logistic losses of many targets at once, in float32 or float64."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

STEPS = 60  # of Newton; a fit that needs more has met the end of its precision
CG_STEPS = 200  # of conjugate gradients within a step
CG_LOOSEST, CG_TIGHTEST = 0.5, 0.02  # how far a step's residual shrinks, early and late (inexact Newton)
BLOCK = 64  # leading directions whose curvature the preconditioner holds exactly
NEGLIGIBLE = 0.05  # curvature over penalty below which a direction is taken by its average curvature
SLOPE = 0.1  # share of the slope that the line search leaves
SEARCHES = 12  # steps of the line search


class Binary:
    """Mean cross-entropy of each column of 0/1 targets, a problem by itself."""

    joint = False

    def __init__(self, targets: Float[Tensor, "N A"]) -> None:
        self.targets = targets

    def of(self, columns: Tensor) -> Binary:
        """Return the problem of some columns."""
        return Binary(self.targets[:, columns])

    def loss(self, scores: Float[Tensor, "N A"]) -> Float[Tensor, " A"]:
        """Return the mean loss of each column."""
        return (F.softplus(scores) - self.targets * scores).mean(0)

    def probabilities(self, scores: Float[Tensor, "N A"]) -> Float[Tensor, "N A"]:
        """Return the probability of a 1."""
        return scores.sigmoid()

    def residual(self, probabilities: Float[Tensor, "N A"]) -> Float[Tensor, "N A"]:
        """Return the gradient of every image's loss with respect to its scores."""
        return probabilities - self.targets

    def curved(self, probabilities: Float[Tensor, "N A"], d: Float[Tensor, "N A"]) -> Float[Tensor, "N A"]:
        """Return the second derivative of every image's loss, times `d`."""
        return probabilities * (1 - probabilities) * d


class Softmax:
    """Mean cross-entropy of one class per image: all columns are one problem."""

    joint = True

    def __init__(self, targets: Float[Tensor, "N A"]) -> None:
        self.targets = targets  # one-hot

    def of(self, columns: Tensor) -> Softmax:
        """Return the problem of all classes, in any order; none can be left out."""
        return Softmax(self.targets[:, columns])

    def loss(self, scores: Float[Tensor, "N A"]) -> Float[Tensor, " 1"]:
        """Return the mean loss."""
        return (scores.logsumexp(1) - (self.targets * scores).sum(1)).mean()[None]

    def probabilities(self, scores: Float[Tensor, "N A"]) -> Float[Tensor, "N A"]:
        """Return the probability of every class."""
        return scores.softmax(1)

    def residual(self, probabilities: Float[Tensor, "N A"]) -> Float[Tensor, "N A"]:
        """Return the gradient of every image's loss with respect to its scores."""
        return probabilities - self.targets

    def curved(self, probabilities: Float[Tensor, "N A"], d: Float[Tensor, "N A"]) -> Float[Tensor, "N A"]:
        """Return the second derivative of every image's loss, times `d`."""
        return probabilities * (d - (probabilities * d).sum(1, keepdim=True))


Objective = Binary | Softmax


def total(values: Float[Tensor, "_ A"], joint: bool) -> Tensor:
    """Return the sum of each column (A,), or of all columns together (1,)."""
    return values.sum()[None] if joint else values.sum(0)


def minimise(
    objective: Objective,
    z: Float[Tensor, "N R1"],
    eigenvalues: Float[Tensor, " R1"],
    weight_decay: float,
    start: Float[Tensor, "R1 A"],
    tolerance: float,
) -> tuple[Float[Tensor, "R1 A"], int]:
    """Minimise the mean loss of z @ v + weight_decay / 2 |v|^2, the first row of v (the bias) unpenalised.

    Newton's steps come from preconditioned conjugate gradients (Nocedal and Wright, 2006, Algorithm 7.1), all
    columns in the same products; a line search along each costs no product. Columns that are done drop out.

    Args:
        z: a first column of ones, then features whose covariance is diagonal with falling `eigenvalues`.
        tolerance: ends where the gradient bounds the loss to lie this share above its minimum at most.

    Returns:
        v, and the steps taken; `STEPS` where the precision of `z` does not reach the tolerance.
    """
    n = len(z)
    penalty = torch.full_like(eigenvalues, weight_decay)[:, None]
    penalty[0] = 0.0
    kept = 1 + int((eigenvalues[1:] > 4 * NEGLIGIBLE * weight_decay).sum())  # curvature is a quarter at most
    v, scores = start.clone(), z @ start
    for step in range(STEPS):
        p = objective.probabilities(scores)
        gradient = z.T @ objective.residual(p) / n + penalty * v
        curvature = (p * (1 - p)).mean(0)
        bias_share = total(gradient[:1].square() / curvature.clamp_min(1e-12), objective.joint)
        bound = (total(gradient[1:].square(), objective.joint) / weight_decay + bias_share) / 2
        loss = objective.loss(scores) + total(penalty * v.square(), objective.joint) / 2
        excess = bound / loss
        if bool((excess <= tolerance).all()):
            return v, step
        active = torch.arange(v.shape[1], device=z.device)
        if not objective.joint:
            active = active[excess > tolerance]
            excess = excess[excess > tolerance]
        part, p = objective.of(active), p[:, active]
        shrink = (0.7 * (tolerance / excess).sqrt()).clamp(CG_TIGHTEST, CG_LOOSEST)
        diagonal = curvature[active] * eigenvalues[:, None] + penalty
        direction = -gradient[:, active] / diagonal
        direction[:kept] = _solve(
            part, z[:, :kept], p, diagonal[:kept], penalty[:kept], -gradient[:kept, active], shrink
        )
        along = z @ direction
        length = _line_search(part, scores[:, active], along, v[:, active], direction, penalty)
        v[:, active] += length * direction
        scores[:, active] += length * along
    return v, STEPS


def _solve(
    objective: Objective,
    z: Float[Tensor, "N K"],
    p: Float[Tensor, "N A"],
    diagonal: Float[Tensor, "K A"],
    penalty: Float[Tensor, "K 1"],
    target: Float[Tensor, "K A"],
    shrink: Tensor,
) -> Float[Tensor, "K A"]:
    """Solve Hessian @ d = target by conjugate gradients until the residual has shrunk to a share `shrink`."""
    n, joint = len(z), objective.joint
    precondition = _Preconditioner(z, p, diagonal, penalty)
    solution = torch.zeros_like(target)
    rest = target / target.norm(dim=0 if not joint else (0, 1)).clamp_min(torch.finfo(target.dtype).tiny)
    scale = target.norm(dim=0 if not joint else (0, 1))
    q = precondition(rest)
    energy = total(rest * q, joint)
    goal = energy * shrink.square()
    for _ in range(CG_STEPS):
        live = energy > goal
        if not bool(live.any()):
            break
        product = z.T @ objective.curved(p, z @ q) / n + penalty * q
        length = torch.where(live, energy / total(q * product, joint), 0.0)
        solution += length * q
        rest = rest - length * product
        conditioned = precondition(rest)
        now = total(rest * conditioned, joint)
        q = conditioned + torch.where(live, now / energy, 0.0) * q
        energy = torch.where(live, now, energy)
    return solution * scale


class _Preconditioner:
    """The inverse of the Hessian's leading block, exact column by column, and of the other directions' averages."""

    def __init__(
        self,
        z: Float[Tensor, "N K"],
        p: Float[Tensor, "N A"],
        diagonal: Float[Tensor, "K A"],
        penalty: Float[Tensor, "K 1"],
    ) -> None:
        self.diagonal = diagonal
        self.size = min(BLOCK, z.shape[1])
        leading, weights = z[:, : self.size], p * (1 - p)
        blocks = torch.stack([(leading * w[:, None]).T @ leading for w in weights.T]) / len(z)
        floor = torch.finfo(z.dtype).eps * blocks.diagonal(dim1=1, dim2=2).amax(1, keepdim=True)
        blocks.diagonal(dim1=1, dim2=2).add_(penalty[: self.size, 0] + 10 * self.size * floor)
        self.factor = torch.linalg.cholesky(blocks)

    def __call__(self, rest: Float[Tensor, "K A"]) -> Float[Tensor, "K A"]:
        found = rest / self.diagonal
        leading = rest[: self.size].T[:, :, None]
        found[: self.size] = torch.cholesky_solve(leading, self.factor)[:, :, 0].T
        return found


def _line_search(
    objective: Objective,
    scores: Float[Tensor, "N A"],
    along: Float[Tensor, "N A"],
    v: Float[Tensor, "R1 A"],
    direction: Float[Tensor, "R1 A"],
    penalty: Float[Tensor, "R1 1"],
) -> Tensor:
    """Return the length at which the slope has all but vanished: Newton in one dimension, inside a bracket."""
    n, joint = len(scores), objective.joint
    inner = total(penalty * v * direction, joint)
    square = total(penalty * direction.square(), joint)

    def slope_at(length: Tensor) -> tuple[Tensor, Tensor]:
        p = objective.probabilities(scores + length * along)
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
