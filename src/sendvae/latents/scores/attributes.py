"""Attributes that are linearly separable: the paper's measure of semantic disentanglement (Table 8, Figure 2)."""

from __future__ import annotations

from sendvae.latents.attributes import Method, attribute_probe
from sendvae.latents.score import Evidence, Found, Measured, Score, noted, quantity
from sendvae.latents.scores.memory import check_full_batch


def score_attributes(
    evidence: Evidence, method: Method, weight_decay: float | None, threshold: float, headline: str
) -> Found:
    """Probe the binary attributes: F1 averages, the headline first, and recalls, each in [0, 1].

    Args:
        method, weight_decay, threshold: as in `attribute_probe`.
        headline: "macro", "micro" or "samples".

    Raises:
        UserError: the logistic probe would need too much memory.
    """
    if not evidence.attributes:
        return Found(details={"no attributes": f"{evidence.source} has none"})
    if method == "logistic":
        check_full_batch(evidence, "attributes.method=logistic", "attributes.method=ridge", flat=True)
    attributes, rows = evidence.attributes, evidence.rows
    probe = attribute_probe(
        rows["train"],
        attributes["train"],
        rows["test"],
        attributes["test"],
        val_latents=rows.get("val"),
        val_attributes=attributes.get("val"),
        method=method,
        weight_decay=weight_decay,
        threshold=threshold,
        minibatch=evidence.minibatch,
        bootstrap=evidence.bootstrap,
    )
    fields = probe.as_dict()
    details = {"f1": dict(zip(evidence.attribute_names, fields.pop("f1"), strict=True))}
    names = [key for key in fields if key.startswith(("f1_", "recall_"))]
    details["probe"] = {key: value for key, value in fields.items() if key not in names}
    names.sort(key=lambda key: key != f"f1_{headline}")  # the headline first, in all tables
    numbers = {
        name: Measured(fields[name], probe.resampled.get(name)) for name in names if fields[name] is not None
    }
    return Found(numbers, details | noted("attributes", probe.notes))


SCORE = Score(
    score_attributes,
    {
        "f1_macro": quantity(
            "Attribute F1",
            True,
            "linear probes of binary attributes on the flattened latent, mean over attributes",
        ),
        "f1_micro": quantity("F1 micro", True, "the same probes, counts pooled over attributes"),
        "f1_samples": quantity("F1 samples", True, "the same probes, mean over images"),
        "recall_at_5": quantity(
            "Recall@5", True, "share of all positives among their image's five highest scores"
        ),
        "recall_at_5_images": quantity("Recall@5, images", True, "mean of that share over images"),
        "recall_at_5_attributes": quantity(
            "Recall@5, attributes", True, "mean of that share over attributes"
        ),
        "recall_at_5_best": quantity(
            "Recall@5, best 50", True, "mean over the 50 attributes where it is highest (mmfashion)"
        ),
        "f1_macro_tuned": quantity(
            "Attribute F1, tuned", True, "F1 at the threshold the validation split chose"
        ),
        "f1_micro_tuned": quantity(
            "F1 micro, tuned", True, "F1 micro at the threshold the validation split chose"
        ),
        "f1_samples_tuned": quantity(
            "F1 samples, tuned", True, "F1 over images at the threshold the validation split chose"
        ),
    },
    cost="seconds for 10,000 images on a CPU",
    source="Send-VAE, Section 3 and Table 8",
)
