"""Statistics of a reference that are kept: everything that they depend on keeps them apart."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tests.evaluation.small import pictures, small_network

from sendvae.data import TensorImages
from sendvae.evaluation.collect import Statistics
from sendvae.evaluation.networks import FeatureNetwork
from sendvae.evaluation.reference import image_statistics
from sendvae.runs import list_caches

COUNT = 12


def images(seed: int = 0) -> TensorImages:
    """Sets that lie at the same place under the same names: only their pixels differ."""
    return TensorImages(torch.from_numpy(pictures(COUNT, seed)).permute(0, 3, 1, 2))


def network(scale: float = 1.0) -> FeatureNetwork:
    """Networks of one name: only their weights differ."""
    found = small_network()
    found.module.pool.mul_(scale)
    return found


def measured(cache: Path | None, **changes: Any) -> Statistics:
    given: dict[str, Any] = {"images": images(), "network": network(), "precision": "fp32", "picked": None}
    given |= changes
    found = image_statistics(
        given["images"],
        given["images"].fingerprint,
        given["network"],
        5,
        "features",
        given["picked"],
        cache,
        given["precision"],
    )
    assert found is not None
    return found


CHANGES: dict[str, dict[str, Any]] = {
    "other images": {"images": images(1)},
    "another network": {"network": network(2.0)},
    "another precision": {"precision": "bf16"},
    "fewer images for precision": {"picked": 5},
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_a_cache_depends_on_keeps_it_apart(change: str, tmp_path: Path) -> None:
    first = measured(tmp_path)
    other, alone = measured(tmp_path, **CHANGES[change]), measured(None, **CHANGES[change])
    assert len(list_caches(tmp_path)) == 2
    for found in (other, measured(tmp_path, **CHANGES[change])):
        assert torch.equal(found.pool.mean, alone.pool.mean)
        assert torch.equal(found.picked, alone.picked)
    assert first.picked.shape != alone.picked.shape or not torch.equal(first.picked, alone.picked)
    assert torch.equal(measured(tmp_path).picked, first.picked)


def test_images_for_precision_and_recall_are_spread_over_the_set() -> None:
    """The first ones may all be of one class."""
    everything = measured(None).picked
    assert torch.equal(measured(None, picked=5).picked, everything[[0, 3, 6, 8, 11]])
    assert torch.equal(measured(None, picked=2).picked, everything[[0, -1]])


def test_all_images_are_as_many_as_there_are(tmp_path: Path) -> None:
    for picked in (None, COUNT, COUNT + 1):
        assert len(measured(tmp_path, picked=picked).picked) == COUNT
    assert len(list_caches(tmp_path)) == 1
