"""The whole job with Inception, against torch-fidelity's extractor and functions; the weights are random."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tests.evaluation.small import pictures, save_npz
from tests.metrics.features.random_inception import write_random_weights

from sendvae.config import GenerationConfig, validate
from sendvae.evaluation import measure_generation
from sendvae.evaluation.networks import FeatureNetwork, FeatureRows
from sendvae.metrics import load_inception

COUNT = 24


@pytest.mark.slow
def test_fid_inception_score_precision_and_recall(tmp_path: Path) -> None:
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
    from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric
    from torch_fidelity.metric_isc import isc_features_to_metric
    from torch_fidelity.metric_prc import prc_features_to_metric

    weights = write_random_weights(tmp_path / "random.pth")
    module = load_inception(weights, sha256=None)
    network = FeatureNetwork("inception", module, lambda images: FeatureRows(*module.outputs(images)))
    sets = [pictures(COUNT, seed, size=48) for seed in (1, 2)]
    files = [save_npz(tmp_path / f"{i}.npz", images) for i, images in enumerate(sets)]
    config = validate(
        GenerationConfig, {"batch_size": 8, "score_chunk": 8, "intervals": {"jackknife": 0, "bootstrap": 0}}
    )
    result = measure_generation(*files, config, torch.device("cpu"), network=network)
    assert result is not None
    numbers = {name: number.value for name, number in result.subjects[0].numbers.items()}

    theirs = FeatureExtractorInceptionV3(
        "reference", ["2048", "logits_unbiased"], feature_extractor_weights_path=str(weights)
    )
    images = [torch.from_numpy(part).permute(0, 3, 1, 2) for part in sets]
    (fake, logits), (real, _) = (
        [torch.cat(rows) for rows in zip(*map(theirs, part.split(8)), strict=True)] for part in images
    )
    fid = fid_statistics_to_metric(
        fid_features_to_statistics(fake), fid_features_to_statistics(real), verbose=False
    )
    # 24 images in 2048 dimensions: there torch-fidelity takes roots of eigenvalues that are rounding only.
    assert numbers["fid"] == pytest.approx(fid["frechet_inception_distance"], rel=1e-3)
    score = isc_features_to_metric(logits, splits=3, shuffle=False)
    assert numbers["is"] == pytest.approx(score["inception_score_mean"], rel=1e-6)
    balls = prc_features_to_metric(fake, real, prc_neighborhood=3, verbose=False)
    assert numbers["precision"] == pytest.approx(balls["precision"])
    assert numbers["recall"] == pytest.approx(balls["recall"])
