"""Semantic gap: how much of the class a linear probe reads from a latent."""

from __future__ import annotations

from jaxtyping import Float, Int64
from torch import Tensor

from sendvae.latents.logistic import Design, fit_softmax, scores_of, standardise

STRENGTH = 1e-2  # ours: the published protocol states no regulariser


def semantic_gap(
    train_latents: Float[Tensor, "N C h w"],
    train_labels: Int64[Tensor, " N"],
    test_latents: Float[Tensor, "M C h w"],
    test_labels: Int64[Tensor, " M"],
    pool: str = "mean",
    strength: float = STRENGTH,
    top: int = 1,
) -> float:
    """Test accuracy of a softmax regression on standardised latents (affine-free BatchNorm and linear layer).

    Trained to convergence on the full batch, hence deterministic.

    Args:
        pool: "mean" averages positions, as REPA's probes do, and leaves C features; "flatten" keeps all.
        strength: of the ridge penalty strength / 2 |w|^2 beside the mean cross-entropy.
        top: counts a hit where the label is among this many highest scores.

    Raises:
        ValueError: unknown pool, a single class, or fewer classes than `top`.
    """
    if pool not in ("mean", "flatten"):
        raise ValueError(f"pool must be 'mean' or 'flatten', got '{pool}'")
    if len(train_labels.unique()) < 2:
        raise ValueError("a probe needs two classes or more")
    train, test = (
        z.mean(dim=(2, 3)) if pool == "mean" else z.flatten(1) for z in (train_latents, test_latents)
    )
    train, test = standardise(train, test)
    classes = int(max(train_labels.max(), test_labels.max())) + 1
    if not 1 <= top <= classes:
        raise ValueError(f"top must be in 1..{classes}, got {top}")
    model = fit_softmax(Design(train), train_labels, classes, strength)
    guesses = scores_of(model, test).topk(top, dim=1).indices
    return float((guesses == test_labels[:, None]).any(1).double().mean())
