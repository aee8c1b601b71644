"""Advice that follows from a latent's shape."""

from __future__ import annotations

import pytest

from sendvae.latents import Evidence
from sendvae.latents.scores.dimension import score_dimension
from sendvae.nn import time_shift


@pytest.mark.parametrize(
    ("shape", "values", "shift"),
    [((4, 32, 32), 4096, 1.0), ((768, 16, 16), 196_608, 6.93), ((32, 128), 4096, 1.0)],
)
def test_the_shift_is_raes(shape: tuple[int, ...], values: int, shift: float) -> None:
    found = score_dimension(Evidence("x", {}, shape))
    assert found.numbers == {}
    assert found.details["dimension"]["values"] == values
    assert found.details["dimension"]["advised time shift"] == pytest.approx(shift, abs=5e-3)


def test_more_dimensions_ask_for_a_longer_stay_in_noise() -> None:
    assert time_shift(2 * 4096) > 1 > time_shift(2048)
