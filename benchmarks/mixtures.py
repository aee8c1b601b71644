"""What does a Gaussian mixture of latents cost that are read in batches, against scikit-learn with all in memory?"""

from __future__ import annotations

import warnings

import torch
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks.harness import Report
from sendvae.latents.discrimination import REGULARISATION, mixture_scores


def measure(report: Report) -> None:
    """Fit one mixture to the principal components of noise with a decaying spectrum."""
    images, features, components, dimensions = (200, 16, 2, 4) if report.quick else (8000, 1024, 50, 64)
    spread = torch.logspace(0, -2, features)
    latents = torch.randn(2, images, features) @ torch.diag(spread) @ torch.randn(features, features)
    train, test = latents

    def ours() -> float:
        return mixture_scores(train, test, [components], dimensions).mixtures[0].nll

    def theirs() -> float:
        # pyrefly: ignore[bad-argument-type]  (its stub lacks this solver)
        pca = PCA(dimensions, svd_solver="covariance_eigh")
        project = make_pipeline(StandardScaler(), pca, StandardScaler())
        mixture = GaussianMixture(
            components, covariance_type="diag", reg_covar=REGULARISATION, random_state=0
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            mixture.fit(project.fit_transform(train.double().numpy()))
        return float(-mixture.score(project.transform(test.double().numpy())) / dimensions)

    report.compare(
        f"mixture of {components}, {images:,} x {features:,}, {dimensions} principal components",
        ours,
        "scikit-learn, all at once",
        theirs,
        f"negative log-likelihoods {ours():.4f} and {theirs():.4f}",
        repeats=3,
    )
