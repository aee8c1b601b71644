"""Spatial structure against loops over pairs of positions."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from torch import Tensor

from sendvae.latents import SCORES, Bootstrap, Evidence, TensorRows
from sendvae.latents.scores.structure import score_structure, structure


def by_loops(z: Tensor) -> dict[str, list[float]]:
    """iREPA's measures, one pair of positions at a time."""
    x = (
        ((z - z.mean((0, 2, 3), keepdim=True)) / z.std((0, 2, 3), keepdim=True, correction=0))
        .double()
        .numpy()
    )
    found: dict[str, list[float]] = {"lds": [], "cds": [], "rmsc": []}
    for latent in x:
        _, height, width = latent.shape
        places = list(itertools.product(range(height), range(width)))
        units = {p: latent[:, p[0], p[1]] / np.linalg.norm(latent[:, p[0], p[1]]) for p in places}
        cosines: dict[int, list[float]] = {}
        for a, b in itertools.combinations(places, 2):
            cosines.setdefault(abs(a[0] - b[0]) + abs(a[1] - b[1]), []).append(float(units[a] @ units[b]))
        far = [value for distance, values in cosines.items() if distance >= 6 for value in values]
        found["lds"].append(np.mean(cosines[1]) - np.mean(far))
        distances = range(1, min(8, max(cosines)) + 1)
        found["cds"].append(-np.polyfit(distances, [np.mean(cosines[d]) for d in distances], 1)[0])
        mean = np.mean(list(units.values()), 0)
        found["rmsc"].append(np.sqrt(np.mean([np.sum((unit - mean) ** 2) for unit in units.values()])))
    return found


@pytest.mark.parametrize("grid", [(4, 5), (7, 6)])
def test_measures_are_those_of_loops(grid: tuple[int, int]) -> None:
    z = torch.randn(5, 3, *grid) * torch.tensor([1.0, 4.0, 0.3])[:, None, None] + 2.0
    found = structure(TensorRows(z))
    for name, values in by_loops(z).items():
        np.testing.assert_allclose(found[name], values, atol=1e-5, err_msg=name)


def test_numbers_are_means_over_images_with_the_bootstrap() -> None:
    z = torch.randn(12, 3, 8, 8)
    found = score_structure(Evidence("x", {"test": TensorRows(z)}, (3, 8, 8), bootstrap=Bootstrap(20, 1)))
    for name, values in structure(TensorRows(z)).items():
        number = found.numbers[f"structure_{name}"]
        assert number.value == pytest.approx(float(values.mean()))
        assert number.resampled is not None
        assert len(number.resampled.unique()) > 10


def test_smooth_latents_score_better() -> None:
    rough = torch.randn(20, 4, 8, 8)
    smooth = torch.nn.functional.avg_pool2d(rough, 3, 1, 1)
    good, bad = (
        score_structure(Evidence("x", {"test": TensorRows(z)}, (4, 8, 8))).numbers for z in (smooth, rough)
    )
    for name in ("structure_lds", "structure_cds"):
        assert good[name].value > bad[name].value + 0.02
        assert SCORES["structure"].quantity(name).higher_is_better


def test_small_grids_and_tokens() -> None:
    small = score_structure(Evidence("x", {"test": TensorRows(torch.randn(6, 3, 3, 3))}, (3, 3, 3)))
    assert small.numbers.keys() == {"structure_cds", "structure_rmsc"}
    assert small.details == {"no structure_lds": "no two positions lie 6 apart"}
    tokens = score_structure(Evidence("x", {"test": TensorRows(torch.randn(6, 3, 9))}, (3, 9)))
    assert "without a grid" in str(tokens.details)
    with pytest.raises(ValueError, match="1 x 1 positions"):
        structure(TensorRows(torch.randn(6, 3, 1, 1)))
