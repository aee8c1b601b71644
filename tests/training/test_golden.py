"""The first ten steps of every stage are those of the stored curves; `golden_curves.py` says how to compare and rewrite."""

from __future__ import annotations

import copy

import pytest
from tests.training.golden_curves import (
    KINKED,
    STAGES,
    STORED,
    TOLERANCE,
    WEIGHTS_TOLERANCE,
    curves,
    differences,
    stored,
)


@pytest.mark.parametrize("name", STAGES)
def test_ten_steps_follow_the_stored_curve(name: str) -> None:
    expected, found = stored(name), curves(name)
    for scalar, difference in differences(expected, found, "scalars").items():
        assert difference < KINKED.get(scalar, TOLERANCE), scalar
    for group, difference in differences(expected, found, "moved").items():
        assert difference < WEIGHTS_TOLERANCE, group
    assert expected["digest"].keys() == found["digest"].keys()


def test_every_stored_curve_belongs_to_a_stage() -> None:
    assert {path.stem for path in STORED.glob("*.json")} == STAGES.keys()


def test_a_difference_is_found_where_it_is() -> None:
    expected = stored("plain")
    changed = copy.deepcopy(expected)
    changed["scalars"]["kl"][3] *= 1.001
    found = differences(expected, changed, "scalars")
    assert {name for name, difference in found.items() if difference > 0} == {"kl"}
    assert 1e-4 < found["kl"] < 1e-2
    del changed["scalars"]["kl"]
    with pytest.raises(ValueError, match="kl"):
        differences(expected, changed, "scalars")
