"""How much of the class a linear probe reads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sendvae.latents.gap import class_probe
from sendvae.latents.score import Evidence, Found, Measured, Score, noted, quantity
from sendvae.latents.scores.memory import check_full_batch


def score_gap(evidence: Evidence, pools: Sequence[str], method: str, weight_decay: float) -> Found:
    """Probe the class, once for each pool: accuracies in [0, 1]; no number where training has one class.

    Raises:
        UserError: a full-batch probe would need too much memory.
    """
    labels = evidence.labels
    if len(labels["train"].unique()) < 2:
        return Found(details={"no gap": f"{evidence.source} has one class only"})
    numbers: dict[str, Measured] = {}
    details: dict[str, Any] = {}
    for pool in pools:
        if method == "full-batch":
            check_full_batch(evidence, "gap.method=full-batch", "gap.method=minibatch", pool == "flatten")
        probe = class_probe(
            evidence.rows["train"],
            labels["train"],
            evidence.rows["test"],
            labels["test"],
            pool,
            weight_decay,
            method=method,
            minibatch=evidence.minibatch,
            bootstrap=evidence.bootstrap,
        )
        name = f"gap_{pool}"
        fit = probe.fit._asdict()
        del fit["map"]
        details |= {f"{name} probe": fit} | noted(name, probe.notes)
        numbers[name] = Measured(probe.accuracy, probe.resampled)
    return Found(numbers, details)


SCORE = Score(
    score_gap,
    {
        "gap_mean": quantity(
            "Class accuracy, pooled", True, "linear probe of the class on the latent averaged over positions"
        ),
        "gap_flatten": quantity(
            "Class accuracy", True, "linear probe of the class on the flattened latent (semantic gap)"
        ),
    },
    cost="seconds for 10,000 images on a CPU",
    source="REPA, Section 3; Send-VAE, Figure 2",
)
