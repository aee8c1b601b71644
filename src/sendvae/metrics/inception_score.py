"""Inception score as ADM's evaluator computes it."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor


def inception_score(logits: Float[Tensor, "N K"], splits: int = 10) -> tuple[float, float]:
    """exp(mean KL(p(y|x) || p(y))) of contiguous chunks: mean and standard deviation (Salimans et al., 2016).

    Nothing is shuffled, so the order matters: ADM's chunks of 5000 of 50000 images are `splits=10`.
    Where `splits` does not divide N, the first chunks are longer by one. float64 log-softmax: no probability
    underflows to 0 * -inf. The standard deviation is that of the chunks (ddof 0).

    Args:
        logits: before the softmax; for ADM's score Inception's 1008 without the bias.

    Raises:
        ValueError: more splits than rows, or logits that are not finite.
    """
    if not 1 <= splits <= len(logits):
        raise ValueError(f"splits must be in 1..{len(logits)}, got {splits}")
    if not bool(logits.isfinite().all()):
        raise ValueError("logits contain NaN or infinity")
    scores = []
    for chunk in logits.double().log_softmax(dim=1).tensor_split(splits):
        log_marginal = chunk.logsumexp(0) - math.log(len(chunk))
        kl = (chunk.exp() * (chunk - log_marginal)).sum(1)
        scores.append(kl.mean().exp())
    stacked = torch.stack(scores)
    return float(stacked.mean()), float(stacked.std(correction=0))
