"""Semantic gap: how much of the class a linear probe reads from a latent."""

from __future__ import annotations

from jaxtyping import Float, Int64
from torch import Tensor

from sendvae.latents.logistic import Design, fit_softmax, scores_of, standardise

STRENGTH = 1e-2


def semantic_gap(
    train_latents: Float[Tensor, "N C h w"],
    train_labels: Int64[Tensor, " N"],
    test_latents: Float[Tensor, "M C h w"],
    test_labels: Int64[Tensor, " M"],
    pool: str = "mean",
    strength: float = STRENGTH,
) -> float:
    """Test accuracy of a softmax regression on standardised latents (an affine-free BatchNorm and a linear layer).

    Args:
        pool: "mean" averages positions, as REPA's probes do; "flatten" keeps them.

    Raises:
        ValueError: unknown pool, or a single class.
    """
    if pool not in ("mean", "flatten"):
        raise ValueError(f"pool must be 'mean' or 'flatten', got '{pool}'")
    if len(train_labels.unique()) < 2:
        raise ValueError("a probe needs two classes or more")
    train, test = (z.mean(dim=(2, 3)) if pool == "mean" else z.flatten(1) for z in (train_latents, test_latents))
    train, test = standardise(train, test)
    classes = int(max(train_labels.max(), test_labels.max())) + 1
    model = fit_softmax(Design(train), train_labels, classes, strength)
    return float((scores_of(model, test).argmax(1) == test_labels).double().mean())
