"""Inception score as ADM's evaluator computes it."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def inception_score(logits: Float[Tensor, "N K"], splits: int = 10) -> tuple[float, float]:
    """exp(mean KL(p(y|x) || p(y))) of `splits` contiguous chunks: their mean and standard deviation.

    The order of the rows matters: chunks are contiguous and nothing is shuffled. float64 log-softmax, so no
    probability underflows to 0 * -inf.
    """
    if not 1 <= splits <= len(logits):
        raise ValueError(f"splits must be in 1..{len(logits)}, got {splits}")
    log_p = logits.double().log_softmax(dim=1)
    scores = []
    for chunk in log_p.tensor_split(splits):
        log_marginal = chunk.logsumexp(0) - torch.tensor(float(len(chunk)), dtype=torch.float64).log()
        kl = (chunk.exp() * (chunk - log_marginal)).nan_to_num(0.0).sum(1)
        scores.append(kl.mean().exp())
    stacked = torch.stack(scores)
    return float(stacked.mean()), float(stacked.std(correction=0))
