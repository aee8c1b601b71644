"""Every score of a latent space, from cached posterior means."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from sendvae.config.schema_demo import EvaluationConfig
from sendvae.data import EmbeddedImages
from sendvae.latents import Bootstrap, attribute_probe, discrimination, semantic_gap, uniformity


@dataclass(frozen=True)
class LatentScores:
    """Scalars by metric name, and the probe's F1 of every attribute.

    Attributes:
        resampled: scalars of every resample of the test concepts, the same ones for every tokenizer.
    """

    scalars: dict[str, float]
    attribute_f1: dict[str, float]
    resampled: dict[str, Float64[Tensor, " R"]]


def evaluate_latents(
    latents: dict[str, Float[Tensor, "N C h w"]],
    images: dict[str, EmbeddedImages],
    config: EvaluationConfig,
    seed: int,
) -> LatentScores:
    """Scores of posterior means by split ("train", "val", "test").

    Probes are fitted on train, their strength chosen on val, their scores taken on test; the mixture is fitted
    on train and scored on test; the density is that of train.
    """
    train, test = images["train"], images["test"]
    attributes = {split: torch.from_numpy(subset.attributes.values) for split, subset in images.items()}
    labels = {split: subset.labels_of(range(len(subset))) for split, subset in images.items()}
    probe = attribute_probe(
        latents["train"],
        attributes["train"],
        latents["test"],
        attributes["test"],
        val_latents=latents["val"],
        val_attributes=attributes["val"],
        bootstrap=Bootstrap(groups=test.attributes.groups),
    )
    density = uniformity(
        latents["train"], samples=config.tsne_samples, repeats=config.tsne_repeats, seed=seed
    )
    gaps = {
        pool: semantic_gap(latents["train"], labels["train"], latents["test"], labels["test"], pool)
        for pool in ("mean", "flatten")
    }
    scalars = {
        "f1_macro": probe.f1_macro,
        "f1_micro": probe.f1_micro,
        "recall_at_5": probe.recall_at_5,
        "probe_accuracy_mean": gaps["mean"],
        "probe_accuracy_flatten": gaps["flatten"],
        "uniformity_gini": density.gini,
        "discrimination_nll": discrimination(latents["train"], latents["test"], seed=seed),
    }
    names = train.attributes.names
    assert test.attributes.names == names
    return LatentScores(scalars, dict(zip(names, probe.f1.tolist(), strict=True)), probe.resampled)
