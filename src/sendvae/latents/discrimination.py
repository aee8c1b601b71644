"""Discrimination: how well a Gaussian mixture fits the latents (after MAETok)."""

from __future__ import annotations

import warnings

import numpy as np
from jaxtyping import Float
from torch import Tensor

REGULARISATION = 1e-6


def discrimination(
    train_latents: Float[Tensor, "N ..."],
    test_latents: Float[Tensor, "M ..."],
    components: int = 50,
    dimensions: int = 64,
    seed: int = 0,
) -> float:
    """Held-out negative log-likelihood of a diagonal Gaussian mixture, nats per dimension; lower is better.

    Our protocol, since the published one is not stated: flatten, standardise, PCA to `dimensions` without
    whitening, standardise again, k-means initialisation. Comparable between latent spaces at equal settings.
    One Gaussian that fits perfectly scores log(2 pi e) / 2 = 1.42.

    Args:
        components: Gaussians of the mixture; `dimensions` at most the flattened size.

    Raises:
        ValueError: latents that vary in fewer than `dimensions` directions.
    """
    from sklearn.decomposition import PCA
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import GaussianMixture

    train, test = (z.flatten(1).double().numpy() for z in (train_latents, test_latents))
    mean, std = train.mean(0), np.maximum(train.std(0), REGULARISATION)
    train, test = (train - mean) / std, (test - mean) / std
    dimensions = min(dimensions, train.shape[1], len(train) - 1)
    pca = PCA(dimensions, random_state=seed).fit(train)
    train, test = pca.transform(train), pca.transform(test)
    scale, centre = train.std(0), train.mean(0)
    if not (scale > REGULARISATION).all():
        rank = int((scale > REGULARISATION).sum())
        raise ValueError(f"the latents vary in {rank} directions only, fewer than dimensions = {dimensions}")
    train, test = (train - centre) / scale, (test - centre) / scale
    mixture = GaussianMixture(
        components, covariance_type="diag", reg_covar=REGULARISATION, init_params="kmeans", random_state=seed
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        mixture.fit(train)
    return float(-mixture.score(test) / dimensions)
