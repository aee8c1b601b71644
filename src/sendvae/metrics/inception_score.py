"""Inception score as ADM's evaluator computes it."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor


def inception_score(
    logits: Float[Tensor, "N K"], splits: int = 10, chunk: int | None = None
) -> tuple[float, float]:
    """exp(mean KL(p(y|x) || p(y))) of contiguous chunks: mean and standard deviation (Salimans et al., 2016).

    Nothing is shuffled, so the order matters. Chunks are equal parts (the first longer by one where `splits`
    does not divide N) or, with `chunk`, of that many images with a shorter last one that counts as much: ADM's
    are of 5000. float64 log-softmax: no probability underflows to 0 * -inf. The standard deviation is that of
    the chunks (ddof 0).

    Args:
        logits: the logits before the softmax; for ADM's score Inception's 1008 without the bias.
        chunk: images of a chunk, in place of `splits`.

    Raises:
        ValueError: no rows, more splits than rows, or logits that are not finite.
    """
    if chunk is None and not 1 <= splits <= len(logits):
        raise ValueError(f"splits must be in 1..{len(logits)}, got {splits}")
    if len(logits) == 0 or (chunk is not None and chunk < 1):
        raise ValueError(f"{len(logits)} images cannot be cut into chunks of {chunk}")
    if not bool(logits.isfinite().all()):
        raise ValueError("logits contain NaN or infinity")
    chunks = logits.tensor_split(splits) if chunk is None else logits.split(chunk)
    scores = []
    for part in chunks:
        log_p = part.double().log_softmax(dim=1)
        log_marginal = log_p.logsumexp(0) - math.log(len(log_p))
        kl = (log_p.exp() * (log_p - log_marginal)).sum(1)
        scores.append(kl.mean().exp())
    stacked = torch.stack(scores)
    return float(stacked.mean()), float(stacked.std(correction=0))
