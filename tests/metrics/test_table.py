from __future__ import annotations

import pytest
import torch

from sendvae.errors import UserError
from sendvae.metrics import FEATURES, METRICS

EQUAL = {  # what a set compared with itself scores
    "frechet": 0.0,
    "frechet-spatial": 0.0,
    "precision": 1.0,
    "recall": 1.0,
    "psnr": float("inf"),
    "ssim": 1.0,
}


def evidence(needs: str) -> torch.Tensor:
    if needs == "images":
        return torch.randint(0, 256, (4, 3, 16, 16), dtype=torch.uint8)
    return torch.randn(40, 8)


@pytest.mark.parametrize("name", METRICS)
def test_a_set_against_itself(name: str) -> None:
    rows = evidence(METRICS[name].needs)
    scores = METRICS[name].compute(rows, rows.clone())
    for key, value in scores.items():
        assert isinstance(value, float)
        if key in EQUAL:
            assert value == pytest.approx(EQUAL[key], abs=1e-6)


@pytest.mark.parametrize("name", METRICS)
def test_a_worse_set_scores_otherwise(name: str) -> None:
    rows = evidence(METRICS[name].needs)
    other = 255 - rows if METRICS[name].needs == "images" else 5 * rows + 20
    same, worse = METRICS[name].compute(rows, rows), METRICS[name].compute(rows, other)
    assert all(worse[key] != same[key] for key in same)


def test_unknown_names_suggest_the_nearest() -> None:
    with pytest.raises(UserError, match="did you mean 'frechet'"):
        METRICS["frechett"]
    with pytest.raises(UserError, match="did you mean 'Inception'"):
        FEATURES["Incepton"]
