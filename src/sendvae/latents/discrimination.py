"""Discrimination: how well a Gaussian mixture fits the latents (after MAETok)."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor

from sendvae.latents.bootstrap import Bootstrap, weighted_mean
from sendvae.latents.moments import moments_of, principal_axes
from sendvae.latents.rows import LatentRows, as_rows, batches
from sendvae.nn import Moments

REGULARISATION = 1e-6
COMPONENTS = 50
UNIT_TOLERANCE = 0.05  # of a projected standard deviation about 1
DIMENSIONS = 64  # principal components that the mixture sees


@dataclass(frozen=True)
class MixtureScore:
    """One mixture.

    Attributes:
        components: its Gaussians.
        nll: the negative log-likelihood of held-out latents, in nats per dimension; the mean over seeds.
        train_nll: the same of the latents that it was fitted to.
        spread: standard deviation of `nll` over seeds (ddof 0).
        resampled: `nll` of every resample of the held-out images; None without a bootstrap.
    """

    components: int
    nll: float
    train_nll: float
    spread: float
    resampled: Float64[Tensor, " R"] | None


@dataclass(frozen=True)
class Discrimination:
    """Mixtures of growing size.

    Attributes:
        mixtures: the mixtures in the order asked for.
        dimensions: principal components they saw.
        explained_variance: share of the standardised latents' variance in those.
    """

    mixtures: tuple[MixtureScore, ...]
    dimensions: int
    explained_variance: float


def discrimination(
    train_latents: Float[Tensor, "N ..."] | LatentRows,
    test_latents: Float[Tensor, "M ..."] | LatentRows,
    components: int = COMPONENTS,
    dimensions: int = DIMENSIONS,
    seed: int = 0,
) -> float:
    """Return the held-out negative log-likelihood of one mixture, as `mixture_scores` does; lower is better."""
    return mixture_scores(train_latents, test_latents, [components], dimensions, [seed]).mixtures[0].nll


def mixture_scores(
    train_latents: Float[Tensor, "N ..."] | LatentRows,
    test_latents: Float[Tensor, "M ..."] | LatentRows,
    components: Sequence[int],
    dimensions: int = DIMENSIONS,
    seeds: Sequence[int] = (0,),
    covariance: Literal["diag", "full"] = "diag",
    bootstrap: Bootstrap | None = None,
) -> Discrimination:
    """Return negative log-likelihoods of Gaussian mixtures, in nats per dimension; lower is better.

    Our protocol, since the published one is not stated: flatten, standardise, PCA to `dimensions` without
    whitening, standardise again, k-means initialisation. Comparable between latent spaces at equal settings.
    One Gaussian that fits perfectly scores log(2 pi e) / 2 = 1.42. Latents are read in batches: memory is that
    of the covariance (F x F doubles) and of the projected latents.

    Args:
        train_latents, test_latents: posterior means, or rows of them.
        components: Gaussians of each mixture; `dimensions` at most the flattened size.
        bootstrap: the resamples of the held-out images.

    Raises:
        ValueError: latents that vary in fewer than `dimensions` directions, NaN, or fewer than components.
    """
    train, test = as_rows(train_latents), as_rows(test_latents)
    if len(train) < max(components):
        raise ValueError(f"{len(train)} latents are too few for {max(components)} components")
    moments = moments_of(train)
    features = len(moments.mean)
    dimensions = min(dimensions, features, len(train) - 1)
    scale = moments.std.clamp_min(REGULARISATION)
    correlation = moments.scatter.div_(moments.count).div_(scale).div_(scale[:, None])
    total = float(correlation.trace())
    values, axes = principal_axes(correlation, dimensions)
    spread = values.clamp_min(torch.finfo(values.dtype).tiny).sqrt()
    projection = axes / scale[:, None] / spread
    fitted, held_out = (_projected(rows, moments, projection) for rows in (train, test))
    unit = fitted.std(0)  # 1 along real directions; along those that are rounding only, anything else
    real = np.abs(unit - 1.0) < UNIT_TOLERANCE
    if not real.all():
        raise ValueError(
            f"the latents vary in {int(real.sum())} directions only, fewer than dimensions = {dimensions}"
        )
    fitted, held_out = fitted / unit, held_out / unit
    mixtures = [_mixture(fitted, held_out, count, covariance, seeds, bootstrap) for count in components]
    return Discrimination(tuple(mixtures), dimensions, float(values.sum()) / total)


def _projected(rows: LatentRows, moments: Moments, projection: Float[Tensor, "F d"]) -> np.ndarray:
    """Return standardised principal components (N, d), float64."""
    parts = []
    for _, values in batches(rows):
        mean, axes = (tensor.to(values.device, torch.float32) for tensor in (moments.mean, projection))
        parts.append(((values.flatten(1) - mean) @ axes).double().cpu())
    return torch.cat(parts).numpy()


def _mixture(
    train: np.ndarray,
    test: np.ndarray,
    components: int,
    covariance: Literal["diag", "full"],
    seeds: Sequence[int],
    bootstrap: Bootstrap | None,
) -> MixtureScore:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import GaussianMixture

    held_out, fitted = [], []
    for seed in seeds:
        mixture = GaussianMixture(
            components,
            covariance_type=covariance,
            reg_covar=REGULARISATION,
            init_params="kmeans",
            random_state=seed,
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            mixture.fit(train)
        held_out.append(-mixture.score_samples(test) / train.shape[1])
        fitted.append(-mixture.score(train) / train.shape[1])
    per_image, by_seed = np.mean(held_out, axis=0), np.mean(held_out, axis=1)
    statistics = {"nll": weighted_mean(torch.from_numpy(per_image))}
    resampled = bootstrap.scores(len(test), statistics) if bootstrap else {}
    return MixtureScore(
        components, float(by_seed.mean()), float(np.mean(fitted)), float(by_seed.std()), resampled.get("nll")
    )
