"""Better latents score better in the direction that each score's row says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict

import pytest
import torch
from torch import Tensor

from sendvae.latents import attribute_probe, class_probe, discrimination, uniformity
from sendvae.latents.table import SCORES

HALF = 150
ATTRIBUTES = 8


def draw(noise: float, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Latents that hold an attribute a channel under some noise, (N, A, 2, 2), and the attributes, (N, A)."""
    generator = torch.Generator().manual_seed(seed)
    y = torch.rand(2 * HALF, ATTRIBUTES, generator=generator) < 0.4
    z = y[:, :, None, None] + noise * torch.randn(2 * HALF, ATTRIBUTES, 2, 2, generator=generator)
    return z, y


def attributes(noise: float) -> dict[str, float]:
    (z, y), (val, val_y) = draw(noise), draw(noise, seed=1)
    probe = attribute_probe(
        z[:HALF], y[:HALF], z[HALF:], y[HALF:], val_latents=val, val_attributes=val_y, method="ridge"
    ).as_dict()
    return {name: probe[name] for name in SCORES["attributes"].quantities}


def gap(noise: float) -> dict[str, float]:
    z, y = draw(noise)
    labels = y[:, 0].long() + y[:, 2].long()
    return {
        f"gap_{pool}": class_probe(z[:HALF], labels[:HALF], z[HALF:], labels[HALF:], pool).accuracy
        for pool in ("mean", "flatten")
    }


def mixture(noise: float) -> dict[str, float]:
    generator = torch.Generator().manual_seed(0)
    places = torch.randint(3, (2 * HALF, 1, 1, 1), generator=generator)
    z = places + noise * torch.randn(2 * HALF, 4, 1, 1, generator=generator)
    value = discrimination(z[:HALF], z[HALF:], 3, 4)
    return {"discrimination_nll": value, "discrimination_nll_3": value}


@pytest.mark.parametrize(
    ("score", "measure"), [("attributes", attributes), ("gap", gap), ("discrimination", mixture)]
)
def test_what_is_easier_to_tell_apart_scores_better(
    score: str, measure: Callable[[float], dict[str, float]]
) -> None:
    good, bad = measure(0.2), measure(3.0)
    for name in good:
        assert good[name] != bad[name], name
        assert (good[name] > bad[name]) is SCORES[score].quantity(name).higher_is_better, name


def test_what_is_spread_evenly_scores_better() -> None:
    even = torch.rand(400, 2, 1, 1, generator=torch.Generator().manual_seed(0))
    good, bad = (asdict(uniformity(z, "none", 400, 1)) for z in (even, even**4))
    for name, value in good.items():
        row = SCORES["uniformity"].quantity(f"uniformity_{name}")
        assert (value > bad[name]) is row.higher_is_better, name


def test_every_row_says_where_it_is_from_what_it_costs_and_how_it_is_read() -> None:
    for name, row in SCORES.items():
        assert row.source, name
        assert row.cost, name
        for number, quantity in row.quantities.items():
            assert quantity.label, number
            assert quantity.explanation, number
    numberless = {name for name, row in SCORES.items() if not row.quantities}
    assert numberless == {"dimension"}  # which is advice
