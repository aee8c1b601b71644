"""Which images a jackknife leaves out together."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sendvae.latents.jackknife import jackknife_parts


def test_images_go_round_the_parts() -> None:
    parts = jackknife_parts(np.arange(11), None, 3)
    assert [part.tolist() for part in parts] == [[0, 3, 6, 9], [1, 4, 7, 10], [2, 5, 8]]


def test_positions_are_those_of_a_selection() -> None:
    places = np.array([4, 9, 12, 30, 31, 40])
    assert [part.tolist() for part in jackknife_parts(places, None, 2)] == [[0, 2, 4], [1, 3, 5]]


def test_images_of_one_group_share_a_part() -> None:
    groups = list("aabbbccdaadd") + ["never selected"] * 5
    places = np.arange(12)
    parts = jackknife_parts(places, groups, 2)
    assert torch.cat(parts).sort().values.tolist() == list(range(12))
    assert [sorted({groups[i] for i in part}) for part in parts] == [["a", "c"], ["b", "d"]]


@pytest.mark.parametrize(
    ("images", "groups", "count"),
    [(100, None, 0), (100, None, 1), (19, None, 10), (0, None, 2), (8, "aaaabbbc", 2)],
)
def test_too_few_have_no_parts(images: int, groups: str | None, count: int) -> None:
    assert jackknife_parts(np.arange(images), None if groups is None else list(groups), count) == []
    assert len(jackknife_parts(np.arange(20), None, 10)) == 10
