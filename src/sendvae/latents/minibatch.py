"""Linear probes by mini-batch Adam: for sets whose latents do not fit into memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from sendvae.latents.logistic import STD_FLOOR
from sendvae.latents.newton import Binary, Softmax, total
from sendvae.latents.rows import Centred, Fitted, LatentRows, batches
from sendvae.nn import Moments
from sendvae.randomness import stream

TOLERANCE = 1e-2  # share of the loss by which a converged fit lies above its minimum at most
ODDS = 1e-4  # shares of positives are clamped to [ODDS, 1 - ODDS] for the first bias


@dataclass(frozen=True)
class MinibatchFit:
    """How a mini-batch probe is fitted; ours, since no published protocol states it.

    Attributes:
        epochs, batch_size, lr: the settings of Adam, whose rate falls from `lr` to 0 by half a cosine.
        seed: the seed of the order.
    """

    epochs: int = 20
    batch_size: int = 1024
    lr: float = 1e-3
    seed: int = 0


def fit_minibatch(
    rows: LatentRows,
    targets: Tensor,
    weight_decays: Sequence[float],
    fit: MinibatchFit,
    loss: Literal["binary", "softmax"] = "binary",
) -> list[Fitted]:
    """A linear map of the flattened latents for each weight decay; all see the same batches.

    The mean loss + weight_decay / 2 |w|^2 is that of the full-batch fits. Inputs are standardised with the
    statistics of `rows`, which the returned maps have folded in. One extra pass measures them, and a last one
    the gradient: from it and the penalty follows how far the loss lies above its minimum at most (with Newton's
    estimate for the biases). A fit within `TOLERANCE` of the loss has converged; most have not, since the bound
    is a cautious one. Memory is a batch and five copies of the weights for each decay.

    Args:
        targets: (N, A) in {0, 1} for "binary", class numbers (N,) for "softmax".

    Raises:
        ValueError: `targets` of another length, or latents that are not finite.
    """
    if len(targets) != len(rows):
        raise ValueError(f"{len(rows)} latents and {len(targets)} targets")
    moments = Moments("diagonal")
    for _, values in batches(rows):
        moments.update(values.flatten(1))
    mean, std, device = moments.mean, moments.std, moments.mean.device
    scale = (1.0 / std.where(std > STD_FLOOR, torch.inf)).float()
    bias = _first_bias(targets, loss).to(device)
    weights = [torch.zeros(len(mean), len(bias), device=device, requires_grad=True) for _ in weight_decays]
    biases = [bias.clone().requires_grad_(True) for _ in weight_decays]
    groups = [
        {"params": [weight], "weight_decay": decay}
        for weight, decay in zip(weights, weight_decays, strict=True)
    ]
    optimizer = torch.optim.Adam([*groups, {"params": biases, "weight_decay": 0.0}], lr=fit.lr)
    steps = fit.epochs * -(-len(rows) // fit.batch_size)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    with torch.enable_grad():
        for epoch in range(fit.epochs):
            order = torch.randperm(len(rows), generator=stream(fit.seed, epoch, "minibatch order")).numpy()
            for start in range(0, len(rows), fit.batch_size):
                picked = np.sort(order[start : start + fit.batch_size])  # in order: kinder to a disk
                x = (rows.batch(picked).flatten(1) - mean.float()) * scale
                y = targets[torch.from_numpy(picked)].to(device)
                optimizer.zero_grad()
                scores = [torch.addmm(b, x, w) for w, b in zip(weights, biases, strict=True)]
                torch.stack([_loss(s, y, loss) for s in scores]).sum().backward()
                optimizer.step()
                schedule.step()
    maps = [
        Centred((weight * scale[:, None]).detach(), shift.detach(), mean.float())
        for weight, shift in zip(weights, biases, strict=True)
    ]
    return [
        _measured(one, rows, targets, scale, weight_decay, loss, steps)
        for one, weight_decay in zip(maps, weight_decays, strict=True)
    ]


def _measured(
    found: Centred,
    rows: LatentRows,
    targets: Tensor,
    scale: Float[Tensor, " F"],
    weight_decay: float,
    loss: str,
    steps: int,
) -> Fitted:
    """How near a map lies to its optimum: loss and gradient over all rows, summed in float64."""
    joint = loss == "softmax"
    columns = torch.arange(len(found.bias), device=scale.device)
    weight = found.weight / scale[:, None].where(scale[:, None] > 0, 1.0)
    slope, shift, curvature, value = (torch.zeros((), dtype=torch.float64) for _ in range(4))
    for place, values in batches(rows):
        x = (values.flatten(1) - found.centre) * scale
        y = targets[place].to(x.device)
        y = (y[:, None] == columns).to(x) if joint else y.to(x)
        objective = (Softmax if joint else Binary)(y.T)
        scores = torch.addmm(found.bias, x, weight).T
        p = objective.probabilities(scores)
        residual = objective.residual(p)
        slope = slope + (residual @ x).double()
        shift, curvature = shift + residual.double().sum(1), curvature + (p * (1 - p)).double().sum(1)
        value = value + objective.loss(scores).double() * len(x)
    count = len(rows)
    slope, shift, curvature = (
        slope / count + weight_decay * weight.T.double(),
        shift / count,
        curvature / count,
    )
    value = value / count + weight_decay * total(weight.T.double().square(), joint) / 2
    square, biases = total(slope.square(), joint), shift[:, None].square()
    bound = square / weight_decay if weight_decay else torch.full_like(square, torch.inf)
    excess = (bound + total(biases / curvature.clamp_min(ODDS**2)[:, None], joint)) / 2 / value
    norm = (square + total(biases, joint)).sqrt()
    largest = float(excess.max()) if weight_decay else None
    return Fitted(found, steps, float(norm.max()), largest, bool((excess <= TOLERANCE).all()))


def _loss(scores: Tensor, targets: Tensor, loss: str) -> Tensor:
    """Mean over images; of binary targets the sum over attributes, so that each is a probe of its own."""
    if loss == "softmax":
        return F.cross_entropy(scores, targets)
    return F.binary_cross_entropy_with_logits(scores, targets.float(), reduction="sum") / len(scores)


def _first_bias(targets: Tensor, loss: str) -> Float[Tensor, " A"]:
    """The log odds (or log shares): training begins at what needs no latent."""
    if loss == "softmax":
        shares = targets.bincount().float() / len(targets)
        return shares.clamp_min(ODDS).log()
    shares = torch.stack([part.sum(0, dtype=torch.float64) for part in targets.split(4096)]).sum(0)
    return (shares / len(targets)).clamp(ODDS, 1 - ODDS).logit().float()
