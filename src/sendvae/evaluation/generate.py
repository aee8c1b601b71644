"""How close generated images are to the real ones, in the features of one network."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from sendvae.metrics import FeatureStatistics, frechet_distance_of, kernel_distance, precision_recall


def evaluate_generation(
    reference: Float[Tensor, "N D"], generated: Float[Tensor, "M D"], network: str
) -> dict[str, float]:
    """Frechet and kernel distance, precision and recall, in the features of `network`.

    Keys carry the network's name: "fid" would mean Inception.
    """
    statistics = []
    for features in (reference, generated):
        statistics.append(FeatureStatistics())
        statistics[-1].update(features)
    precision, recall = precision_recall(reference, generated)
    suffix = network.lower()
    return {
        f"fd-{suffix}": frechet_distance_of(*statistics),
        f"kd-{suffix}": kernel_distance(reference, generated),
        f"precision-{suffix}": precision,
        f"recall-{suffix}": recall,
    }
