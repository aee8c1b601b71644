"""How long does the attribute probe take against scikit-learn on real latents, and do both find the same optimum?"""

from __future__ import annotations

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression

from benchmarks.harness import Report, Row, interleaved
from sendvae.data import open_embedded, to_float
from sendvae.latents.logistic import Design, fit_logistic, scores_of, standardise
from sendvae.tokenizers import load_tokenizer

WEIGHT_DECAY, TOLERANCE = 1e-3, 1e-6
GIVEN = 4  # attributes that scikit-learn gets, evenly spaced: it takes minutes for all


@torch.no_grad()
def measure(report: Report) -> None:
    """Fit the latents of the embedded emoji: 6,601 images of 1,024 features, 47 attributes."""
    images, tokenizer = (
        open_embedded("emoji", "train", 60 if report.quick else None),
        load_tokenizer("demo-f8d16"),
    )
    parts = [tokenizer.encode(to_float(pixels)).mean.flatten(1) for pixels in images.pixels.split(64)]
    (x,) = standardise(torch.cat(parts))
    y = torch.from_numpy(images.attributes.values).float()
    array = x.double().numpy()
    columns = np.linspace(0, y.shape[1] - 1, GIVEN).round().astype(int)
    columns = [column for column in columns if 0 < y[:, column].sum() < len(y)]
    models = [
        LogisticRegression(C=1 / (WEIGHT_DECAY * len(x)), tol=TOLERANCE, max_iter=100_000) for _ in columns
    ]

    def theirs() -> None:
        for column, model in zip(columns, models, strict=True):
            model.fit(array, y[:, column].numpy())

    def ours() -> object:
        return fit_logistic(Design(x), y, WEIGHT_DECAY)

    taken = interleaved(
        {"ours": ours, "theirs": theirs, "unit": lambda: torch.linalg.eigh(x.double().T @ x.double())}, 1
    )
    fit = fit_logistic(Design(x), y, WEIGHT_DECAY)
    own = scores_of(fit, x).double().sigmoid()
    worst = max(
        float((own[:, column] - torch.from_numpy(model.predict_proba(array)[:, 1])).abs().max())
        for column, model in zip(columns, models, strict=True)
    )
    scaled = taken["theirs"] * y.shape[1] / max(1, len(columns))
    what = f"logistic probe, {len(x):,} x {x.shape[1]:,}, {y.shape[1]} attributes"
    note = f"probabilities within {worst:.0e}; scikit-learn on {len(columns)} attributes, scaled"
    report.rows.append(Row(what, "scikit-learn", taken["ours"], scaled, note))
    report.rows.append(
        Row(what, "one Gram matrix and its eigenvectors", taken["ours"], taken["unit"], "a lower bound")
    )
